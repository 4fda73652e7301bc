//! One value of each record and command with every field set, whose bytes are kept in `testdata/`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::command::{
    ActivityDraft, Batch, Command, CompleteTurn, CreateInstance, DueTimer, Ending, Outgoing,
    ReusePolicy, TimerDraft,
};
use longhaul_engine::history::History;
use longhaul_engine::instance::{
    Activity, Child, InboxKind, InboxMessage, Instance, ParentLink, Status, Tags, Timer,
};
use longhaul_engine::key::InstanceKey;
use longhaul_engine::message::{ChildEnd, Creation, Message, MessageBody};
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
        history: History::default(),
    }
}

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
        },
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
    ];
    bodies
        .into_iter()
        .map(|(name, body)| (name, message(body)))
        .collect()
}

/// A turn with everything a turn can bring about, and this ending.
fn turn(ending: Option<Ending>) -> Command {
    let child = Outgoing::Child {
        key: key("child"),
        task_id: 3,
        creation: Box::new(plain_creation()),
    };
    Command::CompleteTurn(Box::new(CompleteTurn {
        key: key("order-17"),
        execution: execution(1),
        turn: 3,
        consumed: 2,
        started_at: at(2),
        facts: event("framed facts"),
        fact_count: 4,
        custom_status: payload("\"charging\""),
        trace: payload("trace of the orchestration"),
        activities: vec![ActivityDraft {
            task_id: 1,
            name: "Charge".into(),
            version: Some("1".into()),
            event_offset: 2,
            event_len: 6,
        }],
        timers: vec![TimerDraft {
            timer_id: 2,
            fire_at: at(600),
        }],
        messages: vec![
            child,
            Outgoing::Message(message(MessageBody::Event(event("EventRaised")))),
        ],
        own_inbox: inbox(),
        ending,
    }))
}

/// A command of each kind.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let key = || key("order-17");
    let create = |creation, reuse| {
        Command::CreateInstance(Box::new(CreateInstance {
            key: key(),
            creation,
            reuse,
        }))
    };
    vec![
        (
            "command-create",
            create(
                creation(),
                ReusePolicy::Replace(vec![Status::Failed, Status::Terminated]),
            ),
        ),
        (
            "command-create-plain",
            create(plain_creation(), ReusePolicy::Default),
        ),
        (
            "command-raise-event",
            Command::RaiseEvent {
                key: key(),
                event: event("EventRaised"),
            },
        ),
        (
            "command-suspend",
            Command::Suspend {
                key: key(),
                reason: payload("\"why\""),
            },
        ),
        (
            "command-resume",
            Command::Resume {
                key: key(),
                reason: None,
            },
        ),
        (
            "command-terminate",
            Command::Terminate {
                key: key(),
                output: payload("\"stopped\""),
                recurse: true,
            },
        ),
        ("command-turn", turn(None)),
        (
            "command-turn-terminal",
            turn(Some(Ending::Terminal {
                status: Status::Failed,
                output: payload("\"done\""),
                failure: payload("failure details"),
            })),
        ),
        (
            "command-turn-continued-as-new",
            turn(Some(Ending::ContinuedAsNew {
                execution: execution(3),
                version: Some("3.0".into()),
                input: payload("next"),
                carryover: vec![event("EventRaised")],
            })),
        ),
        (
            "command-activity",
            Command::CompleteActivity {
                key: key(),
                execution: execution(1),
                seq: 6,
                event: event("TaskCompleted"),
            },
        ),
        (
            "command-timers",
            Command::FireTimers(vec![DueTimer {
                key: key(),
                execution: execution(1),
                seq: 7,
            }]),
        ),
        (
            "command-deliver",
            Command::Deliver {
                source: PartitionId(3),
                first: 12,
                messages: vec![message(MessageBody::Event(event("EventRaised")))],
            },
        ),
        (
            "command-ack-outbox",
            Command::AckOutbox {
                target: PartitionId(3),
                through: 12,
            },
        ),
    ]
}

pub(crate) fn batch_of(commands: Vec<Command>) -> Batch {
    Batch {
        at: NOON,
        proposer: 0x0000_0001_0000_002A,
        number: 9,
        commands,
    }
}

/// What one entry of a busy partition looks like: creations, turns that schedule an activity, results.
pub(crate) fn batch() -> Batch {
    let result = Bytes::from_static(&[b'r'; 120]);
    let commands = (0..16).map(|number| match number % 3 {
        0 => Command::CreateInstance(Box::new(CreateInstance {
            key: key("order-0123456789abcdef"),
            creation: plain_creation(),
            reuse: ReusePolicy::Default,
        })),
        1 => Command::CompleteTurn(Box::new(CompleteTurn {
            key: key("order-0123456789abcdef"),
            execution: execution(1),
            turn: 3,
            consumed: 1,
            started_at: NOON,
            facts: Bytes::from_static(&[b'f'; 250]),
            fact_count: 3,
            custom_status: None,
            trace: payload("trace of the orchestration"),
            activities: vec![ActivityDraft {
                task_id: 1,
                name: "SayHello".into(),
                version: None,
                event_offset: 120,
                event_len: 100,
            }],
            timers: Vec::new(),
            messages: Vec::new(),
            own_inbox: Vec::new(),
            ending: None,
        })),
        _ => Command::CompleteActivity {
            key: key("order-0123456789abcdef"),
            execution: execution(1),
            seq: 6,
            event: result.clone(),
        },
    });
    batch_of(commands.collect())
}

/// Some payload of a decoded [`batch`].
pub(crate) fn first_payload(batch: &Batch) -> &Bytes {
    let found = batch.commands.iter().find_map(|command| match command {
        Command::CompleteTurn(turn) => Some(&turn.facts),
        _ => None,
    });
    found.expect("the sample has a turn")
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
