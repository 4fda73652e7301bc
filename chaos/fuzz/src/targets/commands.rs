//! Two partitions between clients and workers that send whatever they like: a byte for what happens next, then what it
//! takes to happen, such as the message of a call.

use longhaul_engine::batch::{self, Verdict, take_batch};
use longhaul_engine::command::{Batch, CompleteTurn, DueOperation, DueTimer};
use longhaul_engine::dispatch::{Turn, committed_history, take_turn, turn_ready};
use longhaul_engine::effects::Outcome;
use longhaul_engine::history::{Frames, event};
use longhaul_engine::mem::MemTables;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::turn::{Answer, decide};
use longhaul_engine::{Command, InstanceKey, Tables, apply, invariants, outstanding};
use longhaul_frontend::fuzzing::{Asked, Surroundings, calls, read};
use longhaul_partition::ActivityResult;
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_storage::records;
use longhaul_types::{ExecutionId, PartitionCount, PartitionId, Timestamp};
use prost::Message;

use super::requests::surroundings;
use crate::input::Input;

/// Steps of one input.
const STEPS_MAX: usize = 200;

/// What happens, in the order of the bytes that choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// A client's call: its number, and its message with two bytes of length before it.
    Call,
    /// Time passes: milliseconds, two bytes.
    Pass,
    /// A worker takes a turn, which of those that are ready, and answers with the message.
    Turn,
    /// A worker answers a turn that it took before: which, and the message.
    LateTurn,
    /// A worker answers an activity: which, and the message.
    Activity,
    /// A worker takes the operations of an entity, which of those that are ready, and answers with the message.
    Operations,
    /// A worker answers operations that it took before: which, and the message.
    LateOperations,
    /// Every timer is said to be due.
    Timers,
    /// Every scheduled operation is said to be due.
    Release,
    /// Messages travel from a partition to the other: from which, and how many are sent once more.
    Deliver,
    /// The sender hears of it: which.
    Acknowledge,
    /// Entities in which nothing is left may go.
    Expire,
}

impl Step {
    /// Every step; its byte is its place.
    pub const ALL: [Self; 12] = [
        Self::Call,
        Self::Pass,
        Self::Turn,
        Self::LateTurn,
        Self::Activity,
        Self::Operations,
        Self::LateOperations,
        Self::Timers,
        Self::Release,
        Self::Deliver,
        Self::Acknowledge,
        Self::Expire,
    ];
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut world = World::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let step = Step::ALL[input.below(Step::ALL.len())];
        world.take(step, &mut input);
    }
    for tables in &mut world.partitions {
        check(tables, world.around.now);
    }
    world.replay();
}

/// Two partitions, all that was applied to them, and all that workers ever took.
struct World {
    partitions: Vec<MemTables>,
    around: Surroundings,
    log: Vec<(usize, Batch, Outcome)>,
    turns: Vec<Turn>,
    batches: Vec<batch::Batch>,
}

fn partitions() -> Vec<MemTables> {
    let count = PartitionCount::new(2).expect("a power of two");
    let empty = |id| MemTables::new(PartitionState::new(id, count));
    count.all().map(empty).collect()
}

fn call(name: &str) -> usize {
    let position = calls().into_iter().position(|it| it == name);
    position.expect("there is such a call")
}

fn picked<T: Clone>(items: &[T], input: &mut Input<'_>) -> Option<T> {
    let at = input.below(256);
    items.get(at % items.len().max(1)).cloned()
}

impl World {
    fn new() -> Self {
        Self {
            partitions: partitions(),
            around: surroundings(),
            log: Vec::new(),
            turns: Vec::new(),
            batches: Vec::new(),
        }
    }

    fn take(&mut self, step: Step, input: &mut Input<'_>) {
        match step {
            Step::Call => {
                let call = input.below(calls().len());
                if let Ok(Asked::Commands(commands)) = read(call, input.chunk(), &mut self.around) {
                    commands.into_iter().for_each(|it| self.propose(it));
                }
            }
            Step::Pass => {
                let time = std::time::Duration::from_millis(u64::from(input.u16()));
                self.around.now = self.around.now + time;
            }
            Step::Turn => {
                let taken = picked(&self.ready(), input).and_then(|key| self.take_turn(&key));
                self.answer_turn(taken, input.chunk());
            }
            Step::LateTurn => {
                let taken = picked(&self.turns, input);
                self.answer_turn(taken, input.chunk());
            }
            Step::Activity => self.answer_activity(input),
            Step::Operations => {
                let taken = picked(&self.ready_entities(), input);
                let taken = taken.and_then(|key| self.take_batch(&key));
                self.answer_batch(taken, input.chunk());
            }
            Step::LateOperations => {
                let taken = picked(&self.batches, input);
                self.answer_batch(taken, input.chunk());
            }
            Step::Timers => self.fire_timers(),
            Step::Release => self.release_operations(),
            Step::Deliver => self.deliver(input),
            Step::Acknowledge => {
                let from = input.below(2);
                let through = self.received(from);
                let target = self.partitions[1 - from].partition.id;
                self.apply(from, Command::AckOutbox { target, through });
            }
            Step::Expire => {
                for partition in 0..self.partitions.len() {
                    let entities = self.partitions[partition].entities.keys();
                    let command = Command::ExpireEntities(entities.cloned().collect());
                    self.apply(partition, command);
                }
            }
        }
    }

