//! The events that the engine writes by hand are the ones of the contract: read back with the generated types.

use longhaul_engine::Status;
use longhaul_engine::history::entity_event::{self, OperationText};
use longhaul_engine::history::event;
use longhaul_engine::instance::{ParentLink, Tags};
use longhaul_engine::message::Creation;
use longhaul_proto::sidecar as wire;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};
use proptest::prelude::*;
use prost::Message;

use crate::support::decode;

/// What every event function is called with; absent, empty and long texts among them.
#[derive(Clone, Debug)]
struct Parts {
    id: i32,
    at: Timestamp,
    due: Timestamp,
    name: String,
    other: String,
    text: Option<String>,
    version: Option<String>,
    tags: Tags,
    trace: Option<wire::TraceContext>,
    failure: wire::TaskFailureDetails,
    flag: bool,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{0,20}", Just("ü".repeat(200))]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![
        Just(0i64),
        Just(-62_135_596_800),
        Just(253_402_300_799),
        any::<i32>().prop_map(i64::from)
    ];
    (seconds, prop_oneof![Just(0u32), 0..1_000_000_000u32])
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn trace() -> impl Strategy<Value = wire::TraceContext> {
    (text(), proptest::option::of(text())).prop_map(|(trace_parent, trace_state)| {
        wire::TraceContext {
            trace_parent,
            trace_state,
            ..Default::default()
        }
    })
}

fn failure() -> impl Strategy<Value = wire::TaskFailureDetails> {
    let texts = (text(), text(), proptest::option::of(text()), any::<bool>());
    texts.prop_map(
        |(error_type, error_message, stack_trace, is_non_retriable)| wire::TaskFailureDetails {
            error_type,
            error_message,
            stack_trace,
            is_non_retriable,
            ..Default::default()
        },
    )
}

fn nested_failure() -> impl Strategy<Value = wire::TaskFailureDetails> {
    let pair = (failure(), proptest::option::of(failure()));
    pair.prop_map(|(outer, inner)| wire::TaskFailureDetails {
        inner_failure: inner.map(Box::new),
        ..outer
    })
}

prop_compose! {
    fn parts()(
        id in prop_oneof![Just(-1), Just(0), any::<i32>()],
        (at, due) in (time(), time()),
        (name, other) in (text(), text()),
        text in proptest::option::of(text()),
        version in proptest::option::of(text()),
        tags in proptest::collection::btree_map(text(), text(), 0..3),
        trace in proptest::option::of(trace()),
        failure in nested_failure(),
        flag in any::<bool>(),
    ) -> Parts {
        Parts { id, at, due, name, other, text, version, tags, trace, failure, flag }
    }
}

fn stamp(at: Timestamp) -> Option<prost_types::Timestamp> {
    let nanos = i32::try_from(at.nanos).expect("below a second");
    Some(prost_types::Timestamp {
        seconds: at.seconds,
        nanos,
    })
}

fn check(encoded: &[u8], id: i32, at: Timestamp, event_type: EventType) {
    let expected = wire::HistoryEvent {
        event_id: id,
        timestamp: stamp(at),
        event_type: Some(event_type),
    };
    assert_eq!(decode(encoded), expected);
}

fn creation(parts: &Parts) -> Creation {
    let parent_id = InstanceId::trusted(parts.other.as_str());
    let execution = ExecutionId::new("parent execution");
    let info = event::parent_info(
        parts.id,
        &parts.name,
        parts.version.as_deref(),
        &parent_id,
        &execution,
    );
    let parent = ParentLink {
        instance: parent_id,
        execution,
        task_id: parts.id,
        seq: 1,
        info,
    };
    Creation {
        execution: ExecutionId::new("own execution"),
        name: parts.name.as_str().into(),
        version: parts.version.as_deref().map(Into::into),
        input: parts.text.clone().map(Into::into),
        scheduled_start: parts.flag.then_some(parts.due),
        tags: (!parts.tags.is_empty()).then(|| parts.tags.clone().into()),
        parent: parts.flag.then(|| parent.into()),
        parent_trace: parts.trace.as_ref().map(|it| it.encode_to_vec().into()),
        request_fingerprint: 0,
    }
}

