//! Any value of each recorded type, for properties.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::command::{
    ActivityDraft, Batch, Command, CompleteBatch, CompleteTurn, CreateInstance, DueOperation,
    DueTimer, Ending, Outgoing, PurgeTarget, ReusePolicy, StateChange, TimerDraft,
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
use longhaul_engine::requests::RequestId;
use longhaul_engine::tables::PartitionState;
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionCount, PartitionId, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{FileFormat, PartitionRow, Position, SnapshotFile, SnapshotManifest};

/// Few characters, so that keys collide and prefixes meet, with the awkward ones among them.
fn any_text() -> impl Strategy<Value = Arc<str>> {
    vec(
        select(vec!['\0', '\u{1}', 'a', 'b', '@', 'ü', '\u{10FFFF}']),
        0..5,
    )
    .prop_map(|chars| String::from_iter(chars).into())
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

fn payload() -> impl Strategy<Value = Option<Bytes>> {
    option::of(any_bytes())
}

fn version() -> impl Strategy<Value = Option<Arc<str>>> {
    option::of(any_text())
}

pub(crate) fn any_instance_id() -> impl Strategy<Value = InstanceId> {
    any_text().prop_map(InstanceId::trusted)
}

pub(crate) fn any_execution() -> impl Strategy<Value = ExecutionId> {
    any_text().prop_map(ExecutionId::new)
}

pub(crate) fn any_instance_key() -> impl Strategy<Value = InstanceKey> {
    (any::<u32>(), any_instance_id()).prop_map(|(hub, id)| InstanceKey::new(HubId(hub), id))
}

pub(crate) fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

pub(crate) fn any_status() -> impl Strategy<Value = Status> {
    select((0..8).filter_map(Status::from_wire).collect::<Vec<_>>())
}

fn any_tags() -> impl Strategy<Value = Option<Arc<Tags>>> {
    let tag = (any_text(), any_text());
    let tags = vec(tag, 0..3).prop_map(|tags| {
        let tags = tags
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Arc::new(tags.collect())
    });
    option::of(tags)
}

fn any_parent() -> impl Strategy<Value = Option<Arc<ParentLink>>> {
    let parts = (
        any_instance_id(),
        any_execution(),
        any::<i32>(),
        any::<u64>(),
        any_bytes(),
    );
    option::of(parts.prop_map(|(instance, execution, task_id, seq, info)| {
        Arc::new(ParentLink {
            instance,
            execution,
            task_id,
            seq,
            info,
        })
    }))
}

prop_compose! {
    fn any_creation()(
        (execution, name, version, input) in (any_execution(), any_text(), version(), payload()),
        scheduled_start in option::of(any_timestamp()),
        (tags, parent, parent_trace) in (any_tags(), any_parent(), payload()),
        request_fingerprint in any::<u64>(),
    ) -> Creation {
        Creation {
            execution, name, version, input, scheduled_start, tags, parent, parent_trace,
            request_fingerprint,
        }
    }
}

fn any_inbox_message() -> impl Strategy<Value = InboxMessage> {
    let kind = prop_oneof![
        Just(InboxKind::Other),
        Just(InboxKind::Started),
        any::<bool>().prop_map(|recurse| InboxKind::Terminated { recurse }),
        Just(InboxKind::Suspended),
        Just(InboxKind::Resumed),
        any_timestamp().prop_map(|fire_at| InboxKind::TimerFired { fire_at }),
    ];
    (kind, option::of(any_execution()), any_bytes()).prop_map(|(kind, execution, event)| {
        InboxMessage {
            kind,
            execution,
            event,
        }
    })
}

prop_compose! {
    fn any_activity()(
        (task_id, name, version) in (any::<i32>(), any_text(), version()),
        (execution, rewound_to) in (any_execution(), option::of(any_execution())),
        (event, scheduled_at) in (any_bytes(), any_timestamp()),
    ) -> Activity {
        let awaited_by = rewound_to.unwrap_or_else(|| execution.clone());
        Activity { task_id, name, version, execution, awaited_by, event, scheduled_at }
    }
}

fn any_timer() -> impl Strategy<Value = Timer> {
    (any::<i32>(), any_timestamp()).prop_map(|(timer_id, fire_at)| Timer { timer_id, fire_at })
}

fn any_child() -> impl Strategy<Value = Child> {
    (any::<i32>(), any_instance_id()).prop_map(|(task_id, instance)| Child { task_id, instance })
}

fn any_locks() -> impl Strategy<Value = SectionLocks> {
    let hold = select(vec![
        Hold::Wanted,
        Hold::Granted,
        Hold::Regained,
        Hold::Postponed,
    ]);
    (vec(any_instance_id(), 0..3), hold)
        .prop_map(|(entities, hold)| SectionLocks { entities, hold })
}

fn any_history() -> impl Strategy<Value = History> {
    (
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        vec(any_bytes(), 0..3),
    )
        .prop_map(|(sealed, events, bytes, tail)| History {
            sealed,
            events,
            bytes,
            tail,
        })
}

prop_compose! {
    pub(crate) fn any_instance()(
        (name, version, execution, status) in
            (any_text(), version(), any_execution(), any_status()),
        (turns, last_seq, request_fingerprint) in any::<(u64, u64, u64)>(),
        (created_at, updated_at) in (any_timestamp(), any_timestamp()),
        (completed_at, scheduled_start, turn_started_at) in
            (option::of(any_timestamp()), option::of(any_timestamp()), option::of(any_timestamp())),
        (input, output, failure, custom_status, parent_trace, trace) in
            (payload(), payload(), payload(), payload(), payload(), payload()),
        custom_status_inherited in any::<bool>(),
        (tags, parent) in (any_tags(), any_parent()),
        inbox in vec(any_inbox_message(), 0..3),
        activities in btree_map(any::<u64>(), any_activity(), 0..3),
        timers in btree_map(any::<u64>(), any_timer(), 0..3),
        children in btree_map(any::<u64>(), any_child(), 0..3),
        locks in btree_map(any_text(), any_locks(), 0..3),
        (history, rewound, kicked) in (any_history(), any::<bool>(), any::<bool>()),
    ) -> Instance {
        Instance {
            name, version, execution, status, turns, last_seq, created_at, updated_at,
            completed_at, scheduled_start, turn_started_at, input, output, failure, custom_status,
            custom_status_inherited, tags, parent, parent_trace, trace, request_fingerprint,
            inbox: inbox.into(), activities, timers, children, locks, history, rewound, kicked,
        }
    }
}

fn any_caller() -> impl Strategy<Value = Caller> {
    (any_instance_id(), any_execution()).prop_map(|(instance, execution)| Caller {
        instance,
        execution,
    })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    (option::of(any_caller()), any_text(), any_bytes()).prop_map(|(caller, request_id, event)| {
        Operation {
            caller,
            request_id,
            event,
        }
    })
}

fn any_section() -> impl Strategy<Value = Arc<CriticalSection>> {
    (any_text(), any_caller(), vec(any_instance_id(), 0..3)).prop_map(|(id, owner, entities)| {
        Arc::new(CriticalSection {
            id,
            owner: owner.instance,
            execution: owner.execution,
            entities,
        })
    })
}

fn any_lock_request() -> impl Strategy<Value = LockRequest> {
    (any_section(), any::<u32>()).prop_map(|(section, position)| LockRequest { section, position })
}

fn any_queued() -> impl Strategy<Value = Queued> {
    prop_oneof![
        any_operation().prop_map(Queued::Operation),
        any_lock_request().prop_map(Queued::Lock),
    ]
}

fn any_scheduled() -> impl Strategy<Value = Scheduled> {
    (any_timestamp(), any_operation(), option::of(any_caller())).prop_map(
        |(due, operation, sender)| Scheduled {
            due,
            operation,
            sender,
        },
    )
}

fn any_recent() -> impl Strategy<Value = RecentRequest> {
    (any_timestamp(), any_text()).prop_map(|(at, request_id)| RecentRequest { at, request_id })
}

prop_compose! {
    pub(crate) fn any_entity()(
        state in payload(),
        (created_at, modified_at) in (any_timestamp(), option::of(any_timestamp())),
        (batches, last_seq) in any::<(u64, u64)>(),
        lock in option::of(any_section()),
        owner_lane in vec(any_operation(), 0..3),
        queue in vec(any_queued(), 0..3),
        scheduled in btree_map(any::<u64>(), any_scheduled(), 0..3),
        recent in vec(any_recent(), 0..3),
    ) -> Entity {
        Entity {
            state, created_at, modified_at, batches, last_seq, lock, owner_lane: owner_lane.into(),
            queue: queue.into(), scheduled, recent: recent.into(),
        }
    }
}

fn any_rewind_child() -> impl Strategy<Value = RewindChild> {
    let rest = (any_execution(), any::<bool>());
    (payload(), any_creation(), rest).prop_map(|(reason, creation, (previous, failed))| {
        RewindChild {
            reason,
            creation,
            previous,
            failed,
        }
    })
}

pub(crate) fn any_message() -> impl Strategy<Value = Message> {
    let end = prop_oneof![
        payload().prop_map(ChildEnd::Completed),
        any_bytes().prop_map(ChildEnd::Failed),
    ];
    let child_of = option::of((any_instance_id(), any_execution(), any::<u64>()));
    let body = prop_oneof![
        any_creation().prop_map(|creation| MessageBody::Start(Box::new(creation))),
        any_bytes().prop_map(MessageBody::Event),
        (any_execution(), any::<u64>(), end).prop_map(|(execution, seq, end)| {
            MessageBody::ChildEnded {
                execution,
                seq,
                end,
            }
        }),
        (payload(), any::<bool>(), child_of).prop_map(|(output, recurse, only_child_of)| {
            MessageBody::Terminate {
                output,
                recurse,
                only_child_of,
            }
        }),
        any_rewind_child().prop_map(|child| MessageBody::Rewind(Box::new(child))),
        (
            any_operation(),
            option::of(any_caller()),
            option::of(any_timestamp())
        )
            .prop_map(|(operation, sender, due)| MessageBody::Operation {
                operation,
                sender,
                due
            }),
        any_lock_request().prop_map(MessageBody::Lock),
        (any_text(), any_caller())
            .prop_map(|(section, owner)| MessageBody::Unlock { section, owner }),
        (any_execution(), any_bytes())
            .prop_map(|(execution, event)| MessageBody::Answer { execution, event }),
        any_section().prop_map(MessageBody::LockGranted),
    ];
    (any_instance_key(), body).prop_map(|(target, body)| Message { target, body })
}

fn any_partition() -> impl Strategy<Value = PartitionId> {
    any::<u16>().prop_map(PartitionId)
}

pub(crate) fn any_partition_row() -> impl Strategy<Value = PartitionRow> {
    let numbers = || btree_map(any_partition(), any::<u64>(), 0..3);
    let count = (0..=10_u32).prop_map(|power| PartitionCount::new(1 << power).expect("a power"));
    let state = (
        any_partition(),
        count,
        any_timestamp(),
        numbers(),
        numbers(),
        vec((any_timestamp(), any::<u128>().prop_map(RequestId)), 0..4),
    )
        .prop_map(
            |(id, count, clock, sent, received, requests)| PartitionState {
                id,
                count,
                clock,
                sent,
                received,
                requests: requests.into_iter().collect(),
            },
        );
    let applied = option::of(any_position());
    (applied, payload(), state, any::<u32>()).prop_map(
        |(applied, membership, state, indexes_version)| PartitionRow {
            applied,
            membership,
            state,
            indexes_version,
        },
    )
}

fn any_position() -> impl Strategy<Value = Position> {
    any::<(u64, u64)>().prop_map(|(term, index)| Position { term, index })
}

pub(crate) fn any_manifest() -> impl Strategy<Value = SnapshotManifest> {
    let file = ("[a-z0-9][a-z0-9.]{0,8}", any::<u64>(), any::<u64>()).prop_map(
        |(name, bytes, checksum)| SnapshotFile {
            name,
            bytes,
            checksum,
        },
    );
    let format = select(vec![FileFormat::Sst, FileFormat::Rows]);
    let parts = (
        any_partition(),
        any::<u64>(),
        any_position(),
        payload(),
        format,
        vec(file, 0..3),
    );
    parts.prop_map(
        |(partition, incarnation, applied, membership, format, files)| SnapshotManifest {
            partition,
            incarnation,
            applied,
            membership,
            format,
            files,
        },
    )
}

fn any_activity_draft() -> impl Strategy<Value = ActivityDraft> {
    (
        any::<i32>(),
        any_text(),
        version(),
        any::<u32>(),
        any::<u32>(),
    )
        .prop_map(
            |(task_id, name, version, event_offset, event_len)| ActivityDraft {
                task_id,
                name,
                version,
                event_offset,
                event_len,
            },
        )
}

fn any_timer_draft() -> impl Strategy<Value = TimerDraft> {
    (any::<i32>(), any_timestamp()).prop_map(|(timer_id, fire_at)| TimerDraft { timer_id, fire_at })
}

fn any_outgoing() -> impl Strategy<Value = Outgoing> {
    let child = (any_instance_key(), any::<i32>(), any_creation());
    prop_oneof![
        child.prop_map(|(key, task_id, creation)| {
            Outgoing::Child {
                key,
                task_id,
                creation: Box::new(creation),
            }
        }),
        any_message().prop_map(Outgoing::Message),
        any_section().prop_map(Outgoing::Lock),
        (any_text(), any_instance_id())
            .prop_map(|(section, entity)| Outgoing::Unlock { section, entity }),
    ]
}

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        (any_status(), payload(), payload()).prop_map(|(status, output, failure)| {
            Ending::Terminal {
                status,
                output,
                failure,
            }
        }),
        (
            any_execution(),
            version(),
            payload(),
            vec(any_bytes(), 0..3)
        )
            .prop_map(
                |(execution, version, input, carryover)| Ending::ContinuedAsNew {
                    execution,
                    version,
                    input,
                    carryover,
                }
            ),
    ]
}

