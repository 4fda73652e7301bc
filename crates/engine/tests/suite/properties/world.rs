//! Carries steps out, and checks everything after each.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_engine::batch::Batch;
use longhaul_engine::command::{DueOperation, DueTimer, PurgeTarget, ReusePolicy};
use longhaul_engine::dispatch::{Turn, turn_ready};
use longhaul_engine::effects::Outcome;
use longhaul_engine::history::event;
use longhaul_engine::message::Message;
use longhaul_engine::turn::{Answer, decide};
use longhaul_engine::{Command, InstanceKey, Reply, RequestId, Status};
use longhaul_types::{ExecutionId, Timestamp};

use super::hints::Hints;
use super::sections::Sections;
use super::step::{Choice, ENTITIES, IDS, Management, Step};
use super::{checks, entity_checks, worker};
use crate::support::{Cluster, START};

/// Two partitions, all that was ever handed out, and all that was ever sent between them.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// Of every command, by partition.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    hints: Vec<Hints>,
    turns: Vec<Turn>,
    pub(super) activities: Vec<(InstanceKey, ExecutionId, u64, i32)>,
    timers: Vec<DueTimer>,
    /// With the time at which they were handed out.
    pub(super) batches: Vec<(Timestamp, Batch)>,
    pub(super) operations: Vec<DueOperation>,
    /// Signals that clients sent.
    pub(super) signals: u32,
    /// Requests of clients that had a name.
    requests: u128,
    pub(super) sections: Sections,
    /// From each partition to the other: message number `index + 1`.
    sent: Vec<Vec<Message>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            cluster: Cluster::new(2),
            outcomes: vec![Vec::new(), Vec::new()],
            hints: vec![Hints::default(), Hints::default()],
            turns: Vec::new(),
            activities: Vec::new(),
            timers: Vec::new(),
            batches: Vec::new(),
            operations: Vec::new(),
            signals: 0,
            requests: 0,
            sections: Sections::default(),
            sent: vec![Vec::new(), Vec::new()],
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Pass { millis } => self.cluster.pass(Duration::from_millis(u64::from(*millis))),
            Step::ClockBack { millis } => {
                let earlier = self.cluster.now - Duration::from_millis(u64::from(*millis));
                self.cluster.now = earlier.max(START);
            }
            Step::Create {
                id,
                reuse,
                delay_millis,
                fingerprint,
            } => self.create(Cluster::key(IDS[*id]), *reuse, *delay_millis, *fingerprint),
            Step::Raise { pick } => {
                let key = self.some_instance(*pick);
                let event = event::event_raised(self.cluster.now, "Ping", Some(b"1"));
                let command = Command::RaiseEvent {
                    key: key.clone(),
                    event,
                };
                self.once(command, &key);
            }
            Step::Suspend { pick } => {
                let key = self.some_instance(*pick);
                let command = Command::Suspend {
                    key: key.clone(),
                    reason: None,
                };
                self.once(command, &key);
            }
            Step::Resume { pick } => {
                let key = self.some_instance(*pick);
                let command = Command::Resume {
                    key: key.clone(),
                    reason: None,
                };
                self.once(command, &key);
            }
            Step::Terminate { pick, recurse } => {
                let key = self.some_instance(*pick);
                let command = Command::Terminate {
                    key: key.clone(),
                    output: Some("stop".into()),
                    recurse: *recurse,
                };
                self.once(command, &key);
            }
            Step::Take { pick } => drop(self.take_turn(*pick)),
            Step::Answer {
                pick,
                choices,
                processed,
            } => {
                if let Some(turn) = pick_from(&self.turns, *pick).cloned() {
                    self.answer(&turn, choices, *processed);
                }
            }
            Step::Turn { pick, choices } => {
                if let Some(turn) = self.take_turn(*pick) {
                    self.answer(&turn, choices, None);
                }
            }
            Step::FinishActivity { pick, fails } => {
                if let Some(activity) = pick_from(&self.activities, *pick).cloned() {
                    self.finish(activity, *fails);
                }
            }
            Step::Fire { pick } => {
                if let Some(timer) = pick_from(&self.timers, *pick).cloned() {
                    let key = timer.key.clone();
                    self.apply_at_home(Command::FireTimers(vec![timer]), &key);
                }
            }
            Step::FireDue => self.fire_due(),
            Step::Rewind { pick } => self.rewind_failed(*pick),
            Step::Manage { pick, how } => self.manage(&self.some_instance(*pick), *how),
            Step::Signal {
                entity,
                request,
                delay_millis,
            } => self.signal(*entity, *request, *delay_millis),
            Step::TakeBatch { pick } => drop(self.take_batch(*pick)),
            Step::AnswerBatch { pick, work } => self.answer_old_batch(*pick, work),
            Step::Batch { pick, work } => {
                if let Some(batch) = self.take_batch(*pick) {
                    self.answer_batch(&batch, work);
                }
            }
            Step::GiveUp { pick } => self.give_up(*pick),
            Step::Release { pick } => {
                if let Some(due) = pick_from(&self.operations, *pick).cloned() {
                    let key = due.key.clone();
                    self.apply_at_home(Command::ReleaseOperations(vec![due]), &key);
                }
            }
            Step::ReleaseDue => self.release_due(),
            Step::PurgeEntity { entity } => {
                let key = Cluster::key(ENTITIES[*entity]);
                self.purge(&key, None);
            }
            Step::Expire { entity } => {
                let key = Cluster::key(ENTITIES[*entity]);
                self.apply_at_home(Command::ExpireEntities(vec![key.clone()]), &key);
            }
            Step::Deliver { from, first, count } => {
                let sent = self.sent[*from].len();
                if sent > 0 {
                    self.deliver(*from, first % sent, *count);
                }
            }
            Step::DeliverNext { from } => self.deliver_next(*from),
            Step::Ack { from } => self.ack(*from),
        }
    }

    /// Applies a command, follows what it hands out, and checks everything.
    pub(super) fn apply(&mut self, partition: usize, command: Command) -> Outcome {
        let before = self.cluster.partitions[partition].clone();
        let outcome = self.cluster.apply(partition, command.clone());
        let command = match command {
            Command::Once { command, .. } => *command,
            command => command,
        };
        checks::check(
            &before,
            &self.cluster.partitions[partition],
            &command,
            &outcome,
        );
        entity_checks::check(
            &before,
            &self.cluster.partitions[partition],
            &command,
            &outcome,
        );
        self.sections.check(&before, &self.cluster, &command);
        self.hints[partition].follow(&self.cluster.partitions[partition], &command, &outcome);
        let now = self.cluster.now;
        self.hints[partition].check(&mut self.cluster.partitions[partition], now);
        self.remember(partition);
        self.outcomes[partition].push(outcome.clone());
        outcome
    }

    /// Applies a client's command by its name, and once more, which changes nothing.
    pub(super) fn once(&mut self, command: Command, key: &InstanceKey) {
        self.requests += 1;
        let once = Command::Once {
            request: RequestId(self.requests),
            command: Box::new(command),
        };
        let home = self.cluster.home(key);
        let outcome = self.apply(home, once.clone());
        if outcome.reply != Reply::Done {
            return;
        }
        let after = self.cluster.partitions[home].clone();
        let again = self.apply(home, once);
        assert_eq!(again.reply, Reply::Done);
        assert_eq!(again.effects, []);
        assert!(self.cluster.partitions[home] == after, "a repetition");
    }

    pub(super) fn apply_at_home(&mut self, command: Command, key: &InstanceKey) -> Outcome {
        self.apply(self.cluster.home(key), command)
    }

    /// Keeps what was ever handed out or sent, to repeat it later at the wrong time.
    fn remember(&mut self, partition: usize) {
        let tables = &self.cluster.partitions[partition];
        for (key, instance) in &tables.instances {
            for (seq, it) in &instance.activities {
                let activity = (key.clone(), it.execution.clone(), *seq, it.task_id);
                if !self.activities.contains(&activity) {
                    self.activities.push(activity);
                }
            }
            for seq in instance.timers.keys() {
                let timer = DueTimer {
                    key: key.clone(),
                    execution: instance.execution.clone(),
                    seq: *seq,
                };
                if !self.timers.contains(&timer) {
                    self.timers.push(timer);
                }
            }
        }
        for (key, entity) in &tables.entities {
            for seq in entity.scheduled.keys() {
                let (key, seq) = (key.clone(), *seq);
                let operation = DueOperation { key, seq };
                if !self.operations.contains(&operation) {
                    self.operations.push(operation);
                }
            }
        }
        let sent = &mut self.sent[partition];
        let new = tables
            .outbox
            .iter()
            .filter(|((_, number), _)| *number > sent.len() as u64);
        let new: Vec<Message> = new.map(|(_, message)| message.clone()).collect();
        sent.extend(new);
    }

    fn create(&mut self, key: InstanceKey, reuse: u8, delay_millis: u16, fingerprint: u64) {
        let mut creation = self.cluster.creation("Job");
        creation.request_fingerprint = fingerprint;
        if delay_millis > 0 {
            let delay = Duration::from_millis(u64::from(delay_millis));
            creation.scheduled_start = Some(self.cluster.now + delay);
        }
        let reuse = match reuse % 4 {
            0 | 1 => ReusePolicy::Default,
            2 => ReusePolicy::Replace(vec![Status::Running, Status::Suspended, Status::Terminated]),
            _ => ReusePolicy::Replace(vec![Status::Running, Status::Failed]),
        };
        let home = key.clone();
        let create = longhaul_engine::command::CreateInstance {
            key,
            creation,
            reuse,
        };
        self.apply_at_home(Command::CreateInstance(Box::new(create)), &home);
    }

    pub(super) fn ready(&self) -> Vec<InstanceKey> {
        let now = self.cluster.now;
        let all = self
            .cluster
            .partitions
            .iter()
            .flat_map(|tables| &tables.instances);
        all.filter(|(_, instance)| turn_ready(instance, now))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Mostly one that exists.
    fn some_instance(&self, pick: usize) -> InstanceKey {
        let partitions = self.cluster.partitions.iter();
        let all = partitions.flat_map(|tables| tables.instances.keys());
        let all: Vec<&InstanceKey> = all.collect();
        match pick_from(&all, pick / 8) {
            Some(key) if !pick.is_multiple_of(8) => (*key).clone(),
            _ => Cluster::key(IDS[pick % IDS.len()]),
        }
    }

    fn rewind_failed(&mut self, pick: usize) {
        let all = self
            .cluster
            .partitions
            .iter()
            .flat_map(|tables| &tables.instances);
        let failed = all.filter(|(_, instance)| instance.status == Status::Failed);
        let failed: Vec<InstanceKey> = failed.map(|(key, _)| key.clone()).collect();
        if let Some(key) = pick_from(&failed, pick) {
            self.manage(key, Management::Rewind);
        }
    }

    fn manage(&mut self, key: &InstanceKey, how: Management) {
        let execution = self.cluster.fresh();
        let now = self.cluster.now;
        let command = match how {
            Management::Rewind => Command::Rewind {
                key: key.clone(),
                execution,
                reason: None,
            },
            Management::Restart => Command::Restart {
                key: key.clone(),
                execution,
            },
            Management::ForceTerminate => Command::ForceTerminate {
                key: key.clone(),
                reason: Some("enough".into()),
            },
            Management::Purge => return self.purge(key, None),
            Management::PurgeAnother => return self.purge(key, Some(now)),
        };
        self.apply_at_home(command, key);
    }

    pub(super) fn purge(&mut self, key: &InstanceKey, completed_at: Option<Timestamp>) {
        let target = PurgeTarget {
            key: key.clone(),
            completed_at,
        };
        let targets = vec![target];
        self.apply_at_home(Command::Purge { targets }, key);
    }

    fn take_turn(&mut self, pick: usize) -> Option<Turn> {
        let key = pick_from(&self.ready(), pick)?.clone();
        let turn = self.cluster.take(key.id.as_str()).expect("ready");
        self.turns.push(turn.clone());
        Some(turn)
    }

    pub(super) fn answer(&mut self, turn: &Turn, choices: &[Choice], processed: Option<u32>) {
        let now = self.cluster.now;
        let answer = Answer {
            actions: worker::decide(turn, choices, now),
            events_processed: processed,
            ..Answer::default()
        };
        let command = decide(&turn.context, answer, now, &mut || self.cluster.fresh());
        self.apply_at_home(Command::CompleteTurn(Box::new(command)), &turn.context.key);
    }

    pub(super) fn finish(&mut self, activity: (InstanceKey, ExecutionId, u64, i32), fails: bool) {
        let (key, execution, seq, task_id) = activity;
        let now = self.cluster.now;
        let event = if fails {
            event::task_failed(now, task_id, &event::failure_details("Oops", "no luck"))
        } else {
            event::task_completed(now, task_id, Some(b"1"))
        };
        let home = key.clone();
        let command = Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        };
        self.apply_at_home(command, &home);
    }

    pub(super) fn fire_due(&mut self) {
        let mut due: BTreeMap<usize, Vec<DueTimer>> = BTreeMap::new();
        for timer in &self.timers {
            due.entry(self.cluster.home(&timer.key))
                .or_default()
                .push(timer.clone());
        }
        for (partition, timers) in due {
            self.apply(partition, Command::FireTimers(timers));
        }
    }

    fn deliver(&mut self, from: usize, index: usize, count: usize) {
        let messages = self.sent[from]
            .iter()
            .skip(index)
            .take(count)
            .cloned()
            .collect();
        let command = Command::Deliver {
            source: self.cluster.partitions[from].partition.id,
            first: index as u64 + 1,
            messages,
        };
        self.apply(1 - from, command);
    }

    pub(super) fn deliver_next(&mut self, from: usize) {
        let next = usize::try_from(self.cluster.received(from, 1 - from)).expect("small");
        self.deliver(from, next, 3);
    }

    pub(super) fn ack(&mut self, from: usize) {
        let through = self.cluster.received(from, 1 - from);
        let target = self.cluster.partitions[1 - from].partition.id;
        self.apply(from, Command::AckOutbox { target, through });
    }
}

pub(super) fn pick_from<T>(items: &[T], pick: usize) -> Option<&T> {
    if items.is_empty() {
        None
    } else {
        items.get(pick % items.len())
    }
}
