//! One value of each record and command with every field set, whose bytes are kept in `testdata/`.

mod commands;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub(crate) use commands::{
    batch, batch_of, commands, entity_commands, first_payload, management_commands,
};
use longhaul_engine::entity::{
    Caller, CriticalSection, Entity, LockRequest, Operation, Queued, RecentRequest, Scheduled,
};
use longhaul_engine::history::History;
use longhaul_engine::instance::{
    Activity, Child, Hold, InboxKind, InboxMessage, Instance, ParentLink, SectionLocks, Status,
    Tags, Timer,
};
use longhaul_engine::key::InstanceKey;
use longhaul_engine::message::{ChildEnd, Creation, Message, MessageBody, RewindChild};
use longhaul_engine::requests::{RecentRequests, RequestId};
use longhaul_engine::tables::PartitionState;
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionCount, PartitionId, Timestamp};

use super::{FileFormat, PartitionRow, Position, SnapshotFile, SnapshotManifest};

const NOON: Timestamp = Timestamp {
    seconds: 1_767_225_600,
    nanos: 500_000_000,
};

fn at(second: u64) -> Timestamp {
    NOON + Duration::from_secs(second)
}

fn payload(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

fn event(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(crate) fn key(id: &'static str) -> InstanceKey {
    InstanceKey::new(HubId(7), InstanceId::trusted(id))
}

fn execution(digit: u8) -> ExecutionId {
    ExecutionId::from_random([digit; 16])
}

fn tags() -> Option<Arc<Tags>> {
    let tags = [("team", "billing"), ("empty", "")];
    let tags = tags
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Arc::new(tags.collect()))
}

fn parent() -> Option<Arc<ParentLink>> {
    Some(Arc::new(ParentLink {
        instance: InstanceId::trusted("parent"),
        execution: execution(2),
        task_id: -4,
        seq: 5,
        info: event("parent info"),
    }))
}

pub(crate) fn creation() -> Creation {
    Creation {
        execution: execution(1),
        name: "Checkout".into(),
        version: Some("2.0".into()),
        input: payload("{\"order\":17}"),
        scheduled_start: Some(at(60)),
        tags: tags(),
        parent: parent(),
        parent_trace: payload("trace of the creator"),
        request_fingerprint: 0x0123_4567_89AB_CDEF,
    }
}

/// Only what must be there: absent and empty fields stay apart.
pub(crate) fn plain_creation() -> Creation {
    Creation {
        execution: execution(1),
        name: "Checkout".into(),
        version: None,
        input: payload(""),
        scheduled_start: None,
        tags: None,
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    }
}

fn inbox() -> Vec<InboxMessage> {
    let kinds = [
        (InboxKind::Started, Some(execution(1))),
        (InboxKind::Terminated { recurse: false }, None),
        (InboxKind::Terminated { recurse: true }, None),
        (InboxKind::Suspended, None),
        (InboxKind::Resumed, None),
        (InboxKind::TimerFired { fire_at: at(4) }, Some(execution(1))),
        (InboxKind::Other, None),
    ];
    let messages = kinds.into_iter();
    messages
        .map(|(kind, execution)| InboxMessage {
            kind,
            execution,
            event: event("waiting"),
        })
        .collect()
}

/// A running instance with everything an instance can have.
pub(crate) fn instance() -> Instance {
    let activity = Activity {
        task_id: 1,
        name: "Charge".into(),
        version: Some("1".into()),
        execution: execution(1),
        awaited_by: execution(1),
        event: event("TaskScheduled"),
        scheduled_at: at(2),
    };
    Instance {
        name: "Checkout".into(),
        version: Some("2.0".into()),
        execution: execution(1),
        status: Status::Running,
        turns: 3,
        last_seq: 8,
        created_at: NOON,
        updated_at: at(3),
        completed_at: Some(at(9)),
        scheduled_start: Some(at(1)),
        turn_started_at: Some(at(2)),
        input: payload("{\"order\":17}"),
        output: payload("\"done\""),
        failure: payload("failure details"),
        custom_status: payload("\"charging\""),
        custom_status_inherited: true,
        tags: tags(),
        parent: parent(),
        parent_trace: payload("trace of the creator"),
        trace: payload("trace of the orchestration"),
        request_fingerprint: 0x0123_4567_89AB_CDEF,
        inbox: inbox().into(),
        activities: [(6, activity)].into(),
        timers: [(
            7,
            Timer {
                timer_id: 2,
                fire_at: at(600),
            },
        )]
        .into(),
        children: [(
            8,
            Child {
                task_id: 3,
                instance: InstanceId::trusted("child"),
            },
        )]
        .into(),
        history: History {
            sealed: 2,
            events: 40,
            bytes: 70_000,
            tail: vec![event("one run"), event("another run")],
        },
        locks: BTreeMap::new(),
        rewound: false,
        kicked: false,
    }
}

/// An instance with what came later: entity locks, and a rewind.
pub(crate) fn rewound_instance() -> Instance {
    let section = section();
    let holds = [
        (section.id.clone(), Hold::Regained),
        ("entered".into(), Hold::Granted),
        ("postponed".into(), Hold::Postponed),
        ("wanted".into(), Hold::Wanted),
    ];
    let awaited = |(seq, activity)| {
        let awaited_by = execution(2);
        let activity = Activity {
            awaited_by,
            ..activity
        };
        (seq, activity)
    };
    Instance {
        execution: execution(2),
        inbox: Default::default(),
        activities: instance().activities.into_iter().map(awaited).collect(),
        locks: holds
            .into_iter()
            .map(|(id, hold)| {
                let entities = section.entities.clone();
                (id, SectionLocks { entities, hold })
            })
            .collect(),
        rewound: true,
        kicked: true,
        ..instance()
    }
}

/// An instance with as little as an instance can have.
pub(crate) fn plain_instance() -> Instance {
    Instance {
        name: "Checkout".into(),
        version: None,
        execution: execution(1),
        status: Status::Pending,
        turns: 0,
        last_seq: 0,
        created_at: NOON,
        updated_at: NOON,
        completed_at: None,
        scheduled_start: None,
        turn_started_at: None,
        input: payload(""),
        output: None,
        failure: None,
        custom_status: None,
        custom_status_inherited: false,
        tags: None,
        parent: None,
        parent_trace: None,
        trace: None,
        request_fingerprint: 0,
        inbox: Default::default(),
        activities: Default::default(),
        timers: Default::default(),
        children: Default::default(),
        locks: Default::default(),
        history: History::default(),
        rewound: false,
        kicked: false,
    }
}

fn owner() -> Caller {
    Caller {
        instance: InstanceId::trusted("order-17"),
        execution: execution(1),
    }
}

fn caller() -> Option<Caller> {
    Some(owner())
}

fn operation(caller: Option<Caller>) -> Operation {
    Operation {
        caller,
        request_id: "5f0c7e0a-6a1c-4d52-9a3c-0d5a9f0e7b11".into(),
        event: event("EntityOperationCalled"),
    }
}

fn section() -> Arc<CriticalSection> {
    Arc::new(CriticalSection {
        id: "0b9f3c52-8f7e-4f43-b7a5-3f2f6b1d9c66".into(),
        owner: InstanceId::trusted("order-17"),
        execution: execution(1),
        entities: vec![
            InstanceId::trusted("@account@a"),
            InstanceId::trusted("@account@b"),
        ],
    })
}

fn lock_request() -> LockRequest {
    LockRequest {
        section: section(),
        position: 1,
    }
}

/// An entity with everything an entity can have.
pub(crate) fn entity() -> Entity {
    let scheduled = Scheduled {
        due: at(600),
        operation: operation(None),
        sender: caller(),
    };
    Entity {
        state: payload("{\"balance\":3}"),
        created_at: NOON,
        modified_at: Some(at(5)),
        batches: 4,
        last_seq: 9,
        lock: Some(section()),
        owner_lane: [operation(caller())].into(),
        queue: [
            Queued::Operation(operation(None)),
            Queued::Lock(lock_request()),
            Queued::Operation(operation(caller())),
        ]
        .into(),
        scheduled: [(9, scheduled)].into(),
        recent: [RecentRequest {
            at: at(4),
            request_id: "5f0c7e0a-6a1c-4d52-9a3c-0d5a9f0e7b11".into(),
        }]
        .into(),
    }
}

/// An entity with nothing but an empty state.
pub(crate) fn plain_entity() -> Entity {
    Entity {
        state: payload(""),
        ..Entity::new(NOON)
    }
}

/// As written before there were indexes.
pub(crate) fn partition_row() -> PartitionRow {
    PartitionRow {
        applied: Some(Position {
            term: 3,
            index: 1_000,
        }),
        membership: payload("voters"),
        state: PartitionState {
            id: PartitionId(2),
            count: PartitionCount::new(4).expect("a power of two"),
            clock: NOON,
            sent: [(PartitionId(0), 12), (PartitionId(3), 1)].into(),
            received: [(PartitionId(1), 300)].into(),
            requests: RecentRequests::default(),
        },
        indexes_version: 0,
    }
}

/// With requests of two moments.
pub(crate) fn partition_row_with_requests() -> PartitionRow {
    let mut row = partition_row();
    let requests = [(NOON, 1), (NOON, u128::MAX), (at(1), 1 << 64 | 2)];
    let requests = requests.into_iter();
    row.state.requests = requests.map(|(at, id)| (at, RequestId(id))).collect();
    row
}

pub(crate) fn indexed_partition_row() -> PartitionRow {
    PartitionRow {
        indexes_version: 1,
        ..partition_row()
    }
}

pub(crate) fn manifest() -> SnapshotManifest {
    SnapshotManifest {
        partition: PartitionId(2),
        incarnation: 5,
        applied: Position {
            term: 3,
            index: 1_000,
        },
        membership: payload("voters"),
        format: FileFormat::Sst,
        files: vec![SnapshotFile {
            name: "000000.sst".to_owned(),
            bytes: 4_096,
            checksum: 99,
        }],
    }
}

fn message(body: MessageBody) -> Message {
    Message {
        target: key("target"),
        body,
    }
}

/// A message of each kind.
pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let ended = |end| MessageBody::ChildEnded {
        execution: execution(1),
        seq: 8,
        end,
    };
    let bodies = [
        ("message-start", MessageBody::Start(Box::new(creation()))),
        ("message-event", MessageBody::Event(event("EventRaised"))),
        (
            "message-child-completed",
            ended(ChildEnd::Completed(payload("\"result\""))),
        ),
        (
            "message-child-failed",
            ended(ChildEnd::Failed(event("failure details"))),
        ),
        (
            "message-terminate",
            MessageBody::Terminate {
                output: payload("\"stopped\""),
                recurse: true,
                only_child_of: Some((InstanceId::trusted("parent"), execution(2), 5)),
            },
        ),
        (
            "message-rewind",
            MessageBody::Rewind(Box::new(RewindChild {
                reason: payload("\"try again\""),
                creation: creation(),
                previous: execution(2),
                failed: true,
            })),
        ),
        (
            "message-operation",
            MessageBody::Operation {
                operation: operation(caller()),
                sender: caller(),
                due: Some(at(600)),
            },
        ),
        ("message-lock", MessageBody::Lock(lock_request())),
        (
            "message-unlock",
            MessageBody::Unlock {
                section: section().id.clone(),
                owner: owner(),
            },
        ),
        (
            "message-answer",
            MessageBody::Answer {
                execution: execution(1),
                event: event("EntityOperationCompleted"),
            },
        ),
        ("message-lock-granted", MessageBody::LockGranted(section())),
    ];
    bodies
        .into_iter()
        .map(|(name, body)| (name, message(body)))
        .collect()
}

/// An instance as it mostly is when it is written: some turns old, waiting for one activity.
pub(crate) fn typical_instance() -> Instance {
    let mut instance = instance();
    instance.inbox.clear();
    instance.timers.clear();
    instance.children.clear();
    instance.parent = None;
    instance.tags = None;
    instance.completed_at = None;
    instance.output = None;
    instance.failure = None;
    instance.history.sealed = 0;
    instance.history.tail = vec![Bytes::from_static(&[b'h'; 250]); 4];
    instance
}