prop_compose! {
    fn any_turn()(
        (key, execution, turn) in (any_instance_key(), any_execution(), any::<u64>()),
        (consumed, fact_count) in any::<(u32, u32)>(),
        (started_at, facts) in (any_timestamp(), any_bytes()),
        (custom_status, trace) in (payload(), payload()),
        activities in vec(any_activity_draft(), 0..3),
        timers in vec(any_timer_draft(), 0..3),
        messages in vec(any_outgoing(), 0..3),
        own_inbox in vec(any_inbox_message(), 0..3),
        ending in option::of(any_ending()),
    ) -> CompleteTurn {
        CompleteTurn {
            key, execution, turn, consumed, started_at, facts, fact_count, custom_status, trace,
            activities, timers, messages, own_inbox, ending,
        }
    }
}

fn any_create() -> impl Strategy<Value = CreateInstance> {
    let reuse = prop_oneof![
        Just(ReusePolicy::Default),
        vec(any_status(), 0..3).prop_map(ReusePolicy::Replace),
    ];
    (any_instance_key(), any_creation(), reuse).prop_map(|(key, creation, reuse)| CreateInstance {
        key,
        creation,
        reuse,
    })
}

fn any_due_timer() -> impl Strategy<Value = DueTimer> {
    (any_instance_key(), any_execution(), any::<u64>()).prop_map(|(key, execution, seq)| DueTimer {
        key,
        execution,
        seq,
    })
}

