//! The orchestrations of the workload, written as a user would: as code that is run again over its history each turn.
//!
//! ```text
//!   input               what it does                                               output
//!   seq:N               N activities one after another, each until it succeeds     their results
//!   fan:N               N activities at once                                       their results
//!   timers:N:MS         N timers of MS milliseconds one after another              N
//!   mix:N               N activities, a timer and a child at once                  all their results
//!   family:N            N children of two activities each, in any partition        their outputs
//!   tell:ID:N           N events for ID with an activity between, then a last one  N
//!   hear:N              takes events until N senders have sent their last one      the events
//!   ages:N:…            the same, a new generation for every three events          the events
//!   brittle:N           N activities one after another; a failed one fails it      their results
//!   kin:N               a brittle child, then as brittle                           both results
//!   call:E:N            N times: signals the entity E, calls it                    N
//!   hold:HOW:E+…:AGE    locks entities, signals and calls each, then goes on       AGE
//!     leave               works, unlocks them, works
//!     end, fail           works, ends without unlocking anything
//!     brittle             a brittle activity, then as leave
//!     again               goes on as a new generation without unlocking, twice
//! ```

mod with_entities;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::Status;
use longhaul_engine::history::event::failure_details;
use longhaul_engine::turn::{Action, Answer, Decided};

use crate::history::{Entry, What};
use crate::replay::Replay;

pub use with_entities::operations;

/// The number of a sender's last event.
pub const LAST: &str = "last";

/// How often an activity fails on which a brittle orchestration depends, in percent.
pub const BRITTLE_PERCENT: u64 = 40;

/// Events of a generation of `ages`.
const EVENTS_PER_AGE: usize = 3;

/// How an orchestration ends.
enum End {
    Completed(String),
    Failed,
    NewGeneration {
        input: String,
        carryover: Vec<Bytes>,
    },
}

/// Answers a turn: everything that `history`, past and new, calls for and does not hold yet.
///
/// # Errors
/// The history is not one of this orchestration.
pub fn answer(history: &[Entry]) -> Result<Answer, String> {
    let mut replay = Replay::of(history);
    let (instance, input) = history
        .iter()
        .find_map(|entry| match &entry.what {
            What::Started {
                instance, input, ..
            } => Some((instance.clone(), input.clone())),
            _ => None,
        })
        .ok_or("a turn without ExecutionStarted")?;
    if let Some(output) = &replay.terminated {
        let (output, id) = (output.clone(), replay.free_id(history));
        return Ok(ending(vec![], id, complete(Status::Terminated, output)));
    }
    if replay.suspended {
        return Ok(Answer::default());
    }
    let end = run(&mut replay, &instance, &input);
    if let Some(problem) = replay.problem {
        return Err(format!("{instance}: {problem}"));
    }
    let (actions, next) = (replay.actions, replay.next);
    let action = match end {
        None => {
            return Ok(Answer {
                actions,
                ..Answer::default()
            });
        }
        Some(End::Completed(output)) => complete(Status::Completed, output),
        Some(End::Failed) => Action::Complete {
            status: Status::Failed,
            result: None,
            failure: Some(failure_details("Simulated", "so it was to be")),
        },
        Some(End::NewGeneration { input, carryover }) => Action::ContinueAsNew {
            input: Some(input.into()),
            version: None,
            carryover,
        },
    };
    Ok(ending(actions, next, action))
}

fn ending(mut actions: Vec<Decided>, id: i32, action: Action) -> Answer {
    actions.push(Decided { id, action });
    Answer {
        actions,
        ..Answer::default()
    }
}

fn complete(status: Status, output: String) -> Action {
    Action::Complete {
        status,
        result: Some(output.into()),
        failure: None,
    }
}

/// The output that an orchestration must end with, if its input alone decides it.
#[must_use]
pub fn expected(instance: &str, input: &str) -> Option<String> {
    let results = |of: &str, count: u64| -> Vec<String> {
        (0..count).map(|step| format!("{of}/{step}")).collect()
    };
    let (kind, rest) = input.split_once(':')?;
    let number = |text: &str| text.parse::<u64>().ok();
    Some(match kind {
        "seq" | "fan" => results(instance, number(rest)?).join(","),
        "timers" => rest.split_once(':')?.0.to_owned(),
        "mix" => {
            let mut all = results(instance, number(rest)?);
            all.push(results(&child_id(instance, 0), 2).join(","));
            all.join(",")
        }
        "family" => (0..number(rest)?)
            .map(|child| results(&child_id(instance, child), 2).join(","))
            .collect::<Vec<_>>()
            .join(";"),
        "tell" => rest.split_once(':')?.1.to_owned(),
        "brittle" => results(instance, number(rest)?).join("!,") + "!",
        "kin" => {
            let child = results(&child_id(instance, 0), number(rest)?).join("!,");
            let own = results(instance, number(rest)?).join("!,");
            format!("{child}!,{own}!")
        }
        "call" | "hold" => rest.rsplit_once(':')?.1.to_owned(),
        _ => return None,
    })
}

