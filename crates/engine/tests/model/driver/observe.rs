//! Reads what the engine shows as a worker or a client would: decodes it, and says it in the words of `values.rs`.

use bytes::Bytes;
use longhaul_engine::history::Frames;
use longhaul_engine::query::EntityView as EngineEntityView;
use longhaul_engine::{InstanceView as EngineView, Reply as EngineReply, Status as EngineStatus};
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::{HistoryEvent, ParentInstanceInfo, TaskFailureDetails};
use longhaul_types::Timestamp;
use prost::Message;

use super::engine::failure_type;
use crate::values::{
    EntityView, Event, Failure, InstanceView, Parent, Reply, Request, Started, Status, Text, What,
};

pub(super) fn text(bytes: Option<&Bytes>) -> Text {
    bytes.map(|it| String::from_utf8(it.to_vec()).expect("tests send text"))
}

pub(super) fn status(status: EngineStatus) -> Status {
    match status {
        EngineStatus::Pending => Status::Pending,
        EngineStatus::Running => Status::Running,
        EngineStatus::Suspended => Status::Suspended,
        EngineStatus::Completed => Status::Completed,
        EngineStatus::Failed => Status::Failed,
        EngineStatus::Canceled => Status::Canceled,
        EngineStatus::Terminated => Status::Terminated,
    }
}

pub(super) fn reply(reply: &EngineReply) -> Reply {
    match *reply {
        EngineReply::Done => Reply::Done,
        EngineReply::NotFound => Reply::NotFound,
        EngineReply::AlreadyExists(it) => Reply::AlreadyExists(status(it)),
        EngineReply::ContradictoryReuse => Reply::Contradiction,
        EngineReply::Stale => Reply::Stale,
        EngineReply::NotEnded(it) => Reply::NotEnded(status(it)),
        EngineReply::NotFailed(it) => Reply::NotFailed(status(it)),
        EngineReply::Refused => Reply::Refused,
        EngineReply::Purged { count, live } => Reply::Purged { count, live },
        EngineReply::Received { .. } => panic!("no client is told how far partitions are"),
    }
}

pub(super) fn view(view: &EngineView) -> InstanceView {
    InstanceView {
        id: view.key.id.to_string(),
        name: view.name.to_string(),
        version: view.version.as_deref().map(str::to_owned),
        execution: view.execution.to_string(),
        status: status(view.status),
        created: view.created_at,
        updated: view.updated_at,
        completed: view.completed_at,
        start: view.scheduled_start,
        input: text(view.input.as_ref()),
        output: text(view.output.as_ref()),
        failure: view.failure.as_deref().map(encoded_failure),
        custom_status: text(view.custom_status.as_ref()),
        tags: view.tags.as_deref().cloned().unwrap_or_default(),
        parent: view.parent.as_ref().map(ToString::to_string),
    }
}

pub(super) fn entity_view(view: &EngineEntityView) -> EntityView {
    EntityView {
        id: view.id.to_string(),
        state: text(view.state.as_ref()),
        modified: view.state.as_ref().map(|_| view.modified_at),
        waiting: view.backlog as usize,
        locked_by: view.locked_by.as_ref().map(ToString::to_string),
    }
}

pub(super) fn framed(runs: &[Bytes]) -> Vec<Event> {
    let frames = runs.iter().cloned().flat_map(Frames::new);
    frames
        .map(|frame| event(&frame.expect("whole frames")))
        .collect()
}

/// One encoded event.
pub(super) fn event(bytes: &[u8]) -> Event {
    let event = HistoryEvent::decode(bytes).expect("a well-formed event");
    let what = what(event.event_type.expect("every event says something"));
    let at = time(event.timestamp.expect("every event has a time"));
    let is_timed = event.event_id != -1 || matches!(what, What::OrchestratorStarted);
    Event {
        id: event.event_id,
        at: is_timed.then_some(at),
        what,
    }
}

/// The request in an operation that a worker is handed.
pub(super) fn request(bytes: &[u8]) -> Request {
    match event(bytes) {
        Event {
            id: -1,
            what: What::Operation(request),
            ..
        } => request,
        other => panic!("batches hold operations only, not {other:?}"),
    }
}