fn any_purge_target() -> impl Strategy<Value = PurgeTarget> {
    (any_instance_key(), option::of(any_timestamp()))
        .prop_map(|(key, completed_at)| PurgeTarget { key, completed_at })
}

fn any_due_operation() -> impl Strategy<Value = DueOperation> {
    (any_instance_key(), any::<u64>()).prop_map(|(key, seq)| DueOperation { key, seq })
}

fn any_complete_batch() -> impl Strategy<Value = CompleteBatch> {
    let state = prop_oneof![
        Just(StateChange::Keep),
        payload().prop_map(StateChange::Set),
    ];
    let parts = (
        any_instance_key(),
        any::<u64>(),
        state,
        vec(any_bytes(), 0..3),
        vec(any_message(), 0..3),
    );
    parts.prop_map(|(key, batch, state, answers, messages)| CompleteBatch {
        key,
        batch,
        state,
        answers,
        messages,
    })
}

/// Commands about instances that have ended, and about any instance from outside.
fn any_management_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (any_instance_key(), any_execution(), payload()).prop_map(|(key, execution, reason)| {
            Command::Rewind {
                key,
                execution,
                reason,
            }
        }),
        (any_instance_key(), any_execution())
            .prop_map(|(key, execution)| Command::Restart { key, execution }),
        (any_instance_key(), payload())
            .prop_map(|(key, reason)| Command::ForceTerminate { key, reason }),
        vec(any_purge_target(), 0..3).prop_map(|targets| Command::Purge { targets }),
        vec(any_instance_key(), 0..3).prop_map(|keys| Command::Remove { keys }),
    ]
}