fn instance(id: &str, execution: &str) -> Option<wire::OrchestrationInstance> {
    Some(wire::OrchestrationInstance {
        instance_id: id.to_owned(),
        execution_id: Some(execution.to_owned()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn executions(parts in parts()) {
        let Parts { id, at, name, other, text, version, failure, flag, .. } = parts.clone();
        let bytes = text.as_deref().map(str::as_bytes);
        let details = failure.encode_to_vec();

        let started = event::execution_started(at, &InstanceId::trusted("own"), &creation(&parts));
        check(&started, -1, at, EventType::ExecutionStarted(wire::ExecutionStartedEvent {
            name: name.clone(),
            version: version.clone(),
            input: text.clone(),
            orchestration_instance: instance("own", "own execution"),
            parent_instance: flag.then(|| wire::ParentInstanceInfo {
                task_scheduled_id: id,
                name: Some(name.clone()),
                version: version.clone(),
                orchestration_instance: instance(&other, "parent execution"),
            }),
            scheduled_start_timestamp: stamp(parts.due).filter(|_| flag),
            parent_trace_context: parts.trace.clone(),
            orchestration_span_id: None,
            tags: parts.tags.clone(),
        }));

        let completed = event::execution_completed(id, at, Status::Terminated, bytes, flag.then_some(&details));
        check(&completed, id, at, EventType::ExecutionCompleted(wire::ExecutionCompletedEvent {
            orchestration_status: wire::OrchestrationStatus::Terminated as i32,
            result: text.clone(),
            failure_details: flag.then(|| failure.clone()),
        }));
        let terminated = event::execution_terminated(at, bytes, flag);
        check(&terminated, -1, at, EventType::ExecutionTerminated(wire::ExecutionTerminatedEvent {
            input: text.clone(),
            recurse: flag,
        }));
        let suspended = event::execution_suspended(at, bytes);
        check(&suspended, -1, at, EventType::ExecutionSuspended(wire::ExecutionSuspendedEvent { input: text.clone() }));
        let resumed = event::execution_resumed(at, bytes);
        check(&resumed, -1, at, EventType::ExecutionResumed(wire::ExecutionResumedEvent { input: text.clone() }));
        let started = event::orchestrator_started(at);
        check(&started, -1, at, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {}));
    }

    #[test]
    fn tasks_and_timers(parts in parts()) {
        let Parts { id, at, due, name, text, version, tags, trace, failure, .. } = parts;
        let bytes = text.as_deref().map(str::as_bytes);
        let context = trace.as_ref().map(Message::encode_to_vec);

        let scheduled = event::task_scheduled(id, at, &name, version.as_deref(), bytes, context.as_deref(), &tags);
        check(&scheduled, id, at, EventType::TaskScheduled(wire::TaskScheduledEvent {
            name,
            version,
            input: text.clone(),
            parent_trace_context: trace,
            tags,
        }));
        let completed = event::task_completed(at, id, bytes);
        check(&completed, -1, at, EventType::TaskCompleted(wire::TaskCompletedEvent {
            task_scheduled_id: id,
            result: text,
        }));
        let failed = event::task_failed(at, id, &failure.encode_to_vec());
        check(&failed, -1, at, EventType::TaskFailed(wire::TaskFailedEvent {
            task_scheduled_id: id,
            failure_details: Some(failure),
        }));
        let created = event::timer_created(id, at, due);
        check(&created, id, at, EventType::TimerCreated(wire::TimerCreatedEvent { fire_at: stamp(due) }));
        let fired = event::timer_fired(at, id, due);
        check(&fired, -1, at, EventType::TimerFired(wire::TimerFiredEvent {
            fire_at: stamp(due),
            timer_id: id,
        }));
    }

    #[test]
    fn children_and_events(parts in parts()) {
        let Parts { id, at, name, other, text, version, tags, trace, failure, .. } = parts.clone();
        let bytes = text.as_deref().map(str::as_bytes);

        let created = event::child_created(id, at, &InstanceId::trusted(other.as_str()), &creation(&parts));
        check(&created, id, at, EventType::SubOrchestrationInstanceCreated(
            wire::SubOrchestrationInstanceCreatedEvent {
                instance_id: other.clone(),
                name: name.clone(),
                version,
                input: text.clone(),
                parent_trace_context: trace,
                tags,
            },
        ));
        let completed = event::child_completed(at, id, bytes);
        check(&completed, -1, at, EventType::SubOrchestrationInstanceCompleted(
            wire::SubOrchestrationInstanceCompletedEvent { task_scheduled_id: id, result: text.clone() },
        ));
        let failed = event::child_failed(at, id, &failure.encode_to_vec());
        check(&failed, -1, at, EventType::SubOrchestrationInstanceFailed(
            wire::SubOrchestrationInstanceFailedEvent { task_scheduled_id: id, failure_details: Some(failure) },
        ));
        let sent = event::event_sent(id, at, &other, &name, bytes);
        check(&sent, id, at, EventType::EventSent(wire::EventSentEvent {
            instance_id: other,
            name: name.clone(),
            input: text.clone(),
        }));
        let raised = event::event_raised(at, &name, bytes);
        check(&raised, -1, at, EventType::EventRaised(wire::EventRaisedEvent { name, input: text }));
    }

    #[test]
    fn entities(parts in parts()) {
        let Parts { id, at, due, name, other, text, version, failure, flag, .. } = parts;
        let bytes = text.as_deref().map(str::as_bytes);
        let scheduled = flag.then_some(due);
        let operation = OperationText {
            request_id: &name,
            operation: &other,
            scheduled,
            input: bytes,
            target: "@a@1",
        };
        let signaled = entity_event::operation_signaled(id, at, operation);
        check(&signaled, id, at, EventType::EntityOperationSignaled(
            wire::EntityOperationSignaledEvent {
                request_id: name.clone(),
                operation: other.clone(),
                scheduled_time: scheduled.and_then(stamp),
                input: text.clone(),
                target_instance_id: Some("@a@1".into()),
            },
        ));
        let parent = (InstanceId::trusted(other.as_str()), ExecutionId::new(name.as_str()));
        let called = entity_event::operation_called(id, at, operation, (&parent.0, &parent.1));
        check(&called, id, at, EventType::EntityOperationCalled(wire::EntityOperationCalledEvent {
            request_id: name.clone(),
            operation: other.clone(),
            scheduled_time: scheduled.and_then(stamp),
            input: text.clone(),
            parent_instance_id: Some(other.clone()),
            parent_execution_id: Some(name.clone()),
            target_instance_id: Some("@a@1".into()),
        }));
        let completed = entity_event::operation_completed(at, &name, bytes);
        check(&completed, -1, at, EventType::EntityOperationCompleted(
            wire::EntityOperationCompletedEvent { request_id: name.clone(), output: text.clone() },
        ));
        let failed = entity_event::operation_failed(at, &name, &failure.encode_to_vec());
        check(&failed, -1, at, EventType::EntityOperationFailed(
            wire::EntityOperationFailedEvent {
                request_id: name.clone(),
                failure_details: Some(failure),
            },
        ));
        let lock_set = [other.clone(), String::new(), name.clone()];
        let sender = version.as_deref().map(str::as_bytes);
        let requested = entity_event::lock_requested(id, at, &name, &lock_set, id, sender);
        check(&requested, id, at, EventType::EntityLockRequested(wire::EntityLockRequestedEvent {
            critical_section_id: name.clone(),
            lock_set: lock_set.to_vec(),
            position: id,
            parent_instance_id: version.clone(),
        }));
        let granted = entity_event::lock_granted(at, &name);
        check(&granted, -1, at, EventType::EntityLockGranted(wire::EntityLockGrantedEvent {
            critical_section_id: name.clone(),
        }));
        let unlocked = entity_event::unlock_sent(id, at, &name, sender, &other);
        check(&unlocked, id, at, EventType::EntityUnlockSent(wire::EntityUnlockSentEvent {
            critical_section_id: name,
            parent_instance_id: version,
            target_instance_id: Some(other),
        }));
        let rewound = event::execution_rewound(at, bytes);
        check(&rewound, -1, at, EventType::ExecutionRewound(wire::ExecutionRewoundEvent {
            reason: text,
            ..Default::default()
        }));
    }
}

#[test]
fn failures_reported_by_the_server_are_not_worth_a_retry() {
    let details = crate::support::failure(&event::failure_details("Kind", "what happened"));
    let expected = wire::TaskFailureDetails {
        error_type: "Kind".into(),
        error_message: "what happened".into(),
        is_non_retriable: true,
        ..Default::default()
    };
    assert_eq!(details, expected);
}
