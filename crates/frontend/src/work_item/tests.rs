//! Spliced work items against the wire library, and the events the engine writes against the same.

use bytes::{Bytes, BytesMut};
use longhaul_engine::InstanceKey;
use longhaul_engine::batch::{Batch, BatchContext};
use longhaul_engine::dispatch::{Past, Turn, TurnContext};
use longhaul_engine::history::{event, frame};
use longhaul_engine::instance::Activity;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::work_item::Request;
use longhaul_proto::sidecar::{
    ActivityRequest, EntityRequest, EventRaisedEvent, HealthPing, HistoryEvent,
    OrchestrationInstance, OrchestrationTraceContext, OrchestratorEntityParameters,
    OrchestratorRequest, OrchestratorStartedEvent, TaskScheduledEvent, TraceContext, WorkItem,
};
use longhaul_types::{ExecutionId, HubId, InstanceId, Timestamp};
use proptest::prelude::*;
use prost::Message;

use super::activity::encode_activity;
use super::batch::encode_batch;
use super::turn::encode_turn;
use super::*;
use crate::to_proto::timestamp;

fn history_event(event_id: i32, at: Timestamp, event_type: EventType) -> HistoryEvent {
    HistoryEvent {
        event_id,
        timestamp: Some(timestamp(at)),
        event_type: Some(event_type),
    }
}

fn raised(at: Timestamp, name: &str, input: Option<&str>) -> HistoryEvent {
    let raised = EventRaisedEvent {
        name: name.to_owned(),
        input: input.map(str::to_owned),
    };
    history_event(-1, at, EventType::EventRaised(raised))
}

/// What a turn is made of, in the wire library's types.
#[derive(Debug, Clone)]
struct Parts {
    id: String,
    execution: String,
    started_at: Timestamp,
    past: Vec<Vec<HistoryEvent>>,
    new: Vec<HistoryEvent>,
    trace: Option<OrchestrationTraceContext>,
    token: String,
}

impl Parts {
    fn turn(&self, streamed: bool) -> Turn {
        let runs = self.past.iter().map(|run| {
            let mut framed = BytesMut::new();
            for event in run {
                frame(&mut framed, &event.encode_to_vec());
            }
            framed.freeze()
        });
        let past: Vec<Bytes> = runs.collect();
        Turn {
            context: TurnContext {
                key: InstanceKey::new(HubId(1), InstanceId::trusted(self.id.as_str())),
                execution: ExecutionId::new(self.execution.as_str()),
                turn: 3,
                dispatched: 1,
                started_at: self.started_at,
                name: "Order".into(),
                version: None,
                tags: None,
                parent: None,
                history_bytes: past.iter().map(|run| run.len() as u64).sum(),
                history_events: 0,
            },
            past: if streamed {
                Past::Streamed
            } else {
                Past::Inline(past)
            },
            new: self
                .new
                .iter()
                .map(|event| event.encode_to_vec().into())
                .collect(),
            trace: self
                .trace
                .as_ref()
                .map(|trace| trace.encode_to_vec().into()),
            parent_trace: None,
        }
    }

    fn expected(&self, streamed: bool) -> WorkItem {
        let started = EventType::OrchestratorStarted(OrchestratorStartedEvent {});
        let mut new_events = vec![history_event(-1, self.started_at, started)];
        new_events.extend(self.new.clone());
        let request = OrchestratorRequest {
            instance_id: self.id.clone(),
            execution_id: Some(self.execution.clone()),
            past_events: if streamed {
                Vec::new()
            } else {
                self.past.concat()
            },
            new_events,
            entity_parameters: Some(OrchestratorEntityParameters {
                entity_message_reorder_window: Some(prost_types::Duration::default()),
            }),
            requires_history_streaming: streamed,
            orchestration_trace_context: self.trace.clone(),
            ..Default::default()
        };
        WorkItem {
            request: Some(Request::OrchestratorRequest(request)),
            completion_token: self.token.clone(),
        }
    }

    fn check(&self) {
        for streamed in [false, true] {
            let got = encode_turn(&self.turn(streamed), &self.token);
            assert_eq!(
                got.0,
                self.expected(streamed).encode_to_vec(),
                "{self:?} {streamed}"
            );
        }
    }
}

#[test]
fn a_first_turn_has_no_past() {
    let parts = Parts {
        id: "order-1".into(),
        execution: "ab".repeat(16),
        started_at: Timestamp {
            seconds: 1_700_000_000,
            nanos: 1,
        },
        past: vec![],
        new: vec![raised(Timestamp::EPOCH, "Paid", None)],
        trace: None,
        token: "token".into(),
    };
    parts.check();
    Parts {
        started_at: Timestamp::EPOCH,
        new: vec![],
        ..parts
    }
    .check();
}

