//! A turn whose answer was taken is over: it is never handed out again, by no process.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::Moment;

#[derive(Default)]
pub(super) struct Turns {
    /// By instance and execution: so many events had been committed before the last turn that was taken.
    taken: BTreeMap<(String, String), usize>,
}

impl Invariant for Turns {
    fn name(&self) -> &'static str {
        "a turn is taken once"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::TurnTaken {
                instance,
                execution,
                past,
                ..
            } => {
                let key = (instance.clone(), execution.clone());
                let taken = self.taken.entry(key).or_default();
                *taken = (*taken).max(past + 1);
                Ok(())
            }
            Moment::TurnOut {
                delivery,
                instance,
                execution,
                past,
                ..
            } => match self.taken.get(&(instance.clone(), execution.clone())) {
                Some(taken) if past.len() < *taken => Err(format!(
                    "delivery {delivery} of {instance} {execution} has {} committed events, but a turn with {} was taken",
                    past.len(),
                    taken - 1
                )),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
