//! The engine writes history events field by field; each must be, byte for byte, what the wire library writes.

use longhaul_engine::Status;
use longhaul_engine::history::event;
use longhaul_engine::instance::{ParentLink, Tags};
use longhaul_engine::message::Creation;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::*;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};
use prost::Message;

const AT: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanos: 123_456_789,
};
const BEFORE_1970: Timestamp = Timestamp {
    seconds: -3,
    nanos: 1,
};

fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.seconds,
        nanos: at.nanos as i32,
    }
}

fn check(got: &[u8], event_id: i32, at: Timestamp, event_type: EventType) {
    let expected = HistoryEvent {
        event_id,
        timestamp: Some(wire_time(at)),
        event_type: Some(event_type),
    };
    assert_eq!(HistoryEvent::decode(got).as_ref(), Ok(&expected));
    assert_eq!(got, expected.encode_to_vec(), "{expected:?}");
}

/// Absent, empty, short, and long enough for a length of two bytes.
fn texts() -> [Option<String>; 4] {
    [
        None,
        Some(String::new()),
        Some("\"ü\"".to_owned()),
        Some("x".repeat(300)),
    ]
}

fn bytes(text: &Option<String>) -> Option<&[u8]> {
    text.as_deref().map(str::as_bytes)
}

fn tags() -> Tags {
    [
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), String::new()),
    ]
    .into()
}

fn trace() -> TraceContext {
    TraceContext {
        trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        trace_state: Some(String::new()),
        ..Default::default()
    }
}

fn failure() -> TaskFailureDetails {
    let inner = TaskFailureDetails {
        error_type: "Inner".into(),
        ..Default::default()
    };
    TaskFailureDetails {
        error_type: "Outer".into(),
        error_message: "no".into(),
        stack_trace: Some("at x".into()),
        inner_failure: Some(Box::new(inner)),
        is_non_retriable: true,
        properties: [("p".to_owned(), prost_types::Value::default())].into(),
    }
}

fn parent_info() -> ParentInstanceInfo {
    ParentInstanceInfo {
        task_scheduled_id: 4,
        name: Some("Parent".into()),
        version: Some("1".into()),
        orchestration_instance: Some(OrchestrationInstance {
            instance_id: "parent".into(),
            execution_id: Some("p".repeat(32)),
        }),
    }
}

fn bare_creation() -> Creation {
    Creation {
        execution: ExecutionId::from_random([1; 16]),
        name: "Order".into(),
        version: None,
        input: None,
        scheduled_start: None,
        tags: None,
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    }
}

fn full_creation() -> Creation {
    let link = ParentLink {
        instance: InstanceId::trusted("parent"),
        execution: ExecutionId::new("p".repeat(32)),
        task_id: 4,
        seq: 9,
        info: parent_info().encode_to_vec().into(),
    };
    Creation {
        version: Some("2".into()),
        input: Some("null".into()),
        scheduled_start: Some(AT),
        tags: Some(tags().into()),
        parent: Some(link.into()),
        parent_trace: Some(trace().encode_to_vec().into()),
        ..bare_creation()
    }
}

#[test]
fn execution_started() {
    let id = InstanceId::trusted("order-1");
    let bare = ExecutionStartedEvent {
        name: "Order".into(),
        orchestration_instance: Some(OrchestrationInstance {
            instance_id: "order-1".into(),
            execution_id: Some("01".repeat(16)),
        }),
        ..Default::default()
    };
    let got = event::execution_started(AT, &id, &bare_creation());
    check(&got, -1, AT, EventType::ExecutionStarted(bare.clone()));
    let full = ExecutionStartedEvent {
        version: Some("2".into()),
        input: Some("null".into()),
        parent_instance: Some(parent_info()),
        scheduled_start_timestamp: Some(wire_time(AT)),
        parent_trace_context: Some(trace()),
        tags: tags(),
        ..bare
    };
    let got = event::execution_started(BEFORE_1970, &id, &full_creation());
    check(&got, -1, BEFORE_1970, EventType::ExecutionStarted(full));
}

#[test]
fn execution_completed() {
    for status in [
        Status::Running,
        Status::Completed,
        Status::Failed,
        Status::Terminated,
    ] {
        for result in texts() {
            for failure_details in [None, Some(failure())] {
                let encoded = failure_details.as_ref().map(Message::encode_to_vec);
                let got =
                    event::execution_completed(8, AT, status, bytes(&result), encoded.as_deref());
                let expected = ExecutionCompletedEvent {
                    orchestration_status: status.to_wire(),
                    result: result.clone(),
                    failure_details,
                };
                check(&got, 8, AT, EventType::ExecutionCompleted(expected));
            }
        }
    }
}

#[test]
fn execution_terminated() {
    for input in texts() {
        for recurse in [false, true] {
            let got = event::execution_terminated(AT, bytes(&input), recurse);
            let expected = ExecutionTerminatedEvent {
                input: input.clone(),
                recurse,
            };
            check(&got, -1, AT, EventType::ExecutionTerminated(expected));
        }
    }
}

