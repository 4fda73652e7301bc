//! Carries steps out; afterwards heals the network, resumes what is suspended and lets everything finish.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_engine::command::{DueTimer, ReusePolicy};
use longhaul_engine::dispatch::{Turn, turn_ready};
use longhaul_engine::effects::Outcome;
use longhaul_engine::history::event;
use longhaul_engine::message::Message;
use longhaul_engine::turn::{Answer, decide};
use longhaul_engine::{Command, InstanceKey, Status, outstanding};
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::ExecutionId;

use super::checks;
use super::hints::Hints;
use super::step::{Choice, IDS, Step};
use super::worker;
use crate::support::{Cluster, START};

/// Two partitions, all that was ever handed out, and all that was ever sent between them.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// Of every command, by partition.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    hints: Vec<Hints>,
    turns: Vec<Turn>,
    activities: Vec<(InstanceKey, ExecutionId, u64, i32)>,
    timers: Vec<DueTimer>,
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
            sent: vec![Vec::new(), Vec::new()],
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        let key = |id: usize| Cluster::key(IDS[id]);
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
            } => self.create(key(*id), *reuse, *delay_millis, *fingerprint),
            Step::Raise { id } => {
                let event = event::event_raised(self.cluster.now, "Ping", Some(b"1"));
                self.apply_at_home(
                    Command::RaiseEvent {
                        key: key(*id),
                        event,
                    },
                    &key(*id),
                );
            }
            Step::Suspend { id } => {
                let command = Command::Suspend {
                    key: key(*id),
                    reason: None,
                };
                self.apply_at_home(command, &key(*id));
            }
            Step::Resume { id } => {
                let command = Command::Resume {
                    key: key(*id),
                    reason: None,
                };
                self.apply_at_home(command, &key(*id));
            }
            Step::Terminate { id, recurse } => {
                let command = Command::Terminate {
                    key: key(*id),
                    output: Some("stop".into()),
                    recurse: *recurse,
                };
                self.apply_at_home(command, &key(*id));
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
    fn apply(&mut self, partition: usize, command: Command) -> Outcome {
        let before = self.cluster.partitions[partition].clone();
        let outcome = self.cluster.apply(partition, command.clone());
        checks::check(
            &before,
            &self.cluster.partitions[partition],
            &command,
            &outcome,
        );
        self.hints[partition].follow(&command, &outcome);
        let now = self.cluster.now;
        self.hints[partition].check(&mut self.cluster.partitions[partition], now);
        self.remember(partition);
        self.outcomes[partition].push(outcome.clone());
        outcome
    }

    fn apply_at_home(&mut self, command: Command, key: &InstanceKey) -> Outcome {
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

    fn ready(&self) -> Vec<InstanceKey> {
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

    fn take_turn(&mut self, pick: usize) -> Option<Turn> {
        let key = pick_from(&self.ready(), pick)?.clone();
        let turn = self.cluster.take(key.id.as_str()).expect("ready");
        self.turns.push(turn.clone());
        Some(turn)
    }

    fn answer(&mut self, turn: &Turn, choices: &[Choice], processed: Option<u32>) {
        let now = self.cluster.now;
        let answer = Answer {
            actions: worker::decide(turn, choices, now),
            events_processed: processed,
            ..Answer::default()
        };
        let command = decide(&turn.context, answer, now, &mut || self.cluster.fresh());
        self.apply_at_home(Command::CompleteTurn(Box::new(command)), &turn.context.key);
    }

    fn finish(&mut self, activity: (InstanceKey, ExecutionId, u64, i32), fails: bool) {
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

    fn fire_due(&mut self) {
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

    fn deliver_next(&mut self, from: usize) {
        let next = usize::try_from(self.cluster.received(from, 1 - from)).expect("small");
        self.deliver(from, next, 3);
    }

    fn ack(&mut self, from: usize) {
        let through = self.cluster.received(from, 1 - from);
        let target = self.cluster.partitions[1 - from].partition.id;
        self.apply(from, Command::AckOutbox { target, through });
    }

    /// Nothing is lost any more and workers only wait; ends when there is nothing left to do.
    pub(crate) fn heal(&mut self) {
        for _ in 0..500 {
            if self.nothing_outstanding() {
                return;
            }
            self.cluster.pass(Duration::from_secs(70));
            for from in 0..2 {
                self.deliver_next(from);
                self.ack(from);
            }
            self.resume_all();
            self.fire_due();
            for activity in self.activities.clone() {
                self.finish(activity, false);
            }
            for key in self.ready() {
                // One before it may have ended it.
                if let Some(turn) = self.cluster.take(key.id.as_str()) {
                    self.answer(&turn, &[], None);
                }
            }
        }
        panic!("never comes to rest");
    }

    fn resume_all(&mut self) {
        let all = self
            .cluster
            .partitions
            .iter()
            .flat_map(|tables| &tables.instances);
        let suspended = all.filter(|(_, it)| it.effective_status() == Status::Suspended);
        for key in suspended.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let command = Command::Resume {
                key: key.clone(),
                reason: None,
            };
            self.apply_at_home(command, &key);
        }
    }

    fn nothing_outstanding(&mut self) -> bool {
        let now = self.cluster.now;
        let suspended = |instance: &longhaul_engine::Instance| instance.status == Status::Suspended;
        self.cluster.partitions.iter_mut().all(|tables| {
            let page = outstanding(tables, None, 10_000, now).expect("memory does not fail");
            page.effects.is_empty() && !tables.instances.values().any(suspended)
        })
    }

    /// SYS-3: at rest, everything that a live execution scheduled has had exactly one result, children apart that
    /// are alive themselves.
    pub(crate) fn check_quiescence(&self) {
        for tables in &self.cluster.partitions {
            assert!(tables.outbox.is_empty());
            for (key, instance) in &tables.instances {
                if instance.status.is_terminal() {
                    assert!(instance.activities.is_empty());
                    continue;
                }
                assert!(instance.inbox.is_empty() && instance.activities.is_empty());
                assert!(instance.timers.is_empty());
                for (seq, child) in &instance.children {
                    let child = self.cluster.live(child.instance.as_str());
                    let link = child.parent.as_ref().expect("has a parent");
                    assert!(
                        !child.status.is_terminal(),
                        "{key:?}: an ended child told nothing"
                    );
                    assert_eq!((&link.execution, link.seq), (&instance.execution, *seq));
                }
                let (mut causes, mut results) = (0, 0);
                for event in checks::history(tables, key) {
                    match event.event_type.expect("has a type") {
                        EventType::TaskScheduled(_)
                        | EventType::TimerCreated(_)
                        | EventType::SubOrchestrationInstanceCreated(_) => causes += 1,
                        EventType::TaskCompleted(_)
                        | EventType::TaskFailed(_)
                        | EventType::TimerFired(_)
                        | EventType::SubOrchestrationInstanceCompleted(_)
                        | EventType::SubOrchestrationInstanceFailed(_) => results += 1,
                        _ => {}
                    }
                }
                assert_eq!(causes, results + instance.children.len(), "{key:?}");
            }
        }
    }
}

fn pick_from<T>(items: &[T], pick: usize) -> Option<&T> {
    if items.is_empty() {
        None
    } else {
        items.get(pick % items.len())
    }
}