    fn apply(&mut self, partition: usize, command: Command) {
        let at = self.around.now;
        let batch = Batch {
            at,
            proposer: 0,
            number: 0,
            commands: vec![command.clone()],
        };
        let outcome = apply(&mut self.partitions[partition], at, command).expect("memory works");
        self.log.push((partition, batch, outcome));
    }

    fn home(&self, key: &InstanceKey) -> usize {
        let count = self.partitions[0].partition.count;
        usize::from(count.partition_of(key.hub, &key.id).0)
    }

    /// To the home of what the command is about; a purge is split.
    fn propose(&mut self, command: Command) {
        match command {
            Command::Purge { targets } => {
                for target in targets {
                    let home = self.home(&target.key);
                    let targets = vec![target];
                    self.apply(home, Command::Purge { targets });
                }
            }
            command => {
                let key = match &command {
                    Command::CreateInstance(create) => &create.key,
                    Command::RaiseEvent { key, .. }
                    | Command::Suspend { key, .. }
                    | Command::Resume { key, .. }
                    | Command::Terminate { key, .. }
                    | Command::Rewind { key, .. }
                    | Command::Restart { key, .. }
                    | Command::ForceTerminate { key, .. }
                    | Command::SignalEntity { key, .. } => key,
                    other => unreachable!("no client asks for {other:?}"),
                };
                self.apply(self.home(key), command);
            }
        }
    }

    fn ready(&self) -> Vec<InstanceKey> {
        let all = self.partitions.iter().flat_map(|it| &it.instances);
        let ready = all.filter(|(_, instance)| turn_ready(instance, self.around.now));
        ready.map(|(key, _)| key.clone()).collect()
    }

    fn take_turn(&mut self, key: &InstanceKey) -> Option<Turn> {
        let (home, now) = (self.home(key), self.around.now);
        let taken = take_turn(&mut self.partitions[home], key, now, false);
        let taken = taken.expect("memory works")?;
        let past = taken.past.inline().iter().cloned().flat_map(Frames::new);
        let past = past.map(|event| event.expect("history is framed"));
        past.chain(taken.new.iter().cloned()).for_each(readable);
        self.turns.push(taken.clone());
        Some(taken)
    }

    fn answer_turn(&mut self, taken: Option<Turn>, message: &[u8]) {
        let asked = read(
            call("CompleteOrchestratorTask"),
            &with_token(message, ORCHESTRATOR_TOKEN),
            &mut self.around,
        );
        if let (Some(turn), Ok(Asked::Turn(answer))) = (taken, asked) {
            let turn = self.decided(&turn, answer);
            self.apply(self.home(&turn.key), Command::CompleteTurn(Box::new(turn)));
        }
    }

    fn decided(&mut self, turn: &Turn, answer: Answer) -> CompleteTurn {
        let (now, ids) = (self.around.now, &mut self.around.ids);
        decide(&turn.context, answer, now, &mut || fresh(ids))
    }

    fn answer_activity(&mut self, input: &mut Input<'_>) {
        let all = self.partitions.iter().flat_map(|it| &it.instances);
        let scheduled = all.flat_map(|(key, instance)| {
            let activities = instance.activities.iter();
            activities.map(|(seq, it)| (key.clone(), it.execution.clone(), *seq, it.task_id))
        });
        let scheduled: Vec<_> = scheduled.collect();
        let picked = picked(&scheduled, input);
        let message = with_token(input.chunk(), ACTIVITY_TOKEN);
        let asked = read(call("CompleteActivityTask"), &message, &mut self.around);
        if let (Some((key, execution, seq, task_id)), Ok(Asked::Activity(result))) = (picked, asked)
        {
            let now = self.around.now;
            let event = match result {
                ActivityResult::Completed(it) => event::task_completed(now, task_id, it.as_deref()),
                ActivityResult::Failed(failure) => event::task_failed(now, task_id, &failure),
            };
            let home = self.home(&key);
            let command = Command::CompleteActivity {
                key,
                execution,
                seq,
                event,
            };
            self.apply(home, command);
        }
    }

    fn ready_entities(&self) -> Vec<InstanceKey> {
        let all = self.partitions.iter().flat_map(|it| &it.entities);
        let ready = all.filter(|(_, entity)| entity.batch_ready());
        ready.map(|(key, _)| key.clone()).collect()
    }

    fn take_batch(&mut self, key: &InstanceKey) -> Option<batch::Batch> {
        let home = self.home(key);
        let taken = take_batch(&mut self.partitions[home], key).expect("memory works")?;
        taken.events.iter().cloned().for_each(readable);
        self.batches.push(taken.clone());
        Some(taken)
    }

