//! CompleteOrchestratorTask: the answer to a turn.
//!
//! Nothing in an answer makes the call fail. A worker that sent something malformed would send it again on every
//! delivery, and the Java worker tears its stream down on any error; so the orchestration fails instead, with a text
//! that says why.

use longhaul_engine::Status;
use longhaul_engine::history::event::INBOUND;
use longhaul_engine::turn::{Action, Answer, Decided};
use longhaul_proto::sidecar::orchestrator_action::OrchestratorActionType;
use longhaul_proto::sidecar::{
    CompleteOrchestrationAction, HistoryEvent, OrchestrationStatus, OrchestratorAction,
    OrchestratorResponse,
};
use longhaul_types::Timestamp;
use prost::Message;

use super::{Invalid, encoded, payload, timestamp};

/// Why an orchestration fails for what its worker answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(
        "action {id} has no type that this server knows; update the server or use an older SDK"
    )]
    UnknownAction { id: i32 },
    #[error("{0} is not available in this version of the server")]
    Unavailable(&'static str),
    #[error("the entity '{0}' cannot be sent events; this version of the server has no entities")]
    EventToEntity(String),
    #[error("a timer has no fireAt")]
    NoFireAt,
    #[error("an orchestration cannot complete with the status {0}")]
    NoEnd(i32),
    #[error("numEventsProcessed is {0}, but must not be negative")]
    NegativeEvents(i32),
}

/// `now` is for carried-over events that have no time of their own.
pub(crate) fn answer(
    response: OrchestratorResponse,
    now: Timestamp,
    payload_bytes_max: usize,
) -> Answer {
    let first_part = is_first_part(&response);
    let mut actions: Vec<Decided> = response
        .actions
        .into_iter()
        .map(|action| decided(action, now, payload_bytes_max))
        .collect();
    let mut refuse = |refusal: Refusal| actions.push(refused(refusal.to_string()));
    let custom_status = payload("customStatus", response.custom_status, payload_bytes_max)
        .unwrap_or_else(|invalid| {
            refuse(invalid.into());
            None
        });
    // Later parts carry a 0 that does not mean "none".
    let events_processed = match response.num_events_processed.filter(|_| first_part) {
        None => None,
        Some(count) => u32::try_from(count).map(Some).unwrap_or_else(|_| {
            refuse(Refusal::NegativeEvents(count));
            None
        }),
    };
    Answer {
        actions,
        custom_status,
        trace: encoded(response.orchestration_trace_context),
        events_processed,
    }
}

/// The server's own verdict on an answer, as an action.
pub(crate) fn refused(reason: String) -> Decided {
    Decided {
        id: INBOUND,
        action: Action::Refused(reason),
    }
}

#[expect(
    deprecated,
    reason = "the .NET and Java SDKs still send answers in parts"
)]
fn is_first_part(response: &OrchestratorResponse) -> bool {
    response.chunk_index.is_none_or(|index| index <= 0)
}

fn decided(action: OrchestratorAction, now: Timestamp, payload_bytes_max: usize) -> Decided {
    let id = action.id;
    let action = match action.orchestrator_action_type {
        Some(kind) => self::action(kind, now, payload_bytes_max),
        None => Err(Refusal::UnknownAction { id }),
    };
    Decided {
        id,
        action: action.unwrap_or_else(|refusal| Action::Refused(refusal.to_string())),
    }
}

fn action(
    kind: OrchestratorActionType,
    now: Timestamp,
    payload_bytes_max: usize,
) -> Result<Action, Refusal> {
    use OrchestratorActionType as Kind;
    Ok(match kind {
        Kind::ScheduleTask(task) => Action::ScheduleTask {
            name: task.name,
            version: task.version,
            input: payload("input", task.input, payload_bytes_max)?,
            tags: task.tags,
            trace: encoded(task.parent_trace_context),
        },
        Kind::CreateTimer(timer) => {
            let fire_at = timer.fire_at.ok_or(Refusal::NoFireAt)?;
            Action::CreateTimer {
                fire_at: timestamp("fireAt", fire_at)?,
            }
        }
        Kind::CreateSubOrchestration(child) => Action::CreateChild {
            instance: child.instance_id,
            name: child.name,
            version: child.version,
            input: payload("input", child.input, payload_bytes_max)?,
            tags: child.tags,
            trace: encoded(child.parent_trace_context),
        },
        Kind::SendEvent(event) => {
            let instance = event.instance.unwrap_or_default().instance_id;
            if instance.starts_with('@') {
                return Err(Refusal::EventToEntity(instance));
            }
            let data = payload("data", event.data, payload_bytes_max)?;
            Action::SendEvent {
                instance,
                name: event.name,
                data,
            }
        }
        Kind::TerminateOrchestration(terminate) => Action::Terminate {
            instance: terminate.instance_id,
            reason: payload("reason", terminate.reason, payload_bytes_max)?,
            recurse: terminate.recurse,
        },
        Kind::CompleteOrchestration(complete) => completion(complete, now, payload_bytes_max)?,
        Kind::SendEntityMessage(_) => return Err(Refusal::Unavailable("sending to an entity")),
        Kind::RewindOrchestration(_) => return Err(Refusal::Unavailable("rewinding")),
    })
}

fn completion(
    complete: CompleteOrchestrationAction,
    now: Timestamp,
    payload_bytes_max: usize,
) -> Result<Action, Refusal> {
    let number = complete.orchestration_status;
    let result = payload("result", complete.result, payload_bytes_max)?;
    if number == OrchestrationStatus::ContinuedAsNew as i32 {
        let carryover = complete.carryover_events.into_iter();
        return Ok(Action::ContinueAsNew {
            input: result,
            version: complete.new_version,
            carryover: carryover
                .filter_map(|event| carried_over(event, now))
                .collect(),
        });
    }
    match Status::from_wire(number) {
        Some(status) if status.is_terminal() => Ok(Action::Complete {
            status,
            result,
            failure: encoded(complete.failure_details),
        }),
        Some(_) | None => Err(Refusal::NoEnd(number)),
    }
}

/// An event for the next generation; `None` for one of a kind this server does not know, which no worker could read.
fn carried_over(mut event: HistoryEvent, now: Timestamp) -> Option<bytes::Bytes> {
    event.event_type.as_ref()?;
    event.event_id = INBOUND;
    event
        .timestamp
        .get_or_insert_with(|| crate::to_proto::timestamp(now));
    Some(event.encode_to_vec().into())
}

#[cfg(test)]
mod tests;
