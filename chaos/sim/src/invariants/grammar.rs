//! Every history is one that its orchestrator can have brought about: turns in time order, action ids that grow, one
//! result for each scheduled thing and none for anything else, nothing after the end.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::history::{Entry, What};
use crate::moment::Moment;

pub(super) struct Grammar;

impl Invariant for Grammar {
    fn name(&self) -> &'static str {
        "histories are well-formed"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        let (instance, history) = match moment {
            Moment::Read {
                instance, history, ..
            } => (instance, check(history, None)),
            Moment::TurnOut {
                instance,
                past,
                new,
                ..
            } => (instance, check(past, Some(new))),
            _ => return Ok(()),
        };
        history.map_err(|problem| format!("{instance}: {problem}"))
    }
}

#[derive(Default)]
struct Reading {
    turn: Option<Timestamp>,
    started: bool,
    ended: bool,
    last_id: Option<i32>,
    /// What was asked for and has no result yet.
    waiting: BTreeMap<i32, What>,
    /// Calls and lock requests without an answer.
    calls: BTreeSet<String>,
    locks: BTreeSet<String>,
}

/// A committed history and, in a turn, the new events.
fn check(past: &[Entry], turn: Option<&[Entry]>) -> Result<(), String> {
    let mut reading = Reading::default();
    for entry in past {
        reading.take(entry)?;
    }
    let committed = reading.ended;
    // Workers need not know what a rewind is.
    let shown = |entry: &&Entry| entry.what == What::Rewound;
    if turn.is_some()
        && let Some(rewound) = past.iter().find(shown)
    {
        return Err(format!("shown to a worker: {rewound:?}"));
    }
    for entry in turn.unwrap_or_default() {
        if matches!(entry.what, What::TurnStarted) || entry.id >= 0 {
            return Err(format!("a new event that only a turn can make: {entry:?}"));
        }
        if committed {
            return Err(format!("a new event after the end: {entry:?}"));
        }
        reading.take(entry)?;
    }
    Ok(())
}

impl Reading {
    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let problem = |text: &str| Err(format!("{text}: {entry:?}"));
        if self.ended {
            return problem("an event after the end");
        }
        if entry.id >= 0 {
            if self.last_id.is_some_and(|last| last >= entry.id) {
                return problem("an action id that does not grow");
            }
            self.last_id = Some(entry.id);
        }
        match &entry.what {
            What::TurnStarted => {
                if self.turn.is_some_and(|before| before >= entry.at) {
                    return problem("a turn before or at the time of the last one");
                }
                self.turn = Some(entry.at);
            }
            What::Started { .. } if self.started => return problem("a second beginning"),
            What::Started { .. } => self.started = true,
            _ if !self.started => return problem("an event before the beginning"),
            What::Ended { .. } => self.ended = true,
            What::TaskScheduled { .. } | What::ChildCreated { .. } | What::TimerCreated { .. } => {
                if entry.id < 0 {
                    return problem("an action without an id");
                }
                self.waiting.insert(entry.id, entry.what.clone());
            }
            What::TaskEnded { task, .. } => match self.waiting.remove(task) {
                Some(What::TaskScheduled { .. }) => {}
                _ => return problem("a result of no activity that waits for one"),
            },
            What::ChildEnded { task, .. } => match self.waiting.remove(task) {
                Some(What::ChildCreated { .. }) => {}
                _ => return problem("a result of no child that runs"),
            },
            What::TimerFired { timer, fire_at } => match self.waiting.remove(timer) {
                Some(What::TimerCreated { fire_at: made }) if made == *fire_at => {}
                _ => return problem("no such timer is waiting"),
            },
            What::Operation(_) | What::LockRequested { .. } | What::UnlockSent { .. }
                if entry.id < 0 =>
            {
                return problem("an action without an id");
            }
            What::Operation(operation) if operation.caller.is_some() => {
                self.calls.insert(operation.request.clone());
            }
            What::OperationAnswered { request, .. } if !self.calls.remove(request) => {
                return problem("an answer to no call that waits for one");
            }
            What::LockRequested { section } => drop(self.locks.insert(section.clone())),
            What::LockGranted { section } if !self.locks.remove(section) => {
                return problem("locks that nobody waits for");
            }
            What::Unexpected => return problem("an event of a kind nobody asked for"),
            What::Terminated { .. }
            | What::Suspended
            | What::Resumed
            | What::EventSent { .. }
            | What::EventRaised { .. }
            | What::Operation(_)
            | What::OperationAnswered { .. }
            | What::LockGranted { .. }
            | What::UnlockSent { .. }
            | What::Rewound => {}
        }
        Ok(())
    }
}
