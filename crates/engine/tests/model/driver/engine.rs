//! The real thing: a few partitions in memory, each with its tables, its outbox and its own idea of the time.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_engine::command::DueTimer;
use longhaul_engine::history::event;
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::Message;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::{
    Command, Effect, Instance, InstanceKey, Reply as EngineReply, apply, invariants, outstanding,
};
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionCount, PartitionId, Timestamp};

use super::observe;
use crate::values::Reply;

/// The only task hub.
pub(super) const HUB: HubId = HubId(1);

/// How many partitions there are.
pub(super) const PARTITIONS: u16 = 4;

/// All partitions, and every message that was ever sent between them.
pub(super) struct Engine {
    pub(super) partitions: Vec<MemTables>,
    pub(super) now: Timestamp,
    /// From one partition to another: number `index + 1`.
    pub(super) sent: BTreeMap<(usize, usize), Vec<Message>>,
    ids: u128,
}

/// What the workers of these tests call their failures.
pub(super) fn failure_type() -> &'static str {
    "Oops"
}

/// Encoded details of a worker's failure.
pub(super) fn worker_failure(text: &str) -> Bytes {
    event::failure_details(failure_type(), text)
}

/// The partition of an instance or entity.
pub(super) fn home(id: &str) -> usize {
    let count = PartitionCount::new(PARTITIONS).expect("a power of two");
    usize::from(count.partition_of(HUB, &InstanceId::trusted(id)).0)
}

pub(super) fn key(id: &str) -> InstanceKey {
    InstanceKey::new(HUB, InstanceId::trusted(id))
}

impl Engine {
    pub(super) fn new(now: Timestamp) -> Self {
        let count = PartitionCount::new(PARTITIONS).expect("a power of two");
        let empty = |id| MemTables::new(PartitionState::new(id, count));
        Self {
            partitions: count.all().map(empty).collect(),
            now,
            sent: BTreeMap::new(),
            ids: 0,
        }
    }

    /// An id that was never used.
    pub(super) fn fresh(&mut self) -> ExecutionId {
        self.ids += 1;
        ExecutionId::from_random(self.ids.to_be_bytes())
    }

    /// Applies a command and keeps what it sent.
    pub(super) fn apply(&mut self, partition: usize, command: Command) -> EngineReply {
        let tables = &mut self.partitions[partition];
        let outcome = apply(tables, self.now, command).expect("memory does not fail");
        for ((target, number), message) in &tables.outbox {
            let road = (partition, usize::from(target.0));
            let sent = self.sent.entry(road).or_default();
            if *number > sent.len() as u64 {
                sent.push(message.clone());
            }
        }
        outcome.reply
    }

    /// Applies a client's or a worker's command where the instance lives.
    pub(super) fn ask(&mut self, id: &str, command: impl FnOnce(InstanceKey) -> Command) -> Reply {
        let reply = self.apply(home(id), command(key(id)));
        observe::reply(&reply)
    }

    pub(super) fn tables(&mut self, id: &str) -> &mut MemTables {
        &mut self.partitions[home(id)]
    }

    pub(super) fn instance(&self, id: &str) -> Option<&Instance> {
        self.partitions[home(id)].instances.get(&key(id))
    }

    /// Timers of an instance: when they are due, their action's id, and how the leader names them.
    pub(super) fn timers(&self, id: &str) -> Vec<(Timestamp, i32, DueTimer)> {
        let Some(instance) = self.instance(id) else {
            return Vec::new();
        };
        let timers = instance.timers.iter().map(|(seq, timer)| {
            let due = DueTimer {
                key: key(id),
                execution: instance.execution.clone(),
                seq: *seq,
            };
            (timer.fire_at, timer.timer_id, due)
        });
        timers.collect()
    }

    /// Number of the last message that one partition has from another.
    pub(super) fn received(&self, (from, to): (usize, usize)) -> usize {
        let received = &self.partitions[to].partition.received;
        let through = received.get(&partition_id(from)).copied().unwrap_or(0);
        usize::try_from(through).expect("few")
    }

    /// Hands over messages that were sent before, beginning with the one at `first`.
    pub(super) fn deliver(&mut self, road: (usize, usize), first: usize, count: usize) {
        let messages = self.sent[&road].iter().skip(first).take(count);
        let command = Command::Deliver {
            source: partition_id(road.0),
            first: first as u64 + 1,
            messages: messages.cloned().collect(),
        };
        self.apply(road.1, command);
    }

    /// The receiver says what it has.
    pub(super) fn acknowledge(&mut self, road: (usize, usize), through: usize) {
        let command = Command::AckOutbox {
            target: partition_id(road.1),
            through: through as u64,
        };
        self.apply(road.0, command);
    }

    /// What a leader that knows nothing but the state finds to do, a line for each thing.
    pub(super) fn outstanding(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for tables in &mut self.partitions {
            let page = outstanding(tables, None, 10_000, self.now).expect("readable");
            lines.extend(page.effects.iter().filter_map(line));
        }
        lines.sort_unstable();
        lines
    }

    /// Panics if a record breaks an invariant of its own.
    pub(super) fn check_records(&self) {
        for tables in &self.partitions {
            for instance in tables.instances.values() {
                invariants::check(instance).expect("every instance is sound");
            }
            for entity in tables.entities.values() {
                invariants::check_entity(entity).expect("every entity is sound");
            }
        }
    }

    /// Everything in the hub of the instances and entities is removed.
    pub(super) fn remove_all(&mut self) {
        for partition in 0..self.partitions.len() {
            let tables = &self.partitions[partition];
            let keys = tables.instances.keys().chain(tables.entities.keys());
            let keys = keys.cloned().collect();
            self.apply(partition, Command::Remove { keys });
        }
    }

    /// Whether nothing at all is kept of any instance or entity.
    pub(super) fn is_empty(&self) -> bool {
        let all = self.partitions.iter();
        all.into_iter().all(|tables| {
            tables.instances.is_empty() && tables.entities.is_empty() && tables.history.is_empty()
        })
    }

    /// Messages that no receiver has, as "town and receiver".
    pub(super) fn letters(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (road, sent) in &self.sent {
            let underway = sent.iter().skip(self.received(*road));
            lines.extend(underway.map(|it| format!("{} to {}", road.0, it.target.id)));
        }
        lines.sort_unstable();
        lines
    }
}

fn partition_id(partition: usize) -> PartitionId {
    PartitionId(u16::try_from(partition).expect("few"))
}

fn line(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::TurnReady { key, .. } => format!("turn {}", key.id),
        Effect::ActivityReady { key, name, .. } => format!("activity {} {name}", key.id),
        Effect::TimerArmed { key, fire_at, .. } => format!("timer {} {fire_at}", key.id),
        Effect::StartArmed { key, at } => format!("start {} {at}", key.id),
        Effect::BatchReady { key } => format!("batch {}", key.id),
        Effect::OperationArmed { key, due, .. } => format!("operation {} {due}", key.id),
        Effect::ExpiryArmed { .. } | Effect::OutboxGrew { .. } => return None,
        other => panic!("a hint about the past: {other:?}"),
    })
}
