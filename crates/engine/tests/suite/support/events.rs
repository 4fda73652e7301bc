//! Reads history events with the generated types, as every worker does.

use bytes::Bytes;
use longhaul_engine::history::Frames;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::{HistoryEvent, TaskFailureDetails};
use prost::Message;

/// One encoded event.
pub(crate) fn decode(event: &[u8]) -> HistoryEvent {
    HistoryEvent::decode(event).expect("a well-formed history event")
}

/// Framed events, one after another.
pub(crate) fn decode_framed(framed: Bytes) -> Vec<HistoryEvent> {
    Frames::new(framed)
        .map(|event| decode(&event.expect("well-formed frames")))
        .collect()
}

/// Encoded failure details.
pub(crate) fn failure(details: &[u8]) -> TaskFailureDetails {
    TaskFailureDetails::decode(details).expect("well-formed failure details")
}

/// What an event is called in the documentation of the SDKs.
pub(crate) fn kind_name(event: &HistoryEvent) -> &'static str {
    match event.event_type.as_ref().expect("every event has a type") {
        EventType::ExecutionStarted(_) => "ExecutionStarted",
        EventType::ExecutionCompleted(_) => "ExecutionCompleted",
        EventType::ExecutionTerminated(_) => "ExecutionTerminated",
        EventType::TaskScheduled(_) => "TaskScheduled",
        EventType::TaskCompleted(_) => "TaskCompleted",
        EventType::TaskFailed(_) => "TaskFailed",
        EventType::SubOrchestrationInstanceCreated(_) => "SubOrchestrationInstanceCreated",
        EventType::SubOrchestrationInstanceCompleted(_) => "SubOrchestrationInstanceCompleted",
        EventType::SubOrchestrationInstanceFailed(_) => "SubOrchestrationInstanceFailed",
        EventType::TimerCreated(_) => "TimerCreated",
        EventType::TimerFired(_) => "TimerFired",
        EventType::OrchestratorStarted(_) => "OrchestratorStarted",
        EventType::EventSent(_) => "EventSent",
        EventType::EventRaised(_) => "EventRaised",
        EventType::ExecutionSuspended(_) => "ExecutionSuspended",
        EventType::ExecutionResumed(_) => "ExecutionResumed",
        EventType::ExecutionRewound(_) => "ExecutionRewound",
        EventType::EntityOperationSignaled(_) => "EntityOperationSignaled",
        EventType::EntityOperationCalled(_) => "EntityOperationCalled",
        EventType::EntityOperationCompleted(_) => "EntityOperationCompleted",
        EventType::EntityOperationFailed(_) => "EntityOperationFailed",
        EventType::EntityLockRequested(_) => "EntityLockRequested",
        EventType::EntityLockGranted(_) => "EntityLockGranted",
        EventType::EntityUnlockSent(_) => "EntityUnlockSent",
        other => panic!("the engine never writes {other:?}"),
    }
}
