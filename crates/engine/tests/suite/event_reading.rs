//! What the engine reads of events is what the contract says is in them, whoever wrote them.

use bytes::Bytes;
use longhaul_engine::history::read::{ChildCreated, Stored, read};
use longhaul_proto::sidecar as wire;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::{InstanceId, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;

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

fn stamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.seconds,
        nanos: i32::try_from(at.nanos).expect("below a second"),
    }
}

/// Fields that no version of the contract has, one of each wire type.
const UNKNOWN: [&[u8]; 4] = [
    &[0xC0, 0x3E, 0x96, 0x01],
    &[0xC1, 0x3E, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0xC5, 0x3E, 1, 2, 3, 4],
    &[],
];

/// The event with something unknown before it, as it is stored.
fn encode(id: i32, at: Timestamp, event_type: EventType, unknown: usize) -> Bytes {
    let event = wire::HistoryEvent {
        event_id: id,
        timestamp: Some(stamp(at)),
        event_type: Some(event_type),
    };
    let mut encoded = UNKNOWN[unknown % UNKNOWN.len()].to_vec();
    encoded.extend(event.encode_to_vec());
    encoded.into()
}

prop_compose! {
    fn texts()(
        id in prop_oneof![Just(-1), Just(0), any::<i32>()],
        (at, due) in (time(), time()),
        (name, other) in (text(), text()),
        (input, version) in (option::of(text()), option::of(text())),
        scheduled in option::of(time()),
        tags in btree_map(text(), text(), 0..3),
        many in vec(text(), 0..4),
        trace in option::of(text()),
        unknown in 0..UNKNOWN.len(),
    ) -> Texts {
        Texts { id, at, due, name, other, input, version, scheduled, tags, many, trace, unknown }
    }
}

#[derive(Clone, Debug)]
struct Texts {
    id: i32,
    at: Timestamp,
    due: Timestamp,
    name: String,
    other: String,
    input: Option<String>,
    version: Option<String>,
    scheduled: Option<Timestamp>,
    tags: std::collections::BTreeMap<String, String>,
    many: Vec<String>,
    trace: Option<String>,
    unknown: usize,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_scheduled_is_read_as_it_was_written(it in texts()) {
        let trace = it.trace.clone().map(|trace_parent| wire::TraceContext {
            trace_parent,
            ..Default::default()
        });
        let encode = |event_type| encode(it.id, it.at, event_type, it.unknown);
        let bytes = |text: &Option<String>| text.clone().map(Bytes::from);

        let scheduled = EventType::TaskScheduled(wire::TaskScheduledEvent {
            name: it.name.clone(),
            version: it.version.clone(),
            input: it.input.clone(),
            parent_trace_context: trace.clone(),
            tags: it.tags.clone(),
        });
        prop_assert_eq!(read(&encode(scheduled)), Stored::TaskScheduled {
            id: it.id,
            name: it.name.as_str().into(),
            version: it.version.as_deref().map(Into::into),
        });

        let created = EventType::SubOrchestrationInstanceCreated(
            wire::SubOrchestrationInstanceCreatedEvent {
                instance_id: it.other.clone(),
                name: it.name.clone(),
                version: it.version.clone(),
                input: it.input.clone(),
                parent_trace_context: trace.clone(),
                tags: it.tags.clone(),
            },
        );
        prop_assert_eq!(read(&encode(created)), Stored::ChildCreated(ChildCreated {
            id: it.id,
            instance: InstanceId::trusted(it.other.as_str()),
            name: it.name.as_str().into(),
            version: it.version.as_deref().map(Into::into),
            input: bytes(&it.input),
            trace: trace.map(|trace| trace.encode_to_vec().into()),
            tags: it.tags.clone().into_iter().collect(),
        }));

        let timer = EventType::TimerCreated(wire::TimerCreatedEvent { fire_at: Some(stamp(it.due)) });
        prop_assert_eq!(read(&encode(timer)), Stored::TimerCreated(it.id, it.due));

        let called = EventType::EntityOperationCalled(wire::EntityOperationCalledEvent {
            request_id: it.name.clone(),
            operation: it.other.clone(),
            scheduled_time: it.scheduled.map(stamp),
            input: it.input.clone(),
            parent_instance_id: it.version.clone(),
            parent_execution_id: it.trace.clone(),
            target_instance_id: Some(it.other.clone()),
        });
        prop_assert_eq!(read(&encode(called)), Stored::OperationCalled {
            request_id: it.name.as_str().into(),
            operation: it.other.clone(),
            scheduled: it.scheduled,
            input: bytes(&it.input),
            target: it.other.clone(),
        });

        let lock = EventType::EntityLockRequested(wire::EntityLockRequestedEvent {
            critical_section_id: it.name.clone(),
            lock_set: it.many.clone(),
            position: it.id,
            parent_instance_id: it.version.clone(),
        });
        prop_assert_eq!(read(&encode(lock)), Stored::LockRequested {
            section: it.name.as_str().into(),
            lock_set: it.many.clone(),
        });
    }