fn what(event: EventType) -> What {
    match event {
        EventType::OrchestratorStarted(_) => What::OrchestratorStarted,
        EventType::ExecutionStarted(it) => {
            let own = it.orchestration_instance.expect("has its own id");
            What::ExecutionStarted(Started {
                name: it.name,
                version: it.version,
                input: it.input,
                instance: own.instance_id,
                execution: own.execution_id.expect("has an execution"),
                parent: it.parent_instance.map(parent),
                start: it.scheduled_start_timestamp.map(time),
                tags: it.tags,
            })
        }
        EventType::ExecutionSuspended(it) => What::ExecutionSuspended(it.input),
        EventType::ExecutionResumed(it) => What::ExecutionResumed(it.input),
        EventType::ExecutionTerminated(it) => What::ExecutionTerminated {
            input: it.input,
            recurse: it.recurse,
        },
        EventType::ExecutionRewound(it) => What::ExecutionRewound(it.reason),
        EventType::ExecutionCompleted(it) => What::ExecutionCompleted {
            status: EngineStatus::from_wire(it.orchestration_status)
                .map(status)
                .expect("a status"),
            result: it.result,
            failure: it.failure_details.map(failure),
        },
        EventType::TaskScheduled(it) => What::TaskScheduled {
            name: it.name,
            input: it.input,
        },
        EventType::TaskCompleted(it) => What::TaskCompleted {
            of: it.task_scheduled_id,
            result: it.result,
        },
        EventType::TaskFailed(it) => What::TaskFailed {
            of: it.task_scheduled_id,
            failure: required(it.failure_details),
        },
        EventType::TimerCreated(it) => What::TimerCreated {
            due: time(it.fire_at.expect("a due time")),
        },
        EventType::TimerFired(it) => What::TimerFired {
            of: it.timer_id,
            due: time(it.fire_at.expect("a due time")),
        },
        EventType::SubOrchestrationInstanceCreated(it) => What::ChildCreated {
            instance: it.instance_id,
            name: it.name,
            version: it.version,
            input: it.input,
            tags: it.tags,
        },
        EventType::SubOrchestrationInstanceCompleted(it) => What::ChildCompleted {
            of: it.task_scheduled_id,
            result: it.result,
        },
        EventType::SubOrchestrationInstanceFailed(it) => What::ChildFailed {
            of: it.task_scheduled_id,
            failure: required(it.failure_details),
        },
        EventType::EventSent(it) => What::EventSent {
            to: it.instance_id,
            name: it.name,
            input: it.input,
        },
        EventType::EventRaised(it) => What::EventRaised {
            name: it.name,
            input: it.input,
        },
        other => of_entities(other),
    }
}

fn of_entities(event: EventType) -> What {
    match event {
        EventType::EntityOperationSignaled(it) => What::Operation(Request {
            id: it.request_id,
            operation: it.operation,
            input: it.input,
            due: it.scheduled_time.map(time),
            target: it.target_instance_id.expect("SDKs read it unchecked"),
            caller: None,
        }),
        EventType::EntityOperationCalled(it) => What::Operation(Request {
            id: it.request_id,
            operation: it.operation,
            input: it.input,
            due: it.scheduled_time.map(time),
            target: it.target_instance_id.expect("SDKs read it unchecked"),
            caller: Some((
                it.parent_instance_id.expect("a call has a caller"),
                it.parent_execution_id.expect("a call has a caller"),
            )),
        }),
        EventType::EntityOperationCompleted(it) => What::OperationCompleted {
            request: it.request_id,
            output: it.output,
        },
        EventType::EntityOperationFailed(it) => What::OperationFailed {
            request: it.request_id,
            failure: required(it.failure_details),
        },
        EventType::EntityLockRequested(it) => What::LockRequested {
            section: it.critical_section_id,
            lock_set: it.lock_set,
        },
        EventType::EntityLockGranted(it) => What::LockGranted {
            section: it.critical_section_id,
        },
        EventType::EntityUnlockSent(it) => What::UnlockSent {
            section: it.critical_section_id,
            target: it.target_instance_id.expect("SDKs read it unchecked"),
        },
        other => panic!("never in a history: {other:?}"),
    }
}

fn parent(info: ParentInstanceInfo) -> Parent {
    let own = info.orchestration_instance.expect("SDKs read it unchecked");
    Parent {
        instance: own.instance_id,
        execution: own.execution_id.expect("has an execution"),
        task: info.task_scheduled_id,
        name: info.name.expect("has a name"),
        version: info.version,
    }
}

fn required(details: Option<TaskFailureDetails>) -> Failure {
    failure(details.expect("a failure has details"))
}

fn encoded_failure(bytes: &[u8]) -> Failure {
    failure(TaskFailureDetails::decode(bytes).expect("well-formed details"))
}

/// The workers of these tests have one type of failure of their own.
fn failure(details: TaskFailureDetails) -> Failure {
    if details.error_type == failure_type() {
        return Failure::ByWorker(details.error_message);
    }
    assert!(details.is_non_retriable && !details.error_message.is_empty());
    Failure::ByServer
}

fn time(at: prost_types::Timestamp) -> Timestamp {
    Timestamp {
        seconds: at.seconds,
        nanos: u32::try_from(at.nanos).expect("counted forwards"),
    }
}
