//! The orchestrators of the scenarios, as pure functions from history to actions, and the entity that some of them call.
//!
//! All have one shape: bring `count` steps about, one after the other or all at once, and complete with the number of
//! steps done. They read what to do from the instance's input, so that any process can host the worker.

pub(super) mod counter;
mod plan;
mod relay;
#[cfg(test)]
mod tests;

use longhaul_client::{
    request_id,
    worker::{ActivityCall, Progress, Registry, Turn, actions},
};
use longhaul_proto::sidecar::{OrchestratorAction, TaskFailureDetails};
pub(super) use plan::Plan;
use prost_types::Timestamp;

/// `count` activities, one after the other.
pub(super) const SEQUENCE: &str = "bench-sequence";
/// `count` activities at once.
pub(super) const FANOUT: &str = "bench-fanout";
/// `count` children at once, each with one activity.
pub(super) const CHILDREN: &str = "bench-children";
/// `count` timers, one after the other.
pub(super) const TIMERS: &str = "bench-timers";
/// Waits for `count` external events.
pub(super) const EVENTS: &str = "bench-events";
/// `count` calls of one entity, one after the other.
pub(super) const ENTITY_CALLS: &str = "bench-entity-calls";
/// `count` activities, one after the other, decided without the history.
pub(super) const RELAY: &str = "bench-relay";
/// The entity.
const COUNTER: &str = "bench-counter";
/// The activity: returns its input.
const ECHO: &str = "bench-echo";

/// Everything a worker needs to host the scenarios.
pub(super) fn registry() -> Registry {
    Registry::default()
        .orchestrator(SEQUENCE, |turn: &Turn<'_>| {
            following(turn, |plan, progress| {
                let steps = Steps::activities(progress);
                steps.one_by_one(plan.count, || {
                    let id = progress.next_action_id();
                    actions::schedule_activity(id, ECHO, Some(plan.greeting(steps.begun + 1)))
                })
            })
        })
        .orchestrator(FANOUT, |turn: &Turn<'_>| {
            following(turn, |plan, progress| {
                Steps::activities(progress).all_at_once(plan.count, |nth| {
                    let id = progress.last_action_id + nth;
                    actions::schedule_activity(id, ECHO, Some(plan.greeting(nth as usize)))
                })
            })
        })
        .orchestrator(CHILDREN, |turn: &Turn<'_>| {
            following(turn, |plan, progress| {
                let steps = Steps {
                    begun: progress.children_created,
                    done: progress.children_completed,
                };
                steps.all_at_once(plan.count, |nth| {
                    let id = progress.last_action_id + nth;
                    let input = Plan {
                        count: 1,
                        ..plan.clone()
                    }
                    .to_json();
                    actions::create_child(
                        id,
                        SEQUENCE,
                        format!("{}:{id}", turn.instance_id),
                        Some(input),
                    )
                })
            })
        })
        .orchestrator(TIMERS, |turn: &Turn<'_>| {
            following(turn, |plan, progress| {
                let steps = Steps {
                    begun: progress.timers_created,
                    done: progress.timers_fired,
                };
                steps.one_by_one(plan.count, || {
                    let now = turn.now().unwrap_or_default();
                    actions::create_timer(progress.next_action_id(), later(now, plan.delay_ms))
                })
            })
        })
        .orchestrator(EVENTS, |turn: &Turn<'_>| {
            following(turn, |plan, progress| {
                match progress.events_raised < plan.count {
                    true => Decision::Wait,
                    false => Decision::Finish,
                }
            })
        })
        .orchestrator(ENTITY_CALLS, |turn: &Turn<'_>| {
            following(turn, |plan, progress| {
                let steps = Steps {
                    begun: progress.entity_calls_made,
                    done: progress.entity_calls_completed,
                };
                steps.one_by_one(plan.count, || {
                    let id = progress.next_action_id();
                    let request_id = request_id(turn.instance_id, steps.begun as u64);
                    let input = Some(counter::ONE.to_owned());
                    actions::call_entity(id, &plan.entity, request_id, counter::ADD, input)
                })
            })
        })
        .entity(COUNTER, counter::operate)
        .activity(ECHO, echo)
}

/// What a worker needs to host [`RELAY`], without the history of its instances if they come without it.
pub(super) fn relay_registry() -> Registry {
    Registry::default()
        .orchestrator(RELAY, relay::decide)
        .activity(ECHO, echo)
}

/// The id of the entity with `key`.
pub(super) fn counter_id(key: &str) -> String {
    format!("@{COUNTER}@{key}")
}

async fn echo(call: ActivityCall) -> Result<Option<String>, TaskFailureDetails> {
    Ok(call.input)
}

/// What an orchestrator does next.
enum Decision {
    Wait,
    Begin(Vec<OrchestratorAction>),
    Finish,
}

/// How many steps of the plan were begun and how many are done.
#[derive(Clone, Copy)]
struct Steps {
    begun: usize,
    done: usize,
}

impl Steps {
    fn activities(progress: &Progress<'_>) -> Self {
        Self {
            begun: progress.activities_scheduled,
            done: progress.activities_completed,
        }
    }

    fn one_by_one(self, count: usize, begin: impl FnOnce() -> OrchestratorAction) -> Decision {
        match self {
            Self { done, .. } if done >= count => Decision::Finish,
            Self { begun, done } if begun == done => Decision::Begin(vec![begin()]),
            _ => Decision::Wait,
        }
    }

    /// `begin` gets the step's number, from 1.
    fn all_at_once(self, count: usize, begin: impl FnMut(i32) -> OrchestratorAction) -> Decision {
        match self {
            Self { done, .. } if done >= count => Decision::Finish,
            Self { begun: 0, .. } => Decision::Begin(
                (1..=i32::try_from(count).unwrap_or(i32::MAX))
                    .map(begin)
                    .collect(),
            ),
            _ => Decision::Wait,
        }
    }
}

/// Reads the plan, fails with the first failed step, and completes with the number of steps.
fn following(
    turn: &Turn<'_>,
    decide: impl FnOnce(&Plan<'_>, &Progress<'_>) -> Decision,
) -> Vec<OrchestratorAction> {
    let progress = Progress::of(turn);
    let id = progress.next_action_id();
    let plan = match Plan::from_json(turn.input().unwrap_or_default()) {
        Ok(plan) => plan,
        Err(fault) => {
            return vec![actions::fail(id, bad_input(fault))];
        }
    };
    if let Some(failure) = progress.first_failure {
        return vec![actions::fail(id, failure.clone())];
    }
    match decide(&plan, &progress) {
        Decision::Wait => Vec::new(),
        Decision::Begin(actions) => actions,
        Decision::Finish => vec![actions::complete(id, Some(plan.count.to_string()))],
    }
}

fn bad_input(fault: serde_json::Error) -> TaskFailureDetails {
    actions::failure("BadInput", fault.to_string())
}

fn later(from: Timestamp, delay_ms: u32) -> Timestamp {
    const NANOS_PER_SECOND: i64 = 1_000_000_000;
    let nanos = i64::from(from.nanos) + i64::from(delay_ms % 1000) * 1_000_000;
    Timestamp {
        seconds: from.seconds + i64::from(delay_ms / 1000) + nanos / NANOS_PER_SECOND,
        nanos: (nanos % NANOS_PER_SECOND) as i32,
    }
}
