//! What an entity is, and how a batch of its operations is run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use longhaul_proto::sidecar::{
    EntityBatchResult, EntityRequest, HistoryEvent, OperationInfo, OperationResult,
    OperationResultFailure, OperationResultSuccess, OrchestrationInstance, TaskFailureDetails,
    history_event::EventType, operation_result::ResultType,
};

use super::actions;

/// One operation, called or signaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation<'a> {
    /// The entity's id, `@name@key`.
    pub entity_id: &'a str,
    /// The operation's name.
    pub name: &'a str,
    /// Its input.
    pub input: Option<&'a str>,
}

/// What an operation leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operated {
    /// The entity's state from now on; none deletes it.
    pub state: Option<String>,
    /// For the caller, if there is one.
    pub result: Option<String>,
}

/// A named piece of state with operations, each a pure function of the state and its input.
///
/// A failed operation leaves the state as it was.
pub trait Entity: Send + Sync + 'static {
    /// Runs one operation on `state`, which is none before the first.
    fn operate(
        &self,
        state: Option<&str>,
        operation: &Operation<'_>,
    ) -> Result<Operated, TaskFailureDetails>;
}

impl<F> Entity for F
where
    F: Fn(Option<&str>, &Operation<'_>) -> Result<Operated, TaskFailureDetails>
        + Send
        + Sync
        + 'static,
{
    fn operate(
        &self,
        state: Option<&str>,
        operation: &Operation<'_>,
    ) -> Result<Operated, TaskFailureDetails> {
        self(state, operation)
    }
}

/// The name in `@name@key`, as registered: in lower case.
pub(super) fn name_of(entity_id: &str) -> Option<String> {
    let (name, _) = entity_id.strip_prefix('@')?.split_once('@')?;
    Some(name.to_lowercase())
}

/// Runs the operations in order. `None` if the batch holds anything else: then no result could be told whose it is.
pub(super) fn run_batch(
    entity: &dyn Entity,
    request: &EntityRequest,
    completion_token: String,
) -> Option<EntityBatchResult> {
    let mut batch = EntityBatchResult {
        entity_state: request.entity_state.clone(),
        completion_token,
        ..EntityBatchResult::default()
    };
    for event in &request.operation_requests {
        let (operation, info) = operation_of(&request.instance_id, event)?;
        let outcome = operate_guarded(entity, batch.entity_state.as_deref(), &operation);
        let result = match outcome {
            Ok(Operated { state, result }) => {
                batch.entity_state = state;
                ResultType::Success(OperationResultSuccess {
                    result,
                    ..OperationResultSuccess::default()
                })
            }
            Err(failure) => ResultType::Failure(OperationResultFailure {
                failure_details: Some(failure),
                ..OperationResultFailure::default()
            }),
        };
        batch.results.push(OperationResult {
            result_type: Some(result),
        });
        batch.operation_infos.push(info);
    }
    Some(batch)
}

fn operation_of<'a>(
    entity_id: &'a str,
    event: &'a HistoryEvent,
) -> Option<(Operation<'a>, OperationInfo)> {
    let (name, input, request_id, response_destination) = match event.event_type.as_ref()? {
        EventType::EntityOperationSignaled(signal) => {
            (&signal.operation, &signal.input, &signal.request_id, None)
        }
        EventType::EntityOperationCalled(call) => {
            let caller = OrchestrationInstance {
                instance_id: call.parent_instance_id.clone().unwrap_or_default(),
                execution_id: call.parent_execution_id.clone(),
            };
            (&call.operation, &call.input, &call.request_id, Some(caller))
        }
        _ => return None,
    };
    let operation = Operation {
        entity_id,
        name,
        input: input.as_deref(),
    };
    let info = OperationInfo {
        request_id: request_id.clone(),
        response_destination,
    };
    Some((operation, info))
}

/// Runs one operation; a panic is a failure as any other.
fn operate_guarded(
    entity: &dyn Entity,
    state: Option<&str>,
    operation: &Operation<'_>,
) -> Result<Operated, TaskFailureDetails> {
    catch_unwind(AssertUnwindSafe(|| entity.operate(state, operation)))
        .unwrap_or_else(|_| Err(actions::failure("Panic", "the operation panicked")))
}

#[cfg(test)]
mod tests;