#[test]
fn a_health_ping_is_empty_and_has_no_token() {
    let expected = WorkItem {
        request: Some(Request::HealthPing(HealthPing {})),
        ..Default::default()
    };
    assert_eq!(WorkItem::decode(health_ping().0), Ok(expected));
}

#[derive(Debug, Clone)]
struct ActivityParts {
    id: String,
    execution: String,
    task_id: i32,
    scheduled: TaskScheduledEvent,
    token: String,
}

impl ActivityParts {
    fn activity(&self) -> Activity {
        let scheduled = EventType::TaskScheduled(self.scheduled.clone());
        let event = history_event(
            self.task_id,
            Timestamp {
                seconds: 5,
                nanos: 6,
            },
            scheduled,
        );
        Activity {
            task_id: self.task_id,
            name: self.scheduled.name.as_str().into(),
            version: None,
            execution: ExecutionId::new(self.execution.as_str()),
            awaited_by: ExecutionId::new("rewound"),
            event: event.encode_to_vec().into(),
            scheduled_at: Timestamp::EPOCH,
        }
    }

    fn check(&self) {
        let key = InstanceKey::new(HubId(1), InstanceId::trusted(self.id.as_str()));
        let scheduled = self.scheduled.clone();
        let request = ActivityRequest {
            name: scheduled.name,
            version: scheduled.version,
            input: scheduled.input,
            orchestration_instance: Some(OrchestrationInstance {
                instance_id: self.id.clone(),
                execution_id: Some(self.execution.clone()),
            }),
            task_id: self.task_id,
            parent_trace_context: scheduled.parent_trace_context,
            tags: scheduled.tags,
        };
        let expected = WorkItem {
            request: Some(Request::ActivityRequest(request)),
            completion_token: self.token.clone(),
        };
        let got = encode_activity(&key, &self.activity(), &self.token).expect("well-formed");
        assert_eq!(got.0, expected.encode_to_vec(), "{self:?}");
    }
}

#[test]
fn the_engine_and_the_wire_library_agree_on_an_activity() {
    let tags = [
        ("k".to_owned(), "v".to_owned()),
        ("l".to_owned(), String::new()),
    ]
    .into();
    let trace = TraceContext {
        trace_parent: "00-1-2-01".into(),
        ..Default::default()
    };
    let event = event::task_scheduled(
        7,
        Timestamp {
            seconds: 1,
            nanos: 0,
        },
        "greet",
        Some("2"),
        Some(b"\"you\""),
        Some(&trace.encode_to_vec()),
        &tags,
    );
    let parts = ActivityParts {
        id: "order-1".into(),
        execution: "e".into(),
        task_id: 7,
        scheduled: TaskScheduledEvent {
            name: "greet".into(),
            version: Some("2".into()),
            input: Some("\"you\"".into()),
            parent_trace_context: Some(trace),
            tags,
        },
        token: "t".into(),
    };
    parts.check();
    let key = InstanceKey::new(HubId(1), InstanceId::trusted("order-1"));
    let from_engine = Activity {
        event,
        ..parts.activity()
    };
    assert_eq!(
        encode_activity(&key, &from_engine, "t"),
        encode_activity(&key, &parts.activity(), "t")
    );
}

#[test]
fn an_activity_whose_event_is_damaged_is_no_work_item() {
    let key = InstanceKey::new(HubId(1), InstanceId::trusted("order-1"));
    let whole = event::task_scheduled(
        7,
        Timestamp::EPOCH,
        "a",
        None,
        None,
        None,
        &Default::default(),
    );
    let other = event::timer_fired(Timestamp::EPOCH, 7, Timestamp::EPOCH);
    for event in [
        Bytes::new(),
        other,
        whole.slice(..whole.len() - 1),
        Bytes::from_static(&[0x32, 2, 0x0B, 0]),
    ] {
        let activity = Activity {
            task_id: 7,
            name: "a".into(),
            version: None,
            execution: ExecutionId::new("e"),
            awaited_by: ExecutionId::new("e"),
            event,
            scheduled_at: Timestamp::EPOCH,
        };
        assert_eq!(
            encode_activity(&key, &activity, "t"),
            Err(MalformedEvent),
            "{activity:?}"
        );
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-zü]{1,8}",
        (100usize..300).prop_map(|len| "x".repeat(len)),
        (16_000usize..17_000).prop_map(|len| "y".repeat(len)),
    ]
}

