//! Partitions in memory, driven by hand: the test decides when time passes, what a worker gets and what arrives.

use std::time::Duration;

use longhaul_engine::batch::{self, BatchAnswer, BatchContext, Verdict, take_batch};
use longhaul_engine::command::{Batch, CreateInstance, ReusePolicy};
use longhaul_engine::dispatch::{self, Turn};
use longhaul_engine::effects::Outcome;
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::Creation;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::turn::{Action, Answer, Decided, decide};
use longhaul_engine::{Command, Entity, Instance, InstanceKey, Reply, Tables, apply};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionCount, PartitionId, Timestamp};

use super::events;

/// The only task hub.
const HUB: HubId = HubId(1);

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanos: 0,
};

/// All partitions, the time and the log of what was applied.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) partitions: Vec<MemTables>,
    pub(crate) now: Timestamp,
    /// What was applied, by partition: the input of a replay.
    pub(crate) log: Vec<Vec<Batch>>,
    executions: u128,
}

impl Cluster {
    pub(crate) fn new(partitions: u16) -> Self {
        let count = PartitionCount::new(partitions).expect("a power of two");
        let empty = |id| MemTables::new(PartitionState::new(id, count));
        Self {
            partitions: count.all().map(empty).collect(),
            now: START,
            log: vec![Vec::new(); usize::from(partitions)],
            executions: 0,
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(crate) fn key(id: &str) -> InstanceKey {
        InstanceKey::new(HUB, InstanceId::trusted(id))
    }

    /// Index of the partition where an instance lives.
    pub(crate) fn home(&self, key: &InstanceKey) -> usize {
        let count = self.partitions[0].partition.count;
        usize::from(count.partition_of(key.hub, &key.id).0)
    }

    /// An execution id that was never used: the numbers from 1, as 32 hex digits.
    pub(crate) fn fresh(&mut self) -> ExecutionId {
        self.executions += 1;
        ExecutionId::from_random(self.executions.to_be_bytes())
    }

    /// How many ids [`Cluster::fresh`] gave out.
    pub(crate) fn executions(&self) -> u128 {
        self.executions
    }

    pub(crate) fn apply(&mut self, partition: usize, command: Command) -> Outcome {
        self.log[partition].push(Batch {
            at: self.now,
            proposer: 0,
            number: 0,
            commands: vec![command.clone()],
        });
        apply(&mut self.partitions[partition], self.now, command).expect("memory does not fail")
    }

    pub(crate) fn creation(&mut self, name: &str) -> Creation {
        Creation {
            execution: self.fresh(),
            name: name.into(),
            version: None,
            input: None,
            scheduled_start: None,
            tags: None,
            parent: None,
            parent_trace: None,
            request_fingerprint: 0,
        }
    }

    /// Starts an instance as a client without a reuse policy does.
    pub(crate) fn create(&mut self, id: &str, name: &str) -> Reply {
        let creation = self.creation(name);
        self.create_as(id, creation, ReusePolicy::Default)
    }

    pub(crate) fn create_as(&mut self, id: &str, creation: Creation, reuse: ReusePolicy) -> Reply {
        let key = Self::key(id);
        let create = CreateInstance {
            key: key.clone(),
            creation,
            reuse,
        };
        self.apply(self.home(&key), Command::CreateInstance(Box::new(create)))
            .reply
    }

    /// Hands out the instance's next turn.
    pub(crate) fn take(&mut self, id: &str) -> Option<Turn> {
        let key = Self::key(id);
        let home = self.home(&key);
        dispatch::take_turn(&mut self.partitions[home], &key, self.now, false).expect("readable")
    }

    /// The worker's answer to a turn, committed.
    pub(crate) fn answer(&mut self, turn: &Turn, answer: Answer) -> Outcome {
        let now = self.now;
        let command = decide(&turn.context, answer, now, &mut || self.fresh());
        self.apply(
            self.home(&turn.context.key),
            Command::CompleteTurn(Box::new(command)),
        )
    }

    /// Takes the instance's turn and answers with these actions.
    pub(crate) fn turn(&mut self, id: &str, actions: Vec<(i32, Action)>) -> Outcome {
        let turn = self.take(id).expect("a turn is ready");
        let answer = Answer {
            actions: actions
                .into_iter()
                .map(|(id, action)| Decided { id, action })
                .collect(),
            ..Answer::default()
        };
        self.answer(&turn, answer)
    }

    /// Hands out the entity's next batch.
    pub(crate) fn take_batch(&mut self, id: &str) -> Option<batch::Batch> {
        let key = Self::key(id);
        let home = self.home(&key);
        take_batch(&mut self.partitions[home], &key).expect("readable")
    }

    /// What is to be done with a worker's answer to a batch.
    pub(crate) fn judge(&mut self, context: &BatchContext, answer: BatchAnswer) -> Verdict {
        let now = self.now;
        batch::decide(context, answer, now, &mut || self.fresh())
    }

    pub(crate) fn entity(&self, id: &str) -> Option<&Entity> {
        let key = Self::key(id);
        self.partitions[self.home(&key)].entities.get(&key)
    }

    pub(crate) fn instance(&self, id: &str) -> Option<&Instance> {
        let key = Self::key(id);
        self.partitions[self.home(&key)].instances.get(&key)
    }

    /// The instance, which exists.
    pub(crate) fn live(&self, id: &str) -> &Instance {
        self.instance(id).expect("the instance exists")
    }

    /// Its committed history, as a worker or a client reads it.
    pub(crate) fn history(&mut self, id: &str) -> Vec<HistoryEvent> {
        let key = Self::key(id);
        let home = self.home(&key);
        let runs = dispatch::committed_history(&mut self.partitions[home], &key).expect("readable");
        runs.unwrap_or_default()
            .into_iter()
            .flat_map(events::decode_framed)
            .collect()
    }

    /// Events waiting in its inbox.
    pub(crate) fn inbox(&self, id: &str) -> Vec<HistoryEvent> {
        let instance = self.live(id);
        let inbox = instance.inbox.iter();
        inbox
            .map(|message| events::decode(&message.event))
            .collect()
    }

    /// Hands `count` messages of the outbox of `from`, beginning with number `first`, to `to`.
    pub(crate) fn ship(&mut self, from: usize, to: usize, first: u64, count: usize) -> Outcome {
        let target = self.partitions[to].partition.id;
        let rows = self.partitions[from]
            .outbox(target, first - 1, count)
            .expect("readable");
        let first = rows.first().map_or(first, |(number, _)| *number);
        let messages = rows.into_iter().map(|(_, message)| message).collect();
        let source = self.partitions[from].partition.id;
        self.apply(
            to,
            Command::Deliver {
                source,
                first,
                messages,
            },
        )
    }

    /// Number of the last message that `to` has from `from`.
    pub(crate) fn received(&self, from: usize, to: usize) -> u64 {
        let source = self.partitions[from].partition.id;
        let received = &self.partitions[to].partition.received;
        received.get(&source).copied().unwrap_or(0)
    }

    pub(crate) fn ack(&mut self, from: usize, to: usize, through: u64) -> Outcome {
        let target = self.partitions[to].partition.id;
        self.apply(from, Command::AckOutbox { target, through })
    }

    /// Ships and acknowledges until all outboxes are empty.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            let Some((from, target)) = self.unshipped() else {
                return;
            };
            let to = usize::from(target.0);
            self.ship(from, to, self.received(from, to) + 1, 100);
            self.ack(from, to, self.received(from, to));
        }
        panic!("the partitions talk for ever");
    }

    fn unshipped(&self) -> Option<(usize, PartitionId)> {
        let mut sources = self.partitions.iter().enumerate();
        sources.find_map(|(from, tables)| {
            let (target, _) = tables.outbox.keys().next()?;
            Some((from, *target))
        })
    }
}
