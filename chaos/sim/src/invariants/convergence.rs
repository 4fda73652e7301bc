//! Once faults are over, everything comes to rest: nothing waits for a worker, is out, or is on its way.

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::Moment;

pub(super) struct Convergence;

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        "everything comes to rest"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Rest {
                queued: 0,
                out: 0,
                outboxes: 0,
            } => Ok(()),
            Moment::Rest { .. } => Err(format!("{moment:?}")),
            _ => Ok(()),
        }
    }
}
