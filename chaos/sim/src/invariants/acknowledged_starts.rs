//! An instance whose start was acknowledged exists until it is purged, as the execution that was started unless a later
//! one took its place, with its input; what was certainly refused never appears; repeating a start is no conflict; an end
//! is for good. To restart and to rewind is to start in this.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::{Answer, Moment, Request, View};

#[derive(Default)]
pub(super) struct AcknowledgedStarts {
    instances: BTreeMap<String, Starts>,
    /// Executions whose last attempt was certainly refused, and that were never attempted otherwise.
    refused: BTreeSet<String>,
    inputs: BTreeMap<String, String>,
    /// Calls for instances whose start had been acknowledged before.
    known: BTreeSet<u64>,
}

#[derive(Default)]
struct Starts {
    /// Executions that a read may show: the last acknowledged one, and those attempted since.
    possible: BTreeSet<String>,
    acknowledged: bool,
    /// A purge was wanted and perhaps done.
    purged: bool,
    /// Calls that have no answer yet or never will, by execution.
    open: BTreeMap<String, u64>,
    /// Executions seen to have ended, and how.
    ended: BTreeMap<String, View>,
}

impl AcknowledgedStarts {
    fn asked(&mut self, request: &Request) {
        if let Request::Purge { instance } = request
            && let Some(starts) = self.instances.get_mut(instance)
        {
            starts.purged = true;
        }
        let Some((instance, execution, input)) = started(request) else {
            return;
        };
        let starts = self.instances.entry(instance.to_owned()).or_default();
        *starts.open.entry(execution.to_owned()).or_default() += 1;
        starts.possible.insert(execution.to_owned());
        self.refused.remove(execution);
        self.inputs.insert(execution.to_owned(), input.to_owned());
    }

    fn purged(&mut self, instance: &str, answer: Answer) {
        let Some(starts) = self.instances.get_mut(instance) else {
            return;
        };
        if matches!(answer, Answer::Done | Answer::NotFound) {
            let still_open = |execution: &String| starts.open.get(execution) > Some(&0);
            starts.possible.retain(still_open);
        }
    }

    fn answered(&mut self, instance: &str, execution: &str, answer: Answer) -> Result<(), String> {
        let starts = self.instances.entry(instance.to_owned()).or_default();
        let sure = answer != Answer::Unknown;
        if sure && let Some(open) = starts.open.get_mut(execution) {
            *open -= 1;
        }
        let open = starts.open.get(execution).is_some_and(|it| *it > 0);
        match answer {
            Answer::Done => {
                starts.acknowledged = true;
                starts.purged = false;
                // An attempt that is still open may yet, or may already, have replaced this one.
                let still_open = starts.open.iter().filter(|(_, open)| **open > 0);
                starts.possible = still_open.map(|(execution, _)| execution.clone()).collect();
                starts.possible.insert(execution.to_owned());
                self.refused.remove(execution);
            }
            Answer::Exists(_) if starts.open.len() == 1 => {
                return Err(format!(
                    "{instance} exists, but as nothing else than {execution}"
                ));
            }
            Answer::NotDone | Answer::Exists(_) if !open => {
                if starts.possible.len() > 1 || !starts.acknowledged {
                    starts.possible.remove(execution);
                }
                if !starts.possible.contains(execution) {
                    self.refused.insert(execution.to_owned());
                }
            }
            Answer::NotFound if !starts.purged => {
                return Err(format!("a start of {instance} found no instance"));
            }
            Answer::NotFound | Answer::NotDone | Answer::Exists(_) | Answer::Unknown => {}
        }
        Ok(())
    }

    fn seen(&mut self, instance: &str, view: &View) -> Result<(), String> {
        if self.refused.contains(&view.execution) {
            return Err(format!(
                "{instance} is execution {}, whose start was refused",
                view.execution
            ));
        }
        let Some(starts) = self.instances.get_mut(instance) else {
            return Ok(());
        };
        let input = self.inputs.get(&view.execution);
        if input.is_some_and(|input| *input != view.input) {
            return Err(format!("{instance} has another input: {view:?}"));
        }
        let started_by_client = input.is_some();
        if started_by_client && !starts.possible.contains(&view.execution) {
            return Err(format!(
                "{instance} is execution {}, expected one of {:?}",
                view.execution, starts.possible
            ));
        }
        match starts.ended.get(&view.execution) {
            Some(end) if end != view => {
                return Err(format!("{instance} had ended as {end:?} and is {view:?}"));
            }
            None if view.status.is_terminal() => {
                starts.ended.insert(view.execution.clone(), view.clone());
            }
            _ => {}
        }
        Ok(())
    }
}

/// The instance, the execution and the input that a request starts, if it does.
fn started(request: &Request) -> Option<(&str, &str, &str)> {
    match request {
        Request::Start {
            instance,
            execution,
            input,
            ..
        }
        | Request::Restart {
            instance,
            execution,
            input,
        }
        | Request::Rewind {
            instance,
            execution,
            input,
        } => Some((instance, execution, input)),
        _ => None,
    }
}

impl Invariant for AcknowledgedStarts {
    fn name(&self) -> &'static str {
        "acknowledged starts are never lost"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Asked { call, request } => {
                if self.is_acknowledged(request.instance()) {
                    self.known.insert(*call);
                }
                self.asked(request);
                Ok(())
            }
            Moment::Answered {
                request: Request::Purge { instance },
                answer,
                ..
            } => {
                self.purged(instance, *answer);
                Ok(())
            }
            Moment::Answered {
                request, answer, ..
            } if started(request).is_some() => {
                let (instance, execution, _) = started(request).expect("just seen");
                self.answered(instance, execution, *answer)
            }
            Moment::Aged { .. } => {
                for starts in self.instances.values_mut() {
                    starts.purged = true;
                }
                Ok(())
            }
            Moment::Answered {
                call,
                request,
                answer: Answer::NotFound,
            } if self.known.contains(call) && self.is_acknowledged(request.instance()) => {
                Err(format!("{request:?} found no instance"))
            }
            Moment::Seen {
                instance,
                view: None,
            } if self.is_acknowledged(instance) => Err(format!("{instance} is gone")),
            Moment::Seen {
                instance,
                view: Some(view),
            } => self.seen(instance, view),
            _ => Ok(()),
        }
    }
}

impl AcknowledgedStarts {
    fn is_acknowledged(&self, instance: &str) -> bool {
        self.instances
            .get(instance)
            .is_some_and(|starts| starts.acknowledged && !starts.purged)
    }
}
