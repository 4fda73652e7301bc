//! The committed history of an execution only grows: everything read of it begins with everything read before, over
//! all crashes. Workers are not shown that it was rewound.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

use super::Invariant;
use crate::history::{Entry, What};
use crate::moment::Moment;

#[derive(Default)]
pub(super) struct Prefixes {
    longest: BTreeMap<(String, String), Vec<Entry>>,
}

impl Invariant for Prefixes {
    fn name(&self) -> &'static str {
        "committed histories only grow"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        let (instance, execution, history) = match moment {
            Moment::Read {
                instance,
                execution,
                history,
            } => (instance, execution, history),
            Moment::TurnOut {
                instance,
                execution,
                past,
                ..
            } => (instance, execution, past),
            _ => return Ok(()),
        };
        let history: Vec<Entry> = history
            .iter()
            .filter(|entry| entry.what != What::Rewound)
            .cloned()
            .collect();
        let before = self
            .longest
            .entry((instance.clone(), execution.clone()))
            .or_default();
        if !history.starts_with(before) {
            let equal = before
                .iter()
                .zip(&history)
                .take_while(|(a, b)| a == b)
                .count();
            return Err(format!(
                "the history of {instance} {execution} had {} events and has {}; they part at {equal}: {:?} was {:?}",
                before.len(),
                history.len(),
                history.get(equal),
                before.get(equal)
            ));
        }
        *before = history;
        Ok(())
    }
}
