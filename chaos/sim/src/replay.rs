//! An orchestrator's code run again over its history: what it asks for is compared with what it asked for before, and
//! only what is new becomes an action.

pub(crate) mod entities;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::turn::{Action, Decided};
use longhaul_types::Timestamp;

use crate::history::{Entry, What};

/// The orchestrator's view of its history: what it asked for before, and what became of it.
pub(crate) struct Replay {
    pub(crate) next: i32,
    pub(crate) now: Timestamp,
    asked: BTreeMap<i32, What>,
    results: BTreeMap<i32, Option<String>>,
    /// Of entities, by request.
    answers: BTreeMap<String, Option<String>>,
    events: VecDeque<(String, Bytes)>,
    pub(crate) suspended: bool,
    pub(crate) terminated: Option<String>,
    pub(crate) actions: Vec<Decided>,
    /// Tells this generation from every other one, and stays what it is when it is rewound.
    generation: String,
    instance: String,
    pub(crate) problem: Option<String>,
}

impl Replay {
    pub(crate) fn of(history: &[Entry]) -> Self {
        let mut replay = Self {
            next: 0,
            now: Timestamp::EPOCH,
            asked: BTreeMap::new(),
            results: BTreeMap::new(),
            answers: BTreeMap::new(),
            events: VecDeque::new(),
            suspended: false,
            terminated: None,
            actions: vec![],
            generation: String::new(),
            instance: String::new(),
            problem: None,
        };
        for entry in history {
            replay.take(entry);
        }
        replay
    }

    fn take(&mut self, entry: &Entry) {
        if entry.id >= 0 {
            self.asked.insert(entry.id, entry.what.clone());
            return;
        }
        match &entry.what {
            What::TurnStarted => self.now = entry.at,
            What::Started {
                instance, input, ..
            } => {
                self.generation = format!("{instance} {input} {}", entry.at);
                self.instance.clone_from(instance);
            }
            What::OperationAnswered { request, result } => {
                self.answers.insert(request.clone(), result.clone());
            }
            What::LockGranted { section } => drop(self.answers.insert(section.clone(), None)),
            What::TaskEnded { task, result } | What::ChildEnded { task, result } => {
                self.results.insert(*task, result.clone());
            }
            What::TimerFired { timer, .. } => drop(self.results.insert(*timer, None)),
            What::EventRaised { payload } => {
                self.events.push_back((payload.clone(), entry.raw.clone()));
            }
            What::Suspended => self.suspended = true,
            What::Resumed => self.suspended = false,
            What::Terminated { output } => self.terminated = Some(output.clone()),
            _ => {}
        }
    }

    pub(crate) fn free_id(&self, history: &[Entry]) -> i32 {
        history.iter().map(|entry| entry.id).max().unwrap_or(-1) + 1
    }

    /// Asks for something, unless that was done before; then it must have been the same.
    fn ask(&mut self, expected: &What, action: impl FnOnce(Timestamp) -> Action) -> i32 {
        let id = self.next;
        self.next += 1;
        match self.asked.get(&id) {
            None => self.actions.push(Decided {
                id,
                action: action(self.now),
            }),
            Some(asked) if is_same(asked, expected) => {}
            Some(asked) => {
                self.problem = Some(format!("action {id} was {asked:?} and is {expected:?}"));
            }
        }
        id
    }

    /// The result of an activity once it has ended; within, `None` if it failed.
    pub(crate) fn activity(&mut self, input: &str) -> Option<Option<String>> {
        let expected = What::TaskScheduled {
            input: input.to_owned(),
        };
        let id = self.ask(&expected, |_| Action::ScheduleTask {
            name: "work".to_owned(),
            version: None,
            input: Some(input.to_owned().into()),
            tags: BTreeMap::new(),
            trace: None,
        });
        let result = self.results.get(&id)?.as_deref();
        Some(result.map(|it| it.split_once('#').map_or(it, |(input, _)| input).to_owned()))
    }

    pub(crate) fn activity_until_it_succeeds(&mut self, input: &str) -> Option<String> {
        loop {
            if let Some(result) = self.activity(input)? {
                return Some(result);
            }
        }
    }

    /// One failure in the first round is made up for in a second, and so on.
    pub(crate) fn activities_at_once(&mut self, inputs: &[String]) -> Option<Vec<String>> {
        let mut done = vec![None; inputs.len()];
        loop {
            let mut waiting = false;
            for (input, slot) in inputs.iter().zip(&mut done) {
                if slot.is_none() {
                    let result = self.activity(input);
                    waiting |= result.is_none();
                    *slot = result.flatten();
                }
            }
            if waiting {
                return None;
            }
            if done.iter().all(Option::is_some) {
                return done.into_iter().collect();
            }
        }
    }

    pub(crate) fn timer(&mut self, delay: Duration) -> Option<()> {
        let expected = What::TimerCreated {
            fire_at: Timestamp::EPOCH,
        };
        let id = self.ask(&expected, |now| Action::CreateTimer {
            fire_at: now + delay,
        });
        self.results.get(&id).map(drop)
    }

    /// The child's output once it has ended; within, `None` if it failed.
    pub(crate) fn child(&mut self, instance: &str, input: &str) -> Option<Option<String>> {
        let expected = What::ChildCreated {
            instance: instance.to_owned(),
        };
        let id = self.ask(&expected, |_| Action::CreateChild {
            instance: instance.to_owned(),
            name: "simulated".to_owned(),
            version: None,
            input: Some(input.to_owned().into()),
            tags: BTreeMap::new(),
            trace: None,
        });
        self.results.get(&id).cloned()
    }

    pub(crate) fn send(&mut self, target: &str, payload: &str) {
        let expected = What::EventSent {
            target: target.to_owned(),
            payload: payload.to_owned(),
        };
        self.ask(&expected, |_| Action::SendEvent {
            instance: target.to_owned(),
            name: "said".to_owned(),
            data: Some(payload.to_owned().into()),
        });
    }

    pub(crate) fn event(&mut self) -> Option<(String, Bytes)> {
        self.events.pop_front()
    }

    /// Events that the next generation is to hear.
    pub(crate) fn unheard(&mut self) -> Vec<Bytes> {
        self.events.drain(..).map(|(_, raw)| raw).collect()
    }
}

/// Whether what was asked for is what is asked for now. An orchestrator's times are its own of each turn.
fn is_same(asked: &What, expected: &What) -> bool {
    match (asked, expected) {
        (What::TimerCreated { .. }, What::TimerCreated { .. }) => true,
        (What::Operation(asked), What::Operation(expected)) => asked.is_same_request(expected),
        _ => asked == expected,
    }
}
