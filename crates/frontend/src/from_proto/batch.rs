//! CompleteEntityTask: the answer to a batch of an entity's operations.
//!
//! Nothing in an answer makes the call fail, for the reason given in [`super::turn`]. A result that is too large fails
//! its operation. Whatever else cannot be kept fails the batch, which is offered again and given up after a while: the
//! state before it stays.

use bytes::Bytes;
use longhaul_engine::batch::{BatchAnswer, EntityAction, OperationResult};
use longhaul_engine::history::event;
use longhaul_proto::sidecar::operation_action::OperationActionType;
use longhaul_proto::sidecar::{EntityBatchResult, OperationAction, operation_result};
use prost::Message;

use super::encoded;
use crate::limits::Limits;
use crate::refusals::Refusal;
use crate::refusals::rows::{
    BATCH_ACTION, BATCH_RESULT, BATCH_SIGNAL_AT, BATCH_SIGNAL_INPUT, BATCH_SIGNAL_NAME,
    BATCH_START_AT, BATCH_START_INPUT, BATCH_START_NAME, BATCH_START_VERSION, BATCH_STATE,
};
use crate::refusals::rules::{ACTION_UNKNOWN, RESULT_UNKNOWN};

pub(crate) fn batch_answer(result: EntityBatchResult, limits: &Limits) -> BatchAnswer {
    let results = result
        .results
        .into_iter()
        .map(|result| operation_result(result.result_type, limits))
        .collect();
    let actions = entity_actions(result.actions, limits);
    let state = BATCH_STATE.payload(result.entity_state, limits);
    match (actions, state) {
        (Ok(actions), Ok(state)) => BatchAnswer {
            results,
            state,
            actions,
            failure: encoded(result.failure_details),
            requires_state: result.requires_state,
        },
        (Err(refusal), _) | (_, Err(refusal)) => BatchAnswer {
            failure: Some(failure(&refusal)),
            ..BatchAnswer::default()
        },
    }
}

fn operation_result(
    result: Option<operation_result::ResultType>,
    limits: &Limits,
) -> OperationResult {
    use operation_result::ResultType as Kind;
    match result {
        Some(Kind::Success(success)) => match BATCH_RESULT.payload(success.result, limits) {
            Ok(result) => OperationResult::Completed(result),
            Err(refusal) => OperationResult::Failed(failure(&refusal)),
        },
        Some(Kind::Failure(failed)) => {
            let details = failed.failure_details.unwrap_or_default();
            OperationResult::Failed(details.encode_to_vec().into())
        }
        None => OperationResult::Failed(failure(&BATCH_RESULT.refuse(&RESULT_UNKNOWN, ""))),
    }
}

fn entity_actions(
    actions: Vec<OperationAction>,
    limits: &Limits,
) -> Result<Vec<EntityAction>, Refusal> {
    BATCH_ACTION.actions(actions.len(), limits)?;
    let actions = actions.into_iter();
    actions
        .map(|action| entity_action(action, limits))
        .collect()
}

fn entity_action(action: OperationAction, limits: &Limits) -> Result<EntityAction, Refusal> {
    use OperationActionType as Kind;
    match action.operation_action_type {
        Some(Kind::SendSignal(signal)) => Ok(EntityAction::Signal {
            target: signal.instance_id,
            operation: BATCH_SIGNAL_NAME.name_if_any(signal.name, limits)?,
            input: BATCH_SIGNAL_INPUT.payload(signal.input, limits)?,
            scheduled: BATCH_SIGNAL_AT.timestamp_if_any(signal.scheduled_time)?,
        }),
        Some(Kind::StartNewOrchestration(start)) => Ok(EntityAction::Start {
            instance: start.instance_id,
            name: BATCH_START_NAME.name_if_any(start.name, limits)?,
            version: BATCH_START_VERSION.version(start.version, limits)?,
            input: BATCH_START_INPUT.payload(start.input, limits)?,
            scheduled: BATCH_START_AT.timestamp_if_any(start.scheduled_time)?,
            trace: encoded(start.parent_trace_context),
        }),
        None => Err(BATCH_ACTION.refuse(&ACTION_UNKNOWN, action.id)),
    }
}

fn failure(refusal: &Refusal) -> Bytes {
    event::failure_details("InvalidEntityAnswer", &refusal.to_string())
}

#[cfg(test)]
mod tests;
