//! Every result of an activity was sent by a worker that had been handed this very activity; an activity whose result
//! was taken is never handed out again.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::history::{Entry, What};
use crate::moment::{Moment, Request};

type Activity = (String, String, i32);

#[derive(Default)]
pub(super) struct Activities {
    deliveries: BTreeMap<u64, Activity>,
    inputs: BTreeMap<Activity, String>,
    /// Results that workers have sent.
    sent: BTreeMap<Activity, BTreeSet<Option<String>>>,
    taken: BTreeSet<Activity>,
    /// Instances that were rewound, with their children: a new execution has results of those before.
    rewound: BTreeSet<String>,
}

impl Activities {
    fn results(&self, instance: &str, execution: &str, history: &[Entry]) -> Result<(), String> {
        for entry in history {
            let What::TaskEnded { task, result } = &entry.what else {
                continue;
            };
            let activity = (instance.to_owned(), execution.to_owned(), *task);
            let sent = self.sent.get(&activity);
            let of_this = sent.is_some_and(|sent| sent.contains(result));
            if !of_this && !self.is_of_another(&activity, result.as_ref()) {
                return Err(format!(
                    "{activity:?} has the result {result:?}, of those sent: {sent:?}"
                ));
            }
        }
        Ok(())
    }

    /// Whether a rewound instance has the result from an execution before.
    fn is_of_another(&self, activity: &Activity, result: Option<&String>) -> bool {
        let (instance, _, task) = activity;
        let root = instance.split('.').next().unwrap_or_default();
        let mut others = self.sent.iter().filter(|((other, _, number), _)| {
            (other, number) == (instance, task) && self.rewound.contains(root)
        });
        others.any(|(_, sent)| sent.contains(&result.cloned()))
    }
}

impl Invariant for Activities {
    fn name(&self) -> &'static str {
        "results of activities are those that workers sent"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Asked {
                request: Request::Rewind { instance, .. },
                ..
            } => {
                self.rewound.insert(instance.clone());
                Ok(())
            }
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
