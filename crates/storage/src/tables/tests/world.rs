//! Tables over a store that can crash, beside a model that remembers the state after every entry.

use std::collections::BTreeSet;

use bytes::Bytes;
use longhaul_engine::entity::{Entity, Queued};
use longhaul_engine::instance::{InboxKind, InboxMessage, Instance, Status};
use longhaul_engine::key::InstanceKey;
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::{Message, MessageBody};
use longhaul_engine::tables::{PartitionState, Tables};
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionCount, PartitionId, Timestamp};

use super::super::{Checkpoint, PartitionTables, Written};
use crate::conformance::Subject;
use crate::keys::{self, Kind};
use crate::records::{self, Position, samples};
use crate::rows::Rows;
use crate::testing::InMemory;

pub(super) const PARTITION: PartitionId = PartitionId(0);
pub(super) const TARGETS: [PartitionId; 2] = [PartitionId(1), PartitionId(300)];
pub(super) const KEYS: u8 = 6;
pub(super) const ENTITIES: u8 = 4;
pub(super) const HUBS: [HubId; 2] = [HubId(1), HubId(2)];
pub(super) const EXECUTIONS: u8 = 2;
pub(super) const RUNS: u32 = 100;

/// Changes of one log entry.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Nothing,
    PutInstance {
        key: u8,
        status: Status,
        /// When it was created, and when it ended if it has.
        second: u8,
        payload_bytes: u16,
    },
    UpdateInstance {
        key: u8,
        status: Status,
    },
    /// It is asked to suspend itself: clients see it suspended, though it is not yet.
    Suspend {
        key: u8,
    },
    RemoveInstance {
        key: u8,
    },
    PutEntity {
        key: u8,
        state: Option<u8>,
    },
    UpdateEntity {
        key: u8,
        second: u8,
        has_state: bool,
        is_waiting: bool,
    },
    RemoveEntity {
        key: u8,
    },
    PutHistory {
        key: u8,
        execution: u8,
        number: u32,
        byte: u8,
    },
    RemoveHistory {
        key: u8,
        execution: u8,
        count: u32,
    },
    PutOutbox {
        target: usize,
        count: u8,
    },
    RemoveOutbox {
        target: usize,
        through: u64,
    },
    Membership {
        byte: u8,
    },
}

/// Fields in the order they must be dropped in: whatever uses the store before the store.
pub(super) struct World<S> {
    pub(super) tables: PartitionTables,
    pub(super) model: MemTables,
    resident_bytes_max: usize,
    /// The model after each entry; entry `n` has index `n`, index 0 is before the first.
    past: Vec<(MemTables, Option<Bytes>)>,
    frozen: Option<Checkpoint>,
    written: Option<Written>,
    pub(super) subject: S,
}

pub(super) fn key(number: u8) -> InstanceKey {
    // Two hubs, and ids of which one begins another.
    let stem = ["order", "orders", "0"][usize::from(number / 2) % 3];
    let tail = "-\0".repeat(usize::from(number) / 6);
    let id = InstanceId::trusted(format!("{stem}{tail}"));
    InstanceKey::new(HUBS[usize::from(number % 2)], id)
}

pub(super) fn entity_key(number: u8) -> InstanceKey {
    let id = InstanceId::trusted(format!("@counter@{}", "a".repeat(usize::from(number / 2))));
    InstanceKey::new(HUBS[usize::from(number % 2)], id)
}

/// A time in whose bytes signs and carries matter.
pub(super) fn at(second: u8) -> Timestamp {
    Timestamp {
        seconds: i64::from(second) / 2 - 2,
        nanos: u32::from(second % 2) * 256,
    }
}

pub(super) fn execution(number: u8) -> ExecutionId {
    ExecutionId::new(format!("execution-{number}"))
}

pub(super) fn state() -> PartitionState {
    PartitionState::new(PARTITION, PartitionCount::new(512).expect("a power of two"))
}

fn instance(status: Status, second: u8, payload_bytes: u16) -> Instance {
    let mut instance = samples::plain_instance();
    instance.created_at = at(second);
    instance.input = Some(vec![b'p'; payload_bytes.into()].into());
    set_status(&mut instance, status);
    instance
}

fn set_status(instance: &mut Instance, status: Status) {
    let ended_at = Timestamp {
        seconds: instance.created_at.seconds + 3,
        ..instance.created_at
    };
    instance.status = status;
    // What goes on may remember when it had ended.
    if status.is_terminal() {
        instance.completed_at = Some(ended_at);
    }
}

fn entity(state: Option<u8>) -> Entity {
    let mut entity = Entity::new(at(0));
    entity.state = state.map(|byte| vec![byte; usize::from(byte)].into());
    entity
}

fn open<S: Subject>(subject: &S, resident_bytes_max: usize) -> PartitionTables {
    let rows = subject.store().partition(PARTITION).expect("opened");
    PartitionTables::open(rows, state(), resident_bytes_max).expect("opened")
}

