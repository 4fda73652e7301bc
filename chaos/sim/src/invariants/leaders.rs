//! A term of a partition's group has one leader, and that is one process.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::Moment;
use crate::world::ProcessId;

#[derive(Default)]
pub(super) struct Leaders(BTreeMap<(u16, u64), ProcessId>);

impl Invariant for Leaders {
    fn name(&self) -> &'static str {
        "a term has one leader"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        let Moment::Leads {
            process,
            partition,
            term,
        } = moment
        else {
            return Ok(());
        };
        let leader = self.0.entry((*partition, *term)).or_insert(*process);
        match leader == process {
            true => Ok(()),
            false => Err(format!(
                "{leader:?} and {process:?} lead partition {partition} in term {term}"
            )),
        }
    }
}
