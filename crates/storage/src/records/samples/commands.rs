//! Commands, and batches of them.

use bytes::Bytes;
use longhaul_engine::RequestId;
use longhaul_engine::command::{
    ActivityDraft, Batch, Command, CompleteBatch, CompleteTurn, CreateInstance, DueOperation,
    DueTimer, Ending, Outgoing, PurgeTarget, ReusePolicy, StateChange, TimerDraft,
};
use longhaul_engine::instance::Status;
use longhaul_engine::message::MessageBody;
use longhaul_types::{InstanceId, PartitionId};

use super::{
    NOON, at, creation, event, execution, inbox, key, lock_request, message, payload,
    plain_creation, section,
};

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

/// A turn that locks entities and leaves a critical section.
fn locking_turn() -> Command {
    Command::CompleteTurn(Box::new(CompleteTurn {
        key: key("order-17"),
        execution: execution(1),
        turn: 3,
        consumed: 0,
        started_at: at(2),
        facts: event("framed facts"),
        fact_count: 2,
        custom_status: None,
        trace: None,
        activities: Vec::new(),
        timers: Vec::new(),
        messages: vec![
            Outgoing::Lock(section()),
            Outgoing::Unlock {
                section: section().id.clone(),
                entity: InstanceId::trusted("@account@a"),
            },
        ],
        own_inbox: Vec::new(),
        ending: None,
    }))
}

/// Commands that manage instances from outside, each kind.
pub(crate) fn management_commands() -> Vec<(&'static str, Command)> {
    let key = || key("order-17");
    let targets = vec![
        PurgeTarget {
            key: key(),
            completed_at: Some(at(9)),
        },
        PurgeTarget {
            key: super::key("@account@a"),
            completed_at: None,
        },
    ];
    vec![
        (
            "command-rewind",
            Command::Rewind {
                key: key(),
                execution: execution(3),
                reason: payload("\"try again\""),
            },
        ),
        (
            "command-restart",
            Command::Restart {
                key: key(),
                execution: execution(3),
            },
        ),
        (
            "command-force-terminate",
            Command::ForceTerminate {
                key: key(),
                reason: payload("\"stopped\""),
            },
        ),
        ("command-purge", Command::Purge { targets }),
        (
            "command-once",
            Command::Once {
                request: RequestId(0x0123_4567_89AB_CDEF_0011_2233_4455_6677),
                command: Box::new(Command::RaiseEvent {
                    key: key(),
                    event: event("EventRaised"),
                }),
            },
        ),
        (
            "command-remove",
            Command::Remove {
                keys: vec![key(), super::key("@account@a")],
            },
        ),
    ]
}

/// Commands about entities, each kind.
pub(crate) fn entity_commands() -> Vec<(&'static str, Command)> {
    let key = || key("@account@a");
    let batch = |state, answers| {
        Command::CompleteBatch(Box::new(CompleteBatch {
            key: key(),
            batch: 4,
            state,
            answers,
            messages: vec![message(MessageBody::Lock(lock_request()))],
        }))
    };
    let answers = vec![event("EntityOperationCompleted"), Bytes::new()];
    vec![
        (
            "command-signal-entity",
            Command::SignalEntity {
                key: key(),
                request_id: "5f0c7e0a-6a1c-4d52-9a3c-0d5a9f0e7b11".into(),
                event: event("EntityOperationSignaled"),
                due: Some(at(600)),
            },
        ),
        (
            "command-batch",
            batch(StateChange::Set(payload("{\"balance\":4}")), answers),
        ),
        (
            "command-batch-deleted",
            batch(StateChange::Set(None), Vec::new()),
        ),
        ("command-batch-kept", batch(StateChange::Keep, Vec::new())),
        (
            "command-release-operations",
            Command::ReleaseOperations(vec![DueOperation { key: key(), seq: 9 }]),
        ),
        (
            "command-expire-entities",
            Command::ExpireEntities(vec![key()]),
        ),
    ]
}

/// A command of each kind that one instance's life consists of.
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
        ("command-turn-locks", locking_turn()),
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