    #[test]
    fn results_are_read_as_they_were_written(it in texts(), task_scheduled_id in any::<i32>()) {
        let encode = |event_type| encode(-1, it.at, event_type, it.unknown);
        let failure_details = Some(wire::TaskFailureDetails {
            error_type: it.name.clone(),
            error_message: it.other.clone(),
            ..Default::default()
        });
        let request: std::sync::Arc<str> = it.name.as_str().into();
        let cases = [
            (
                EventType::ExecutionStarted(wire::ExecutionStartedEvent {
                    name: it.name.clone(),
                    input: it.input.clone(),
                    scheduled_start_timestamp: it.scheduled.map(stamp),
                    tags: it.tags.clone(),
                    ..Default::default()
                }),
                Stored::Started {
                    at: it.at,
                    scheduled_start: it.scheduled,
                },
            ),
            (
                EventType::ExecutionCompleted(wire::ExecutionCompletedEvent {
                    result: it.input.clone(),
                    failure_details: failure_details.clone(),
                    ..Default::default()
                }),
                Stored::Completed,
            ),
            (
                EventType::TaskCompleted(wire::TaskCompletedEvent {
                    task_scheduled_id,
                    result: it.input.clone(),
                }),
                Stored::TaskCompleted(task_scheduled_id),
            ),
            (
                EventType::TaskFailed(wire::TaskFailedEvent {
                    task_scheduled_id,
                    failure_details: failure_details.clone(),
                }),
                Stored::TaskFailed(task_scheduled_id),
            ),
            (
                EventType::SubOrchestrationInstanceCompleted(
                    wire::SubOrchestrationInstanceCompletedEvent {
                        task_scheduled_id,
                        result: it.input.clone(),
                    },
                ),
                Stored::ChildCompleted(task_scheduled_id),
            ),
            (
                EventType::SubOrchestrationInstanceFailed(
                    wire::SubOrchestrationInstanceFailedEvent {
                        task_scheduled_id,
                        failure_details: failure_details.clone(),
                    },
                ),
                Stored::ChildFailed(task_scheduled_id),
            ),
            (
                EventType::TimerFired(wire::TimerFiredEvent {
                    fire_at: Some(stamp(it.due)),
                    timer_id: task_scheduled_id,
                }),
                Stored::TimerFired(task_scheduled_id),
            ),
            (
                EventType::EntityOperationCompleted(wire::EntityOperationCompletedEvent {
                    request_id: it.name.clone(),
                    output: it.input.clone(),
                }),
                Stored::OperationAnswered(request.clone()),
            ),
            (
                EventType::EntityOperationFailed(wire::EntityOperationFailedEvent {
                    request_id: it.name.clone(),
                    failure_details,
                }),
                Stored::OperationAnswered(request.clone()),
            ),
            (
                EventType::EntityLockGranted(wire::EntityLockGrantedEvent {
                    critical_section_id: it.name.clone(),
                }),
                Stored::LockGranted(request.clone()),
            ),
            (
                EventType::EntityUnlockSent(wire::EntityUnlockSentEvent {
                    critical_section_id: it.name.clone(),
                    parent_instance_id: it.input.clone(),
                    target_instance_id: Some("@Counter@a".into()),
                }),
                Stored::Unlocked { section: request, target: "@Counter@a".into() },
            ),
            (
                EventType::ExecutionRewound(wire::ExecutionRewoundEvent {
                    reason: it.input.clone(),
                    ..Default::default()
                }),
                Stored::Rewound,
            ),
            (
                EventType::EventRaised(wire::EventRaisedEvent {
                    name: it.name.clone(),
                    input: it.input.clone(),
                }),
                Stored::Other,
            ),
            (EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {}), Stored::TurnStarted),
        ];
        for (event_type, expected) in cases {
            prop_assert_eq!(read(&encode(event_type)), expected);
        }
    }

    #[test]
    fn damage_is_nothing_that_the_server_knows_rather_than_a_panic(
        bytes in vec(any::<u8>(), 0..60),
        it in texts(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let _ = read(&Bytes::from(bytes));
        let whole = encode(it.id, it.at, EventType::TaskScheduled(wire::TaskScheduledEvent {
            name: "Work".into(),
            ..Default::default()
        }), 3);
        let part = whole.slice(..cut.index(whole.len()));
        prop_assert!(
            matches!(read(&part), Stored::Other),
            "the last field is the event itself: without its end there is none"
        );
    }
}
