//! Builders of the actions an orchestrator decides. Ids count up from 1 within an execution, see [`super::Progress`].

use longhaul_proto::sidecar::{
    CompleteOrchestrationAction, CreateSubOrchestrationAction, CreateTimerAction,
    EntityOperationCalledEvent, OrchestrationInstance, OrchestrationStatus, OrchestratorAction,
    ScheduleTaskAction, SendEntityMessageAction, SendEventAction, TaskFailureDetails,
    orchestrator_action::OrchestratorActionType, send_entity_message_action::EntityMessageType,
};
use prost_types::Timestamp;

/// Runs the activity `name`.
pub fn schedule_activity(id: i32, name: &str, input: Option<String>) -> OrchestratorAction {
    action(
        id,
        OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
            name: name.to_owned(),
            input,
            ..Default::default()
        }),
    )
}

/// Starts the orchestration `name` as a child; the server names it if `instance_id` is empty.
pub fn create_child(
    id: i32,
    name: &str,
    instance_id: String,
    input: Option<String>,
) -> OrchestratorAction {
    let child = CreateSubOrchestrationAction {
        instance_id,
        name: name.to_owned(),
        input,
        ..Default::default()
    };
    action(id, OrchestratorActionType::CreateSubOrchestration(child))
}

/// Fires at `fire_at`, never earlier.
pub fn create_timer(id: i32, fire_at: Timestamp) -> OrchestratorAction {
    action(
        id,
        OrchestratorActionType::CreateTimer(CreateTimerAction {
            fire_at: Some(fire_at),
        }),
    )
}

/// Sends the external event `name` to another instance.
pub fn send_event(
    id: i32,
    instance_id: &str,
    name: &str,
    data: Option<String>,
) -> OrchestratorAction {
    let instance = OrchestrationInstance {
        instance_id: instance_id.to_owned(),
        execution_id: None,
    };
    action(
        id,
        OrchestratorActionType::SendEvent(SendEventAction {
            instance: Some(instance),
            name: name.to_owned(),
            data,
        }),
    )
}

/// Calls an operation of the entity `entity_id` and waits for its result; see [`crate::request_id`].
pub fn call_entity(
    id: i32,
    entity_id: &str,
    request_id: String,
    operation: &str,
    input: Option<String>,
) -> OrchestratorAction {
    let call = EntityOperationCalledEvent {
        request_id,
        operation: operation.to_owned(),
        input,
        target_instance_id: Some(entity_id.to_owned()),
        ..EntityOperationCalledEvent::default()
    };
    action(
        id,
        OrchestratorActionType::SendEntityMessage(SendEntityMessageAction {
            entity_message_type: Some(EntityMessageType::EntityOperationCalled(call)),
        }),
    )
}

/// Ends the orchestration with `output`.
pub fn complete(id: i32, output: Option<String>) -> OrchestratorAction {
    end(id, OrchestrationStatus::Completed, output, None)
}

/// Ends the orchestration as failed.
pub fn fail(id: i32, failure: TaskFailureDetails) -> OrchestratorAction {
    end(id, OrchestrationStatus::Failed, None, Some(failure))
}

/// Answers a request to terminate: `output` is the one requested.
pub fn terminate(id: i32, output: Option<String>) -> OrchestratorAction {
    end(id, OrchestrationStatus::Terminated, output, None)
}

/// Starts the next execution of the same instance with `input`.
pub fn continue_as_new(id: i32, input: Option<String>) -> OrchestratorAction {
    end(id, OrchestrationStatus::ContinuedAsNew, input, None)
}

/// A failure to report from an orchestrator or an activity.
pub fn failure(error_type: &str, message: impl Into<String>) -> TaskFailureDetails {
    TaskFailureDetails {
        error_type: error_type.to_owned(),
        error_message: message.into(),
        ..TaskFailureDetails::default()
    }
}

fn end(
    id: i32,
    status: OrchestrationStatus,
    result: Option<String>,
    failure_details: Option<TaskFailureDetails>,
) -> OrchestratorAction {
    let complete = CompleteOrchestrationAction {
        orchestration_status: status.into(),
        result,
        failure_details,
        ..CompleteOrchestrationAction::default()
    };
    action(id, OrchestratorActionType::CompleteOrchestration(complete))
}

fn action(id: i32, kind: OrchestratorActionType) -> OrchestratorAction {
    OrchestratorAction {
        id,
        orchestrator_action_type: Some(kind),
    }
}
