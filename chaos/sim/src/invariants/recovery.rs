//! A node starts again after every loss of power and every kill, and gives up only if its disk fails under it.

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::Moment;

pub(super) struct Recovery;

impl Invariant for Recovery {
    fn name(&self) -> &'static str {
        "a node recovers from every honest crash"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Refused {
                reason,
                excused: false,
            } => Err(format!("it refuses to start: {reason}")),
            Moment::Fault {
                reason,
                excused: false,
            } => Err(format!("it gave up: {reason}")),
            Moment::Survived { before, after } if before != after => Err(format!(
                "state {before:032x?} became {after:032x?} over a loss of power at rest"
            )),
            _ => Ok(()),
        }
    }
}
