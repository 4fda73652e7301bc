//! Everything that can be said arrives as it was said, and nothing else is understood.

use std::borrow::Cow;
use std::sync::Arc;

use longhaul_engine::query::{
    EndedFilter, EntityQuery, EntityView, InstanceFilter, Span, StatusSet, TimePosition,
};
use longhaul_engine::{Command, InstanceKey, InstanceView, Reply, RequestId, Status};
use longhaul_partition::WaitFor;
use longhaul_types::{ExecutionId, HubId, InstanceId, NodeId, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::{option, sample};

use super::*;
use crate::answers::{AnswerKind, WorkerAnswer};
use crate::operation::{HistoryPage, KnownHistory};

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn any_id() -> impl Strategy<Value = InstanceId> {
    any_text().prop_map(|it| InstanceId::trusted(it.as_str()))
}

fn any_execution() -> impl Strategy<Value = ExecutionId> {
    any_text().prop_map(|it| ExecutionId::new(it.as_str()))
}

fn any_key() -> impl Strategy<Value = InstanceKey> {
    (any::<u32>(), any_id()).prop_map(|(hub, id)| InstanceKey::new(HubId(hub), id))
}

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn any_span() -> impl Strategy<Value = Span> {
    let end = || option::of(any_timestamp());
    (end(), end()).prop_map(|(from, to)| Span { from, to })
}

fn any_status() -> impl Strategy<Value = Status> {
    sample::select(StatusSet::ALL.iter().collect::<Vec<_>>())
}

fn any_statuses() -> impl Strategy<Value = StatusSet> {
    any::<u8>().prop_map(StatusSet::from_bits)
}

fn any_position() -> impl Strategy<Value = TimePosition> {
    (any_timestamp(), any_id()).prop_map(|(at, id)| TimePosition { at, id })
}

fn any_command() -> impl Strategy<Value = Command> {
    let event =
        (any_key(), any_bytes()).prop_map(|(key, event)| Command::RaiseEvent { key, event });
    (event, option::of(any::<u128>())).prop_map(|(command, request)| match request {
        Some(request) => Command::Once {
            request: RequestId(request),
            command: Box::new(command),
        },
        None => command,
    })
}

fn any_answer() -> impl Strategy<Value = WorkerAnswer> {
    let kind = sample::select(vec![
        AnswerKind::Turn,
        AnswerKind::Activity,
        AnswerKind::Batch,
        AnswerKind::AbandonTurn,
        AnswerKind::AbandonActivity,
        AnswerKind::AbandonBatch,
    ]);
    (any::<u32>(), kind, any_bytes()).prop_map(|(hub, kind, message)| WorkerAnswer {
        hub: HubId(hub),
        kind,
        message,
    })
}

fn any_query() -> impl Strategy<Value = Operation> {
    let hub = || any::<u32>().prop_map(HubId);
    let after = || option::of(any_position());
    let instances = (
        hub(),
        any_statuses(),
        any_span(),
        any_text(),
        after(),
        any::<usize>(),
    );
    let ended = (hub(), any_statuses(), any_span(), after(), any::<usize>());
    let entities = (
        hub(),
        any_text(),
        any_span(),
        any::<bool>(),
        option::of(any_id()),
        any::<usize>(),
    );
    prop_oneof![
        instances.prop_map(|(hub, statuses, created, id_prefix, after, limit)| {
            let filter = InstanceFilter {
                hub,
                statuses,
                created,
                id_prefix,
            };
            Operation::QueryInstances {
                filter,
                after,
                limit,
            }
        }),
        ended.prop_map(|(hub, statuses, completed, after, limit)| {
            let filter = EndedFilter {
                hub,
                statuses,
                completed,
            };
            Operation::QueryEnded {
                filter,
                after,
                limit,
            }
        }),
        entities.prop_map(|(hub, id_prefix, modified, transient, after, limit)| {
            let query = EntityQuery {
                hub,
                id_prefix,
                modified,
                transient,
            };
            Operation::QueryEntities {
                query,
                after,
                limit,
            }
        }),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let known = (any_execution(), any::<u64>())
        .prop_map(|(execution, bytes)| KnownHistory { execution, bytes });
    let until = sample::select(vec![WaitFor::Begun, WaitFor::Ended]);
    prop_oneof![
        any_command().prop_map(Operation::Propose),
        any_key().prop_map(Operation::View),
        (any_key(), any::<bool>())
            .prop_map(|(key, transient)| Operation::Entity { key, transient }),
        (any_key(), option::of(known)).prop_map(|(key, known)| Operation::History { key, known }),
        (any_key(), until).prop_map(|(key, until)| Operation::Wait { key, until }),
        any_key().prop_map(Operation::Children),
        any_query(),
        any::<u32>().prop_map(|hub| Operation::RemoveHub(HubId(hub))),
        any_answer().prop_map(Operation::Judge),
    ]
}

fn any_view() -> impl Strategy<Value = InstanceView> {
    let payload = || option::of(any_bytes());
    let shared = || any_text().prop_map(|it| Arc::<str>::from(it.as_str()));
    let tags = proptest::collection::btree_map(any_text(), any_text(), 0..3);
    let who = (any_key(), shared(), option::of(shared()), any_execution());
    let when = (
        any_timestamp(),
        any_timestamp(),
        option::of(any_timestamp()),
        option::of(any_timestamp()),
    );
    let what = (payload(), payload(), payload(), payload());
    let rest = (any_status(), option::of(tags), option::of(any_id()));
    (who, when, what, rest).prop_map(|(who, when, what, rest)| InstanceView {
        key: who.0,
        name: who.1,
        version: who.2,
        execution: who.3,
        status: rest.0,
        created_at: when.0,
        updated_at: when.1,
        completed_at: when.2,
        scheduled_start: when.3,
        input: what.0,
        output: what.1,
        failure: what.2,
        custom_status: what.3,
        tags: rest.1.map(Arc::new),
        parent: rest.2,
    })
}

fn any_entity() -> impl Strategy<Value = EntityView> {
    let parts = (
        any_id(),
        option::of(any_bytes()),
        any_timestamp(),
        any::<u32>(),
        option::of(any_id()),
    );
    parts.prop_map(|(id, state, modified_at, backlog, locked_by)| EntityView {
        id,
        state,
        modified_at,
        backlog,
        locked_by,
    })
}

fn any_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        Just(Reply::NotFound),
        any_status().prop_map(Reply::AlreadyExists),
        Just(Reply::ContradictoryReuse),
        Just(Reply::Stale),
        any_status().prop_map(Reply::NotEnded),
        any_status().prop_map(Reply::NotFailed),
        Just(Reply::Refused),
        (any::<u32>(), any::<u32>()).prop_map(|(count, live)| Reply::Purged { count, live }),
        any::<u64>().prop_map(|through| Reply::Received { through }),
    ]
}