fn nonempty() -> impl Strategy<Value = String> {
    "[a-z:@é-]{1,40}"
}

fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![
        Just(0i64),
        Just(1_700_000_000),
        -62_135_596_800i64..253_402_300_799
    ];
    let nanos = prop_oneof![Just(0u32), 0u32..1_000_000_000];
    (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn some_event() -> impl Strategy<Value = HistoryEvent> {
    (time(), text(), proptest::option::of(text()))
        .prop_map(|(at, name, input)| raised(at, &name, input.as_deref()))
}

fn trace_context() -> impl Strategy<Value = TraceContext> {
    (text(), proptest::option::of(text())).prop_map(|(trace_parent, trace_state)| TraceContext {
        trace_parent,
        trace_state,
        ..Default::default()
    })
}

fn orchestration_trace() -> impl Strategy<Value = OrchestrationTraceContext> {
    (proptest::option::of(text()), proptest::option::of(time())).prop_map(|(span_id, at)| {
        OrchestrationTraceContext {
            span_id,
            span_start_time: at.map(timestamp),
        }
    })
}

/// What a batch is made of, in the wire library's types.
#[derive(Debug, Clone)]
struct BatchParts {
    id: String,
    execution: String,
    state: Option<String>,
    operations: Vec<HistoryEvent>,
    token: String,
}

impl BatchParts {
    fn check(&self) {
        let events = self.operations.iter().map(|it| it.encode_to_vec().into());
        let batch = Batch {
            context: BatchContext {
                key: InstanceKey::new(HubId(1), InstanceId::trusted(self.id.as_str())),
                batch: 3,
                execution: ExecutionId::new(self.execution.as_str()),
                operations: Vec::new(),
            },
            state: self.state.clone().map(Bytes::from),
            events: events.collect(),
        };
        let expected = WorkItem {
            request: Some(Request::EntityRequestV2(EntityRequest {
                instance_id: self.id.clone(),
                execution_id: self.execution.clone(),
                entity_state: self.state.clone(),
                operation_requests: self.operations.clone(),
            })),
            completion_token: self.token.clone(),
        };
        let encoded = encode_batch(&batch, &self.token);
        let decoded = WorkItem::decode(encoded.0.as_ref()).expect("decodes");
        assert_eq!(decoded, expected);
    }
}

#[test]
fn a_batch_tells_no_state_from_an_empty_one() {
    for state in [None, Some(""), Some("{}")] {
        BatchParts {
            id: "@counter@a".into(),
            execution: "e".into(),
            state: state.map(str::to_owned),
            operations: vec![raised(Timestamp::EPOCH, "op", None)],
            token: "t".into(),
        }
        .check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_turn_is_what_the_wire_library_builds(
        id in nonempty(),
        execution in nonempty(),
        started_at in time(),
        past in proptest::collection::vec(proptest::collection::vec(some_event(), 0..4), 0..4),
        new in proptest::collection::vec(some_event(), 0..4),
        trace in proptest::option::of(orchestration_trace()),
        token in nonempty(),
    ) {
        Parts { id, execution, started_at, past, new, trace, token }.check();
    }

    #[test]
    fn any_activity_is_what_the_wire_library_builds(
        id in nonempty(),
        execution in nonempty(),
        task_id in any::<i32>(),
        name in text(),
        version in proptest::option::of(text()),
        input in proptest::option::of(text()),
        parent_trace_context in proptest::option::of(trace_context()),
        tags in proptest::collection::btree_map(text(), text(), 0..4),
        token in nonempty(),
    ) {
        let scheduled = TaskScheduledEvent { name, version, input, parent_trace_context, tags };
        ActivityParts { id, execution, task_id, scheduled, token }.check();
    }

    #[test]
    fn any_batch_is_what_the_wire_library_builds(
        id in nonempty(),
        execution in nonempty(),
        state in proptest::option::of(text()),
        operations in proptest::collection::vec(some_event(), 0..6),
        token in nonempty(),
    ) {
        BatchParts { id, execution, state, operations, token }.check();
    }

    #[test]
    fn a_damaged_event_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let key = InstanceKey::new(HubId(1), InstanceId::trusted("i"));
        let activity = Activity {
            task_id: 1,
            name: "a".into(),
            version: None,
            execution: ExecutionId::new("e"),
            awaited_by: ExecutionId::new("e"),
            event: bytes.into(),
            scheduled_at: Timestamp::EPOCH,
        };
        if let Ok(item) = encode_activity(&key, &activity, "t") {
            prop_assert!(!item.0.is_empty());
        }
    }
}