impl<S: Subject> World<S> {
    pub(super) fn new(subject: S, resident_bytes_max: usize) -> Self {
        let tables = open(&subject, resident_bytes_max);
        let model = MemTables::new(state());
        let past = vec![(model.clone(), None)];
        Self {
            subject,
            tables,
            model,
            resident_bytes_max,
            past,
            frozen: None,
            written: None,
        }
    }

    /// Applies one entry to the tables and to the model.
    pub(super) fn apply(&mut self, change: &Change) {
        let mut membership = self.past.last().expect("never empty").1.clone();
        if let Change::Membership { byte } = change {
            membership = Some(Bytes::copy_from_slice(&[*byte]));
            self.tables.set_membership(&[*byte]);
        }
        perform(&mut self.tables, change);
        perform(&mut self.model, change);
        let index = self.past.len() as u64;
        self.tables.set_applied(Position { term: 1, index });
        self.past.push((self.model.clone(), membership));
    }

    pub(super) fn freeze(&mut self) {
        let frozen = self.tables.freeze();
        if let Some(frozen) = &frozen {
            assert_eq!(frozen.applied().map(|at| at.index), self.applied_index());
            assert!(self.tables.freeze().is_none(), "one checkpoint at a time");
        }
        self.frozen = self.frozen.take().or(frozen);
    }

    pub(super) fn write(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.written = Some(frozen.write().expect("written"));
        }
    }

    pub(super) fn complete(&mut self) {
        if let Some(written) = self.written.take() {
            self.tables.complete(written);
        }
    }

    pub(super) fn write_through(&mut self) {
        self.write();
        self.complete();
        self.tables.write_through().expect("written");
    }

    pub(super) fn flush(&self) {
        self.tables.durability().flush().expect("flushed");
    }

    /// The node crashes: the tables are those of the last durable checkpoint, and so is the model from now on.
    pub(super) fn crash(&mut self) {
        let durable = self.tables.durability().applied().expect("read");
        self.frozen = None;
        self.written = None;
        self.tables = open(&InMemory::new(), 0); // The process is gone, and with it what it had open.
        self.subject.crash();
        self.tables = open(&self.subject, self.resident_bytes_max);
        assert_eq!(
            self.tables.applied(),
            durable,
            "exactly what was called durable is left"
        );
        let index = durable.map_or(0, |applied| applied.index);
        let index = usize::try_from(index).expect("few entries");
        self.past.truncate(index + 1);
        self.model = self.past[index].0.clone();
    }

    /// The last index applied.
    fn applied_index(&self) -> Option<u64> {
        let index = self.past.len() as u64 - 1;
        (index > 0).then_some(index)
    }

    /// Tables and model answer every question alike.
    pub(super) fn check(&mut self) {
        assert_eq!(
            self.tables.applied().map(|at| at.index),
            self.applied_index()
        );
        assert_eq!(
            self.tables.membership(),
            self.past.last().expect("never empty").1.as_ref()
        );
        check_reads(&mut self.tables, &mut self.model);
        check_derived_rows(&**self.tables.rows());
    }
}

/// The rows that follow from records are exactly those, whichever checkpoint was the last.
pub(super) fn check_derived_rows(rows: &dyn Rows) {
    let scan = |kind: Kind| {
        rows.scan(&kind.prefix(), None, usize::MAX)
            .expect("scanned")
    };
    let mut expected = BTreeSet::new();
    for (key, record) in scan(Kind::Instance) {
        let key = keys::instance::decode(Kind::Instance, &key).expect("well formed");
        let instance = records::decode_instance(record).expect("well formed");
        let status = instance.effective_status();
        let entry =
            |kind, at: Timestamp| keys::index::encode(kind, key.hub, status, at.into(), &key.id);
        expected.insert(entry(Kind::Created, instance.created_at));
        if let Some(completed_at) = instance.completed_at
            && status.is_terminal()
        {
            expected.insert(entry(Kind::Finished, completed_at));
        }
        if instance.is_active() {
            expected.insert(keys::instance::encode(Kind::Active, &key));
        }
    }
    for (key, record) in scan(Kind::Entity) {
        let key = keys::instance::decode(Kind::Entity, &key).expect("well formed");
        if records::decode_entity(record)
            .expect("well formed")
            .is_active()
        {
            expected.insert(keys::instance::encode(Kind::Active, &key));
        }
    }
    let kinds = [Kind::Created, Kind::Finished, Kind::Active];
    let found = kinds.into_iter().flat_map(scan);
    let found: BTreeSet<Vec<u8>> = found.map(|(key, _)| key.to_vec()).collect();
    assert_eq!(found, expected);
}