/// Whether an orchestration may fail, and whether it may succeed.
#[must_use]
pub fn may_fail_and_succeed(input: &str) -> (bool, bool) {
    let is = |kinds: &[&str]| kinds.iter().any(|kind| input.starts_with(kind));
    let fails = is(&["hold:fail:"]);
    (fails || is(&["brittle:", "kin:", "hold:brittle:"]), !fails)
}

/// The id of a child.
#[must_use]
pub fn child_id(instance: &str, child: u64) -> String {
    format!("{instance}.{child}")
}

/// What an activity answers: its input and, behind `#`, which delivery of it this was, and as much padding as wanted.
#[must_use]
pub fn activity_result(input: &str, delivery: u64, padding: usize) -> String {
    format!("{input}#{delivery}{}", ".".repeat(padding))
}

fn run(replay: &mut Replay, instance: &str, input: &str) -> Option<End> {
    let parts: Vec<&str> = input.splitn(3, ':').collect();
    let number = |at: usize| parts[at].parse::<u64>().expect("the workload's own input");
    let output = match parts[0] {
        "seq" => {
            let mut results = Vec::new();
            for step in 0..number(1) {
                results.push(replay.activity_until_it_succeeds(&format!("{instance}/{step}"))?);
            }
            results.join(",")
        }
        "fan" => {
            let inputs: Vec<String> = (0..number(1))
                .map(|it| format!("{instance}/{it}"))
                .collect();
            replay.activities_at_once(&inputs)?.join(",")
        }
        "timers" => {
            for _ in 0..number(1) {
                replay.timer(Duration::from_millis(number(2)))?;
            }
            parts[1].to_owned()
        }
        "mix" => {
            let inputs: Vec<String> = (0..number(1))
                .map(|it| format!("{instance}/{it}"))
                .collect();
            let timer = replay.timer(Duration::from_millis(300));
            let child = replay.child(&child_id(instance, 0), "seq:2");
            let mut results = replay.activities_at_once(&inputs)?;
            timer?;
            results.push(child??);
            results.join(",")
        }
        "family" => {
            let children: Vec<_> = (0..number(1))
                .map(|child| replay.child(&child_id(instance, child), "seq:2"))
                .collect();
            let outputs: Option<Vec<String>> = children.into_iter().map(Option::flatten).collect();
            outputs?.join(";")
        }
        "tell" => {
            for event in 0..number(2) {
                replay.send(parts[1], &format!("{instance}/{event}"));
                replay.activity_until_it_succeeds(&format!("{instance}/{event}"))?;
            }
            replay.send(parts[1], &format!("{instance}/{LAST}"));
            parts[2].to_owned()
        }
        "hear" => {
            let mut heard = Heard::new(number(1), "");
            while !heard.complete() {
                heard.take(replay.event()?.0);
            }
            heard.events.join(",")
        }
        "ages" => return ages(replay, number(1), parts[2]),
        "brittle" => return brittle(replay, instance, number(1), vec![]),
        "kin" => {
            let input = format!("brittle:{}", parts[1]);
            return match replay.child(&child_id(instance, 0), &input)? {
                Some(output) => brittle(replay, instance, number(1), vec![output]),
                None => Some(End::Failed),
            };
        }
        "call" => return with_entities::call(replay, instance, parts[1], number(2)),
        "hold" => return with_entities::hold(replay, instance, parts[1], parts[2]),
        other => unreachable!("the workload has no {other}"),
    };
    Some(End::Completed(output))
}

fn brittle(
    replay: &mut Replay,
    instance: &str,
    steps: u64,
    mut results: Vec<String>,
) -> Option<End> {
    for step in 0..steps {
        match replay.activity(&format!("{instance}/{step}!"))? {
            Some(result) => results.push(result),
            None => return Some(End::Failed),
        }
    }
    Some(End::Completed(results.join(",")))
}

fn ages(replay: &mut Replay, senders: u64, before: &str) -> Option<End> {
    let mut heard = Heard::new(senders, before);
    for _ in 0..EVENTS_PER_AGE {
        if heard.complete() {
            break;
        }
        heard.take(replay.event()?.0);
    }
    let events = heard.events.join(",");
    Some(if heard.complete() {
        End::Completed(events)
    } else {
        End::NewGeneration {
            input: format!("ages:{senders}:{events}"),
            carryover: replay.unheard(),
        }
    })
}

/// Events received, in order, until every sender has said its last word.
struct Heard {
    senders: u64,
    events: Vec<String>,
    finished: BTreeSet<String>,
}

impl Heard {
    fn new(senders: u64, before: &str) -> Self {
        let mut heard = Self {
            senders,
            events: vec![],
            finished: BTreeSet::new(),
        };
        for event in before.split(',').filter(|it| !it.is_empty()) {
            heard.take(event.to_owned());
        }
        heard
    }

    fn take(&mut self, event: String) {
        if let Some((sender, LAST)) = event.split_once('/') {
            self.finished.insert(sender.to_owned());
        }
        self.events.push(event);
    }

    fn complete(&self) -> bool {
        self.finished.len() as u64 == self.senders
    }
}