fn any_entity_command() -> impl Strategy<Value = Command> {
    let signal = (
        any_instance_key(),
        any_text(),
        any_bytes(),
        option::of(any_timestamp()),
    );
    prop_oneof![
        signal.prop_map(|(key, request_id, event, due)| Command::SignalEntity {
            key,
            request_id,
            event,
            due,
        }),
        any_complete_batch().prop_map(|batch| Command::CompleteBatch(Box::new(batch))),
        vec(any_due_operation(), 0..3).prop_map(Command::ReleaseOperations),
        vec(any_instance_key(), 0..3).prop_map(Command::ExpireEntities),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    (option::weighted(0.2, any::<u128>()), any_plain_command()).prop_map(|(request, command)| {
        match request {
            Some(request) => Command::Once {
                request: RequestId(request),
                command: Box::new(command),
            },
            None => command,
        }
    })
}

fn any_plain_command() -> BoxedStrategy<Command> {
    prop_oneof![
        5 => any_lifecycle_command(),
        2 => any_management_command(),
        2 => any_entity_command(),
    ]
    .boxed()
}

fn any_lifecycle_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any_create().prop_map(|create| Command::CreateInstance(Box::new(create))),
        (any_instance_key(), any_bytes())
            .prop_map(|(key, event)| Command::RaiseEvent { key, event }),
        (any_instance_key(), payload()).prop_map(|(key, reason)| Command::Suspend { key, reason }),
        (any_instance_key(), payload()).prop_map(|(key, reason)| Command::Resume { key, reason }),
        (any_instance_key(), payload(), any::<bool>()).prop_map(|(key, output, recurse)| {
            Command::Terminate {
                key,
                output,
                recurse,
            }
        }),
        any_turn().prop_map(|turn| Command::CompleteTurn(Box::new(turn))),
        (
            any_instance_key(),
            any_execution(),
            any::<u64>(),
            any_bytes()
        )
            .prop_map(|(key, execution, seq, event)| Command::CompleteActivity {
                key,
                execution,
                seq,
                event
            }),
        vec(any_due_timer(), 0..3).prop_map(Command::FireTimers),
        (any_partition(), any::<u64>(), vec(any_message(), 0..3)).prop_map(
            |(source, first, messages)| Command::Deliver {
                source,
                first,
                messages
            }
        ),
        (any_partition(), any::<u64>())
            .prop_map(|(target, through)| Command::AckOutbox { target, through }),
    ]
}

pub(crate) fn any_batch() -> impl Strategy<Value = Batch> {
    (
        any_timestamp(),
        any::<u64>(),
        any::<u64>(),
        vec(any_command(), 0..4),
    )
        .prop_map(|(at, proposer, number, commands)| Batch {
            at,
            proposer,
            number,
            commands,
        })
}
