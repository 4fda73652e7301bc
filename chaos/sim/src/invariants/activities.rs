//! Every result of an activity was sent by a worker that had been handed this very activity; an activity whose result
//! was taken is never handed out again.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::history::{Entry, What};
use crate::moment::Moment;

type Activity = (String, String, i32);

#[derive(Default)]
pub(super) struct Activities {
    deliveries: BTreeMap<u64, Activity>,
    inputs: BTreeMap<Activity, String>,
    /// Results that workers have sent.
    sent: BTreeMap<Activity, BTreeSet<Option<String>>>,
    taken: BTreeSet<Activity>,
}

impl Activities {
    fn results(&self, instance: &str, execution: &str, history: &[Entry]) -> Result<(), String> {
        for entry in history {
            let What::TaskEnded { task, result } = &entry.what else {
                continue;
            };
            let activity = (instance.to_owned(), execution.to_owned(), *task);
            let sent = self.sent.get(&activity);
            if !sent.is_some_and(|sent| sent.contains(result)) {
                return Err(format!(
                    "{activity:?} has the result {result:?}, of those sent: {sent:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for Activities {
    fn name(&self) -> &'static str {
        "results of activities are those that workers sent"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::ActivityOut {
                delivery,
                instance,
                execution,
                task,
                input,
            } => {
                let activity = (instance.clone(), execution.clone(), *task);
                if self.taken.contains(&activity) {
                    return Err(format!(
                        "{activity:?} is handed out after its result was taken"
                    ));
                }
                let before = self.inputs.insert(activity.clone(), input.clone());
                if before.is_some_and(|before| before != *input) {
                    return Err(format!(
                        "{activity:?} has another input than before: {input}"
                    ));
                }
                self.deliveries.insert(*delivery, activity);
                Ok(())
            }
            Moment::ActivityDone { delivery, result } => {
                let activity = self.deliveries[delivery].clone();
                self.sent
                    .entry(activity)
                    .or_default()
                    .insert(result.clone());
                Ok(())
            }
            Moment::ActivityTaken { delivery } => {
                self.taken.insert(self.deliveries[delivery].clone());
                Ok(())
            }
            Moment::TurnOut {
                instance,
                execution,
                past,
                new,
                ..
            } => {
                self.results(instance, execution, past)?;
                self.results(instance, execution, new)
            }
            Moment::Read {
                instance,
                execution,
                history,
            } => self.results(instance, execution, history),
            _ => Ok(()),
        }
    }
}