#[test]
fn task_scheduled() {
    for text in texts() {
        for parent_trace_context in [None, Some(trace())] {
            let encoded = parent_trace_context.as_ref().map(Message::encode_to_vec);
            let got = event::task_scheduled(
                0,
                AT,
                "greet",
                text.as_deref(),
                bytes(&text),
                encoded.as_deref(),
                &tags(),
            );
            let expected = TaskScheduledEvent {
                name: "greet".into(),
                version: text.clone(),
                input: text.clone(),
                parent_trace_context,
                tags: tags(),
            };
            check(&got, 0, AT, EventType::TaskScheduled(expected));
        }
    }
}

#[test]
fn results_of_activities_and_children() {
    for result in texts() {
        let got = event::task_completed(AT, 5, bytes(&result));
        let expected = TaskCompletedEvent {
            task_scheduled_id: 5,
            result: result.clone(),
        };
        check(&got, -1, AT, EventType::TaskCompleted(expected));
        let got = event::child_completed(AT, -5, bytes(&result));
        let expected = SubOrchestrationInstanceCompletedEvent {
            task_scheduled_id: -5,
            result,
        };
        check(
            &got,
            -1,
            AT,
            EventType::SubOrchestrationInstanceCompleted(expected),
        );
    }
    let encoded = failure().encode_to_vec();
    let failure_details = Some(failure());
    let expected = TaskFailedEvent {
        task_scheduled_id: 5,
        failure_details: failure_details.clone(),
    };
    check(
        &event::task_failed(AT, 5, &encoded),
        -1,
        AT,
        EventType::TaskFailed(expected),
    );
    let expected = SubOrchestrationInstanceFailedEvent {
        task_scheduled_id: 0,
        failure_details,
    };
    check(
        &event::child_failed(AT, 0, &encoded),
        -1,
        AT,
        EventType::SubOrchestrationInstanceFailed(expected),
    );
}

#[test]
fn child_created() {
    let id = InstanceId::trusted("order-1:0004");
    let bare = SubOrchestrationInstanceCreatedEvent {
        instance_id: "order-1:0004".into(),
        name: "Order".into(),
        ..Default::default()
    };
    let got = event::child_created(4, AT, &id, &bare_creation());
    check(
        &got,
        4,
        AT,
        EventType::SubOrchestrationInstanceCreated(bare.clone()),
    );
    let full = SubOrchestrationInstanceCreatedEvent {
        version: Some("2".into()),
        input: Some("null".into()),
        parent_trace_context: Some(trace()),
        tags: tags(),
        ..bare
    };
    let got = event::child_created(4, AT, &id, &full_creation());
    check(
        &got,
        4,
        AT,
        EventType::SubOrchestrationInstanceCreated(full),
    );
}

#[test]
fn timers() {
    for fire_at in [
        AT,
        BEFORE_1970,
        Timestamp::EPOCH,
        Timestamp {
            seconds: 253_402_300_799,
            nanos: 0,
        },
    ] {
        let expected = TimerCreatedEvent {
            fire_at: Some(wire_time(fire_at)),
        };
        check(
            &event::timer_created(3, AT, fire_at),
            3,
            AT,
            EventType::TimerCreated(expected),
        );
        let expected = TimerFiredEvent {
            fire_at: Some(wire_time(fire_at)),
            timer_id: 3,
        };
        check(
            &event::timer_fired(AT, 3, fire_at),
            -1,
            AT,
            EventType::TimerFired(expected),
        );
    }
}

#[test]
fn orchestrator_started() {
    for at in [AT, BEFORE_1970, Timestamp::EPOCH] {
        let expected = EventType::OrchestratorStarted(OrchestratorStartedEvent {});
        check(&event::orchestrator_started(at), -1, at, expected);
    }
}

#[test]
fn external_events() {
    for input in texts() {
        let got = event::event_sent(6, AT, "other", "Paid", bytes(&input));
        let expected = EventSentEvent {
            instance_id: "other".into(),
            name: "Paid".into(),
            input: input.clone(),
        };
        check(&got, 6, AT, EventType::EventSent(expected));
        let got = event::event_raised(AT, "Paid", bytes(&input));
        let expected = EventRaisedEvent {
            name: "Paid".into(),
            input,
        };
        check(&got, -1, AT, EventType::EventRaised(expected));
    }
}

#[test]
fn suspension() {
    for input in texts() {
        let got = event::execution_suspended(AT, bytes(&input));
        let expected = ExecutionSuspendedEvent {
            input: input.clone(),
        };
        check(&got, -1, AT, EventType::ExecutionSuspended(expected));
        let got = event::execution_resumed(AT, bytes(&input));
        check(
            &got,
            -1,
            AT,
            EventType::ExecutionResumed(ExecutionResumedEvent { input }),
        );
    }
}

#[test]
fn parts_of_events() {
    let expected = TaskFailureDetails {
        error_type: "T".into(),
        error_message: "m".into(),
        is_non_retriable: true,
        ..Default::default()
    };
    assert_eq!(event::failure_details("T", "m"), expected.encode_to_vec());
    let got = event::parent_info(
        4,
        "Parent",
        Some("1"),
        &InstanceId::trusted("parent"),
        &ExecutionId::new("p".repeat(32)),
    );
    assert_eq!(got, parent_info().encode_to_vec());
}