fn any_page() -> impl Strategy<Value = HistoryPage> {
    let parts = (
        any_execution(),
        any::<u64>(),
        vec(any_bytes(), 0..3),
        any::<bool>(),
    );
    parts.prop_map(|(execution, offset, runs, has_more)| HistoryPage {
        execution,
        offset,
        runs,
        has_more,
    })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let why = || any_text().prop_map(Cow::<'static, str>::from);
    let leader = option::of((1..u64::MAX).prop_map(NodeId));
    prop_oneof![
        leader.prop_map(|leader| Failure::NotLeader { leader }),
        why().prop_map(Failure::NotNow),
        Just(Failure::Overloaded),
        (any::<usize>(), any::<usize>()).prop_map(|(pending, max)| Failure::Full { pending, max }),
        why().prop_map(Failure::Unknown),
        why().prop_map(Failure::Fault),
    ]
}

fn any_outcome() -> impl Strategy<Value = Result<Outcome, Failure>> {
    let outcome = prop_oneof![
        any_reply().prop_map(Outcome::Reply),
        option::of(any_view().prop_map(Box::new)).prop_map(Outcome::View),
        option::of(any_entity()).prop_map(Outcome::Entity),
        option::of(any_page()).prop_map(Outcome::History),
        vec(any_id(), 0..3).prop_map(Outcome::Children),
        vec(any_view(), 0..3).prop_map(Outcome::Instances),
        vec(any_position(), 0..3).prop_map(Outcome::Ended),
        vec(any_entity(), 0..3).prop_map(Outcome::Entities),
        Just(Outcome::Done),
    ];
    prop_oneof![4 => outcome.prop_map(Ok), 1 => any_failure().prop_map(Err)]
}

proptest! {
    #[test]
    fn calls_arrive_as_they_were_made(
        kind: u8,
        partition: u16,
        operation in any_operation(),
    ) {
        let mut request = encode_request(kind, PartitionId(partition), &operation);
        prop_assert_eq!(request.split_to(1)[0], kind);
        prop_assert_eq!(decode_request(request), Ok((PartitionId(partition), operation)));
    }

    #[test]
    fn answers_arrive_as_they_were_given(outcome in any_outcome()) {
        let response = encode_response(outcome.clone());
        prop_assert_eq!(decode_response(response), Ok(outcome));
    }

    #[test]
    fn whatever_arrives_is_understood_or_refused(bytes in vec(any::<u8>(), 0..60)) {
        let bytes = Bytes::from(bytes);
        if let Ok((partition, operation)) = decode_request(bytes.clone()) {
            let again = encode_request(0, partition, &operation).slice(1..);
            prop_assert_eq!(decode_request(again), Ok((partition, operation)));
        }
        if let Ok(outcome) = decode_response(bytes) {
            prop_assert_eq!(decode_response(encode_response(outcome.clone())), Ok(outcome));
        }
    }
}

#[test]
fn payloads_are_slices_of_what_arrived() {
    let event = Bytes::from(vec![b'e'; 1_000]);
    let operation = Operation::Propose(Command::RaiseEvent {
        key: InstanceKey::new(HubId(1), InstanceId::trusted("a")),
        event,
    });
    let request = encode_request(0, PartitionId(0), &operation).slice(1..);
    let arrived = request.as_ptr_range();
    let Ok((_, Operation::Propose(Command::RaiseEvent { event, .. }))) =
        decode_request(request.clone())
    else {
        panic!("an event arrives");
    };
    assert!(arrived.contains(&event.as_ptr()));
}

#[test]
fn what_is_missing_or_impossible_is_refused() {
    use longhaul_proto::routing::v1 as wire;
    let decoded = |operation| {
        let request = wire::Request {
            partition: 0,
            operation,
        };
        decode_request(request.encode_to_vec().into()).map(drop)
    };
    assert_eq!(decoded(None), Err(Malformed::Missing("operation")));
    let answer = wire::request::WorkerAnswer {
        hub: 1,
        kind: 0,
        encoded_message: Bytes::new(),
    };
    assert_eq!(
        decoded(Some(wire::request::Operation::Answer(answer))),
        Err(Malformed::Value("kind of answer"))
    );
    let request = wire::Request {
        partition: 1 << 16,
        operation: None,
    };
    assert_eq!(
        decode_request(request.encode_to_vec().into()),
        Err(Malformed::Value("partition"))
    );
    assert_eq!(
        decode_response(Bytes::new()),
        Err(Malformed::Missing("outcome"))
    );
}