/// Asks both every question there is.
fn check_reads(tables: &mut PartitionTables, model: &mut MemTables) {
    assert_eq!(tables.partition(), model.partition());
    for key in (0..KEYS).map(key) {
        assert_eq!(
            tables.instance(&key).expect("read"),
            model.instance(&key).expect("read"),
            "{key:?}"
        );
        for execution in (0..EXECUTIONS).map(execution) {
            let in_model = model
                .history
                .keys()
                .filter(|(k, e, _)| *k == key && *e == execution);
            let numbers: BTreeSet<u32> = in_model.map(|(_, _, number)| *number).collect();
            for number in numbers.into_iter().chain([0, 1, RUNS]) {
                let ours = tables.history(&key, &execution, number).ok();
                assert_eq!(ours, model.history(&key, &execution, number).ok());
            }
        }
    }
    for key in (0..ENTITIES).map(entity_key) {
        assert_eq!(
            tables.entity(&key).expect("read"),
            model.entity(&key).expect("read"),
            "{key:?}"
        );
        assert_eq!(tables.instance(&key).expect("read"), None);
        assert_eq!(tables.entity_mut(&self::key(0)).expect("read"), None);
    }
    for limit in [0, 1, 2, 100] {
        check_active(tables, model, limit);
        for target in TARGETS {
            check_outbox(tables, model, target, limit);
        }
    }
}

fn check_active(tables: &mut PartitionTables, model: &mut MemTables, limit: usize) {
    let mut after = None;
    loop {
        let page = tables.active(after.as_ref(), limit).expect("read");
        assert_eq!(page, model.active(after.as_ref(), limit).expect("read"));
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
    }
}

fn check_outbox(
    tables: &mut PartitionTables,
    model: &mut MemTables,
    target: PartitionId,
    limit: usize,
) {
    let mut after = 0;
    loop {
        let page = tables.outbox(target, after, limit).expect("read");
        assert_eq!(page, model.outbox(target, after, limit).expect("read"));
        let Some((last, _)) = page.last() else { break };
        after = *last;
    }
}

fn perform(tables: &mut dyn Tables, change: &Change) {
    match *change {
        Change::Nothing | Change::Membership { .. } => {}
        Change::PutInstance {
            key: number,
            status,
            second,
            payload_bytes,
        } => {
            tables.put_instance(key(number), instance(status, second, payload_bytes));
        }
        Change::UpdateInstance {
            key: number,
            status,
        } => {
            let found = tables.instance_mut(&key(number)).expect("read");
            if let Some(instance) = found {
                instance.turns += 1;
                instance.inbox.clear();
                set_status(instance, status);
            }
        }
        Change::Suspend { key: number } => {
            let found = tables.instance_mut(&key(number)).expect("read");
            if let Some(instance) = found {
                instance.inbox.push_back(InboxMessage {
                    kind: InboxKind::Suspended,
                    execution: None,
                    event: Bytes::from_static(b"suspend"),
                });
            }
        }
        Change::RemoveInstance { key: number } => tables.remove_instance(&key(number)),
        Change::PutEntity { key: number, state } => {
            tables.put_entity(entity_key(number), entity(state));
        }
        Change::UpdateEntity {
            key: number,
            second,
            has_state,
            is_waiting,
        } => {
            let found = tables.entity_mut(&entity_key(number)).expect("read");
            if let Some(entity) = found {
                entity.batches += 1;
                entity.modified_at = Some(at(second));
                entity.state = has_state.then(|| Bytes::copy_from_slice(&[second]));
                entity.queue.clear();
                if is_waiting {
                    let operation = samples::entity().owner_lane[0].clone();
                    entity.queue.push_back(Queued::Operation(operation));
                }
            }
        }
        Change::RemoveEntity { key: number } => tables.remove_entity(&entity_key(number)),
        Change::PutHistory {
            key: number,
            execution: of,
            number: run,
            byte,
        } => {
            let framed = Bytes::copy_from_slice(&[byte; 40]);
            tables.put_history(&key(number), &execution(of), run, framed);
        }
        Change::RemoveHistory {
            key: number,
            execution: of,
            count,
        } => {
            tables.remove_history(&key(number), &execution(of), count);
        }
        Change::PutOutbox { target, count } => {
            let target = TARGETS[target];
            for _ in 0..count {
                let sent = tables.partition_mut().sent.entry(target).or_insert(0);
                *sent += 1;
                let number = *sent;
                let body = MessageBody::Event(Bytes::from(number.to_string()));
                tables.put_outbox(
                    target,
                    number,
                    Message {
                        target: key(0),
                        body,
                    },
                );
            }
        }
        Change::RemoveOutbox { target, through } => {
            let sent = tables
                .partition()
                .sent
                .get(&TARGETS[target])
                .copied()
                .unwrap_or(0);
            tables.remove_outbox(TARGETS[target], through.min(sent));
        }
    }
}
