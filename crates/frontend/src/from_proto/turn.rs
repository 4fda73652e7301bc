//! CompleteOrchestratorTask: the answer to a turn.
//!
//! Nothing in an answer makes the call fail. A worker that sent something malformed would send it again on every
//! delivery, and the Java worker tears its stream down on any error; so the orchestration fails instead, with a text
//! that says why.

mod entities;

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

use super::encoded;
use crate::limits::Limits;
use crate::refusals::Refusal;
use crate::refusals::rows::{
    CHILD_INPUT, CHILD_NAME, CHILD_TAGS, CHILD_VERSION, END_REASON, END_RESULT, END_STATUS,
    END_VERSION, REWIND_ACTION, SEND_DATA, SEND_NAME, SEND_TARGET, TASK_INPUT, TASK_NAME,
    TASK_TAGS, TASK_VERSION, TIMER_AT, TURN_ACTION, TURN_EVENTS, TURN_STATUS,
};
use crate::refusals::rules::{
    ACTION_UNAVAILABLE, ACTION_UNKNOWN, EVENT_TO_ENTITY, NEGATIVE_EVENTS, NO_END, NO_FIRE_AT,
};

/// `now` is for carried-over events that have no time of their own.
pub(crate) fn answer(response: OrchestratorResponse, now: Timestamp, limits: &Limits) -> Answer {
    let first_part = is_first_part(&response);
    let mut actions: Vec<Decided> = response
        .actions
        .into_iter()
        .map(|action| decided(action, now, limits))
        .collect();
    let mut refuse = |refusal: Refusal| actions.push(refused(refusal.to_string()));
    let custom_status = TURN_STATUS
        .payload(response.custom_status, limits)
        .unwrap_or_else(|refusal| {
            refuse(refusal);
            None
        });
    // Later parts carry a 0 that does not mean "none".
    let events_processed = match response.num_events_processed.filter(|_| first_part) {
        None => None,
        Some(count) => u32::try_from(count).map(Some).unwrap_or_else(|_| {
            refuse(TURN_EVENTS.refuse(&NEGATIVE_EVENTS, count));
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

/// The whole of an answer, or its refusal if it does too much. One that is refused already is left to that.
pub(crate) fn whole(answer: Answer, limits: &Limits) -> Answer {
    let is_refused = |it: &Decided| matches!(it.action, Action::Refused(_));
    match TURN_ACTION.actions(answer.actions.len(), limits) {
        Err(refusal) if !answer.actions.iter().any(is_refused) => Answer {
            actions: vec![refused(refusal.to_string())],
            ..answer
        },
        Ok(()) | Err(_) => answer,
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

fn decided(action: OrchestratorAction, now: Timestamp, limits: &Limits) -> Decided {
    let id = action.id;
    let action = match action.orchestrator_action_type {
        Some(kind) => self::action(kind, now, limits),
        None => Err(TURN_ACTION.refuse(&ACTION_UNKNOWN, id)),
    };
    Decided {
        id,
        action: action.unwrap_or_else(|refusal| Action::Refused(refusal.to_string())),
    }
}

fn action(
    kind: OrchestratorActionType,
    now: Timestamp,
    limits: &Limits,
) -> Result<Action, Refusal> {
    use OrchestratorActionType as Kind;
    Ok(match kind {
        Kind::ScheduleTask(task) => Action::ScheduleTask {
            name: TASK_NAME.name_if_any(task.name, limits)?,
            version: TASK_VERSION.version(task.version, limits)?,
            input: TASK_INPUT.payload(task.input, limits)?,
            tags: TASK_TAGS.tags(task.tags, limits)?,
            trace: encoded(task.parent_trace_context),
        },
        Kind::CreateTimer(timer) => {
            let fire_at = timer
                .fire_at
                .ok_or_else(|| TIMER_AT.refuse(&NO_FIRE_AT, ""))?;
            Action::CreateTimer {
                fire_at: TIMER_AT.timestamp(fire_at)?,
            }
        }
        Kind::CreateSubOrchestration(child) => Action::CreateChild {
            instance: child.instance_id,
            name: CHILD_NAME.name_if_any(child.name, limits)?,
            version: CHILD_VERSION.version(child.version, limits)?,
            input: CHILD_INPUT.payload(child.input, limits)?,
            tags: CHILD_TAGS.tags(child.tags, limits)?,
            trace: encoded(child.parent_trace_context),
        },
        Kind::SendEvent(event) => {
            let instance = event.instance.unwrap_or_default().instance_id;
            if instance.starts_with('@') {
                return Err(SEND_TARGET.refuse(&EVENT_TO_ENTITY, format_args!("'{instance}'")));
            }
            let data = SEND_DATA.payload(event.data, limits)?;
            Action::SendEvent {
                instance,
                name: SEND_NAME.name_if_any(event.name, limits)?,
                data,
            }
        }
        Kind::TerminateOrchestration(terminate) => Action::Terminate {
            instance: terminate.instance_id,
            reason: END_REASON.payload(terminate.reason, limits)?,
            recurse: terminate.recurse,
        },
        Kind::CompleteOrchestration(complete) => completion(complete, now, limits)?,
        Kind::SendEntityMessage(message) => entities::entity_message(message, limits)?,
        Kind::RewindOrchestration(_) => return Err(REWIND_ACTION.refuse(&ACTION_UNAVAILABLE, "")),
    })
}

fn completion(
    complete: CompleteOrchestrationAction,
    now: Timestamp,
    limits: &Limits,
) -> Result<Action, Refusal> {
    let number = complete.orchestration_status;
    let result = END_RESULT.payload(complete.result, limits)?;
    if number == OrchestrationStatus::ContinuedAsNew as i32 {
        let carryover = complete.carryover_events.into_iter();
        return Ok(Action::ContinueAsNew {
            input: result,
            version: END_VERSION.version(complete.new_version, limits)?,
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
        Some(_) | None => Err(END_STATUS.refuse(&NO_END, number)),
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