    fn answer_batch(&mut self, taken: Option<batch::Batch>, message: &[u8]) {
        let message = with_token(message, BATCH_TOKEN);
        let asked = read(call("CompleteEntityTask"), &message, &mut self.around);
        if let (Some(taken), Ok(Asked::Batch(answer))) = (taken, asked) {
            let (now, ids) = (self.around.now, &mut self.around.ids);
            let verdict = batch::decide(&taken.context, answer, now, &mut || fresh(ids));
            if let Verdict::Commit(complete) = verdict {
                self.apply(self.home(&complete.key), Command::CompleteBatch(complete));
            }
        }
    }

    fn fire_timers(&mut self) {
        for partition in 0..self.partitions.len() {
            let instances = self.partitions[partition].instances.iter();
            let timers = instances.flat_map(|(key, instance)| {
                instance.timers.keys().map(|seq| DueTimer {
                    key: key.clone(),
                    execution: instance.execution.clone(),
                    seq: *seq,
                })
            });
            let command = Command::FireTimers(timers.collect());
            self.apply(partition, command);
        }
    }

    fn release_operations(&mut self) {
        for partition in 0..self.partitions.len() {
            let entities = self.partitions[partition].entities.iter();
            let operations = entities.flat_map(|(key, entity)| {
                entity.scheduled.keys().map(|seq| DueOperation {
                    key: key.clone(),
                    seq: *seq,
                })
            });
            let command = Command::ReleaseOperations(operations.collect());
            self.apply(partition, command);
        }
    }

    /// Number of the last message that the other partition has from this one.
    fn received(&self, from: usize) -> u64 {
        let source = self.partitions[from].partition.id;
        let received = &self.partitions[1 - from].partition.received;
        received.get(&source).copied().unwrap_or(0)
    }

    fn deliver(&mut self, input: &mut Input<'_>) {
        let (from, again) = (input.below(2), input.below(3) as u64);
        let target: PartitionId = self.partitions[1 - from].partition.id;
        let after = self.received(from).saturating_sub(again);
        let rows = self.partitions[from].outbox(target, after, 8);
        let rows = rows.expect("memory works");
        let Some((first, _)) = rows.first() else {
            return;
        };
        let command = Command::Deliver {
            source: self.partitions[from].partition.id,
            first: *first,
            messages: rows.iter().map(|(_, message)| message.clone()).collect(),
        };
        self.apply(1 - from, command);
    }

    /// Another replica reads the same log.
    fn replay(self) {
        let mut replica = partitions();
        for (partition, batch, expected) in self.log {
            let entry = records::encode_batch(&batch);
            let read = records::decode_batch(entry).expect("what was written is read");
            for command in read.commands {
                let outcome = apply(&mut replica[partition], read.at, command);
                assert_eq!(outcome.expect("memory works"), expected);
            }
        }
        assert_eq!(replica, self.partitions, "the same log, the same rows");
    }
}

/// Fields that hold the completion tokens of the answers.
const ORCHESTRATOR_TOKEN: u32 = 4;
const ACTIVITY_TOKEN: u32 = 5;
const BATCH_TOKEN: u32 = 5;

/// The message with a completion token; whose it is, is the input's to say.
fn with_token(message: &[u8], field: u32) -> Vec<u8> {
    let mut message = message.to_vec();
    prost::encoding::string::encode(field, &"token".to_owned(), &mut message);
    message
}

fn fresh(ids: &mut u128) -> ExecutionId {
    *ids += 1;
    ExecutionId::from_random(ids.to_be_bytes())
}

/// Workers and clients can decode what they are given.
fn readable(event: bytes::Bytes) {
    let decoded = HistoryEvent::decode(event.clone());
    let decoded = decoded.unwrap_or_else(|error| panic!("{error}: {event:?}"));
    assert!(decoded.event_type.is_some(), "{event:?}");
}

/// What must hold of any state: invariants, rows that can be stored, histories that can be read, work that can be found.
fn check(tables: &mut MemTables, now: Timestamp) {
    for (key, instance) in &tables.instances {
        invariants::check(instance).unwrap_or_else(|violation| panic!("{key:?}: {violation}"));
        let mut row = Vec::new();
        records::put_instance(instance, &mut row);
        assert_eq!(records::decode_instance(row.into()).as_ref(), Ok(instance));
    }
    for (key, entity) in &tables.entities {
        invariants::check_entity(entity).unwrap_or_else(|violation| panic!("{key:?}: {violation}"));
        let mut row = Vec::new();
        records::put_entity(entity, &mut row);
        assert_eq!(records::decode_entity(row.into()).as_ref(), Ok(entity));
    }
    for message in tables.outbox.values() {
        let mut row = Vec::new();
        records::put_message(message, &mut row);
        assert_eq!(records::decode_message(row.into()).as_ref(), Ok(message));
    }
    for key in tables.instances.keys().cloned().collect::<Vec<_>>() {
        let history = committed_history(tables, &key).expect("memory works");
        let events = history
            .expect("it exists")
            .into_iter()
            .flat_map(Frames::new);
        events.for_each(|event| readable(event.expect("history is framed")));
    }
    outstanding(tables, None, usize::MAX, now).expect("memory works");
}
