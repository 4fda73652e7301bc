//! A sequence of activities that needs no history.
//!
//! Every step is told its number and the last one's, and its result says so again: the newest event is all that a turn
//! has to look at. So a worker can run it without ever receiving the history, and decides the same when it does.

use longhaul_client::worker::{Turn, actions};
use longhaul_proto::sidecar::{OrchestratorAction, TaskFailureDetails, history_event::EventType};

use super::{
    ECHO, bad_input,
    plan::{Leg, Plan},
};

pub(super) fn decide(turn: &Turn<'_>) -> Vec<OrchestratorAction> {
    let newest = turn
        .new
        .iter()
        .rev()
        .find_map(|event| step(event.event_type.as_ref()?));
    match newest {
        None => Vec::new(),
        Some(Ok(leg)) => vec![after(leg)],
        // Of the ids in use nothing is known here, and after the end none matters.
        Some(Err(failure)) => vec![actions::fail(i32::MAX, failure)],
    }
}

fn after(leg: Leg<'_>) -> OrchestratorAction {
    let of = leg.of;
    match leg.next() {
        Some(next) => actions::schedule_activity(next.nth, ECHO, Some(next.to_json())),
        None => actions::complete(of.saturating_add(1), Some(of.to_string())),
    }
}

/// The step that `event` says is done. Events of any other kind say nothing.
fn step(event: &EventType) -> Option<Result<Leg<'_>, TaskFailureDetails>> {
    Some(match event {
        EventType::ExecutionStarted(started) => {
            Plan::from_json(started.input.as_deref().unwrap_or_default())
                .map(Leg::start)
                .map_err(bad_input)
        }
        EventType::TaskCompleted(done) => {
            Leg::from_json(done.result.as_deref().unwrap_or_default()).map_err(bad_input)
        }
        EventType::TaskFailed(failed) => Err(failed.failure_details.clone().unwrap_or_default()),
        _ => return None,
    })
}
