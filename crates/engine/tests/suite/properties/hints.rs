//! What a leader knows from effects alone. Nothing that the state says is to be done may be missing from it.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_engine::effects::Outcome;
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Command, Effect, InstanceKey, Reply, outstanding};
use longhaul_types::{ExecutionId, PartitionId, Timestamp};

/// The work of one partition's leader, gathered from effects since the beginning.
#[derive(Default)]
pub(crate) struct Hints {
    turns: BTreeSet<InstanceKey>,
    /// With the execution that whoever gets it answers to; an activity in hand is not taken up again.
    activities: BTreeMap<(InstanceKey, u64), ExecutionId>,
    timers: BTreeSet<(InstanceKey, ExecutionId, u64, Timestamp)>,
    starts: BTreeMap<InstanceKey, Timestamp>,
    batches: BTreeSet<InstanceKey>,
    operations: BTreeSet<(InstanceKey, u64, Timestamp)>,
    expiries: BTreeSet<(InstanceKey, Timestamp)>,
    outboxes: BTreeSet<PartitionId>,
}

impl Hints {
    /// Follows one command as a leader does: what it had handed out is over, effects add to what is to be done.
    pub(crate) fn follow(&mut self, tables: &MemTables, command: &Command, outcome: &Outcome) {
        match command {
            Command::CompleteTurn(turn) if outcome.reply == Reply::Done => {
                self.turns.remove(&turn.key);
            }
            Command::CompleteActivity { key, seq, .. } if outcome.reply == Reply::Done => {
                self.activities.remove(&(key.clone(), *seq));
            }
            Command::FireTimers(due) => {
                let is_due = |key: &InstanceKey, execution: &ExecutionId, seq: u64| {
                    due.iter()
                        .any(|it| (&it.key, &it.execution, it.seq) == (key, execution, seq))
                };
                self.timers
                    .retain(|(key, execution, seq, _)| !is_due(key, execution, *seq));
            }
            Command::CompleteBatch(batch) if outcome.reply == Reply::Done => {
                self.batches.remove(&batch.key);
            }
            Command::ReleaseOperations(due) => {
                let is_due = |key: &InstanceKey, seq: u64| {
                    due.iter().any(|it| (&it.key, it.seq) == (key, seq))
                };
                self.operations.retain(|(key, seq, _)| !is_due(key, *seq));
            }
            Command::ExpireEntities(keys) => {
                let clock = tables.partition.clock;
                let fired = |key: &InstanceKey, at: &Timestamp| keys.contains(key) && *at <= clock;
                self.expiries.retain(|(key, at)| !fired(key, at));
            }
            _ => {}
        }
        for effect in &outcome.effects {
            self.add(tables, effect.clone());
        }
    }

    fn add(&mut self, tables: &MemTables, effect: Effect) {
        match effect {
            Effect::TurnReady { key, .. } => drop(self.turns.insert(key)),
            Effect::ActivityReady { key, seq, .. } => {
                // The command may have ended its instance, too.
                let instance = tables.instances.get(&key);
                if let Some(activity) = instance.and_then(|it| it.activities.get(&seq)) {
                    let execution = activity.execution.clone();
                    self.activities.entry((key, seq)).or_insert(execution);
                }
            }
            Effect::TimerArmed {
                key,
                execution,
                seq,
                fire_at,
            } => drop(self.timers.insert((key, execution, seq, fire_at))),
            Effect::StartArmed { key, at } => drop(self.starts.insert(key, at)),
            Effect::TurnVoided { key } => drop(self.turns.remove(&key)),
            Effect::ActivitiesVoided { key } => self.activities.retain(|(it, _), _| *it != key),
            Effect::StatusChanged { .. } => {}
            Effect::BatchReady { key } => _ = self.batches.insert(key),
            Effect::BatchVoided { key } => _ = self.batches.remove(&key),
            Effect::OperationArmed { key, seq, due } => _ = self.operations.insert((key, seq, due)),
            Effect::ExpiryArmed { key, at } => _ = self.expiries.insert((key, at)),
            Effect::OutboxGrew { target } => drop(self.outboxes.insert(target)),
        }
    }

    /// Compares with what a new leader would find.
    pub(crate) fn check(&self, tables: &mut MemTables, now: Timestamp) {
        let now = now.max(tables.partition.clock);
        let page = outstanding(tables, None, 10_000, now).expect("memory does not fail");
        let mut activities = BTreeMap::new();
        for effect in page.effects {
            let known = match &effect {
                Effect::TurnReady { key, .. } => {
                    self.turns.contains(key) || self.starts.get(key).is_some_and(|at| *at <= now)
                }
                Effect::ActivityReady { key, seq, .. } => {
                    let activity = &tables.instances[key].activities[seq];
                    activities.insert((key.clone(), *seq), activity.execution.clone());
                    true
                }
                Effect::TimerArmed {
                    key,
                    execution,
                    seq,
                    fire_at,
                } => self
                    .timers
                    .contains(&(key.clone(), execution.clone(), *seq, *fire_at)),
                Effect::StartArmed { key, at } => self.starts.get(key) == Some(at),
                Effect::BatchReady { key } => self.batches.contains(key),
                Effect::OperationArmed { key, seq, due } => {
                    self.operations.contains(&(key.clone(), *seq, *due))
                }
                Effect::ExpiryArmed { key, at } => self.expiries.contains(&(key.clone(), *at)),
                Effect::OutboxGrew { target } => self.outboxes.contains(target),
                Effect::BatchVoided { .. }
                | Effect::TurnVoided { .. }
                | Effect::ActivitiesVoided { .. }
                | Effect::StatusChanged { .. } => panic!("nothing to be done: {effect:?}"),
            };
            assert!(known, "no effect ever said {effect:?}");
        }
        assert_eq!(
            activities, self.activities,
            "activities by state and by effects"
        );
    }
}
