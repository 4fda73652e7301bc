//! What a history says that it was still waiting for when it failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{InstanceId, Timestamp};

use crate::entity::CriticalSection;
use crate::history::read::{ChildCreated, Stored, read};

/// What a history says of what was asked for and answered; numbers are places in it.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Place of ExecutionStarted, its time and the time it was scheduled for.
    started: Option<(usize, Timestamp, Option<Timestamp>)>,
    removed: BTreeSet<usize>,
    /// Without a result, by action id.
    pub(super) activities: BTreeMap<i32, Vec<Scheduled>>,
    /// Not fired, by action id.
    pub(super) timers: BTreeMap<i32, Timestamp>,
    /// Created and without a result that stays, by action id; whether it was seen to fail.
    pub(super) children: BTreeMap<i32, (ChildCreated, bool)>,
    /// Without an answer, by id of the request or the critical section.
    pub(super) requests: BTreeMap<Arc<str>, (usize, Request)>,
    /// Critical sections that were entered, each with the entities that were not left, by id.
    pub(super) sections: BTreeMap<Arc<str>, Vec<InstanceId>>,
    /// What the turn that is being read has left so far.
    left: Vec<Left>,
}

/// An entity that was left.
#[derive(Debug)]
struct Left {
    place: usize,
    section: Arc<str>,
    target: String,
}

/// An activity without a result.
#[derive(Debug)]
pub(super) struct Scheduled {
    /// Where its event is.
    pub(super) place: usize,
    pub(super) name: Arc<str>,
    pub(super) version: Option<Arc<str>>,
}

/// What was asked of entities.
#[derive(Debug)]
pub(super) enum Request {
    Call {
        operation: String,
        scheduled: Option<Timestamp>,
        input: Option<Bytes>,
        target: String,
    },
    Lock {
        lock_set: Vec<String>,
    },
}

impl Past {
    pub(super) fn of(events: &[Bytes]) -> Self {
        let mut past = Self::default();
        for (place, event) in events.iter().enumerate() {
            past.take(place, read(event));
        }
        past.leave();
        past
    }

    fn take(&mut self, place: usize, event: Stored) {
        match event {
            Stored::Started {
                at,
                scheduled_start,
            } => self.started = Some((place, at, scheduled_start)),
            Stored::TurnStarted => self.leave(),
            // SDKs leave their sections when they end, which is not what the code goes on with when it does not end.
            Stored::Completed => {
                self.removed.insert(place);
                let left = self.left.drain(..).map(|left| left.place);
                self.removed.extend(left);
            }
            Stored::TaskScheduled { id, name, version } => {
                let open = self.activities.entry(id).or_default();
                open.push(Scheduled {
                    place,
                    name,
                    version,
                });
            }
            Stored::TaskCompleted(id) => {
                self.answered(id);
            }
            Stored::TaskFailed(id) => {
                self.removed.insert(place);
                let scheduled = self.answered(id);
                self.removed.extend(scheduled);
            }
            Stored::ChildCreated(child) => {
                self.children.insert(child.id, (child, false));
            }
            Stored::ChildCompleted(id) => {
                self.children.remove(&id);
            }
            Stored::ChildFailed(id) => {
                self.removed.insert(place);
                if let Some((_, failed)) = self.children.get_mut(&id) {
                    *failed = true;
                }
            }
            Stored::TimerCreated(id, due) => {
                self.timers.insert(id, due);
            }
            Stored::TimerFired(id) => {
                self.timers.remove(&id);
            }
            Stored::OperationCalled {
                request_id,
                operation,
                scheduled,
                input,
                target,
            } => {
                let call = Request::Call {
                    operation,
                    scheduled,
                    input,
                    target,
                };
                self.requests.insert(request_id, (place, call));
            }
            Stored::LockRequested { section, lock_set } => {
                let lock = Request::Lock { lock_set };
                self.requests.insert(section, (place, lock));
            }
            Stored::OperationAnswered(id) => {
                self.requests.remove(&id);
            }
            Stored::LockGranted(id) => {
                if let Some((_, Request::Lock { lock_set })) = self.requests.remove(&id) {
                    self.sections.insert(id, CriticalSection::order(&lock_set));
                }
            }
            Stored::Unlocked { section, target } => self.left.push(Left {
                place,
                section,
                target,
            }),
            Stored::Rewound | Stored::Other => {}
        }
    }

    /// The turn that was read did not end the execution: what it left stays left.
    fn leave(&mut self) {
        for Left {
            section, target, ..
        } in self.left.drain(..)
        {
            let Ok(target) = InstanceId::parse_entity(&target) else {
                continue;
            };
            for (id, entities) in &mut self.sections {
                if section.is_empty() || *id == section {
                    entities.retain(|it| *it != target);
                }
            }
        }
        self.sections.retain(|_, entities| !entities.is_empty());
    }

    /// A result belongs to the closest scheduling before it: retries use a number again.
    fn answered(&mut self, id: i32) -> Option<usize> {
        let scheduled = self.activities.get_mut(&id)?.pop()?;
        Some(scheduled.place)
    }

    /// The events that stay, with ExecutionStarted written anew.
    pub(super) fn kept<'a>(
        &'a self,
        events: &'a [Bytes],
        started: impl Fn(Timestamp, Option<Timestamp>) -> Bytes + 'a,
    ) -> impl Iterator<Item = Bytes> + 'a {
        events.iter().enumerate().filter_map(move |(place, event)| {
            if self.removed.contains(&place) {
                return None;
            }
            Some(match self.started {
                Some((it, at, scheduled)) if it == place => started(at, scheduled),
                _ => event.clone(),
            })
        })
    }
}

#[cfg(test)]
mod tests;
