//! Soft state of the replica that leads: runs effects, answers waiters, hands out work.

use std::collections::BTreeSet;

use longhaul_engine::command::{CompleteTurn, DueOperation, DueTimer};
use longhaul_engine::{
    Command, Effect, Entity, InstanceKey, InstanceView, Reply, TableFault, Tables, dispatch,
    outstanding,
};
use longhaul_types::{HubId, PartitionId, Timestamp};

use crate::dispatch::{Class, Delayed, Dispatcher, WorkKind};
use crate::timers::{Alarm, Timers};
use crate::waiters::Waiters;

/// Instances looked at in one step when leadership begins.
const REBUILD_PAGE: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Leader {
    /// Term of this leadership.
    pub(crate) term: u64,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) timers: Timers,
    pub(crate) waiters: Waiters,
    /// Partitions that something waits to be shipped to.
    pub(crate) outbox: BTreeSet<PartitionId>,
}

/// Whom to wake once the partition's lock is released.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(crate) work: Vec<(HubId, WorkKind, Class)>,
    pub(crate) timers: bool,
    pub(crate) outbox: Vec<PartitionId>,
}

/// What the leader knew of a command before it was applied.
#[derive(Debug)]
pub(crate) enum Subject {
    Turn(InstanceKey),
    /// A turn of which the worker took nothing and said nothing.
    IdleTurn(InstanceKey),
    Activity(InstanceKey, u64),
    Batch(InstanceKey),
    Other,
}

impl Subject {
    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::CompleteTurn(turn) if is_idle(turn) => Self::IdleTurn(turn.key.clone()),
            Command::CompleteTurn(turn) => Self::Turn(turn.key.clone()),
            Command::CompleteActivity { key, seq, .. } => Self::Activity(key.clone(), *seq),
            Command::CompleteBatch(batch) => Self::Batch(batch.key.clone()),
            _ => Self::Other,
        }
    }

    /// As the state is that the command will be applied to: the first turn of a rewound instance is not one that the worker
    /// would answer in the same way for ever, though there may be nothing to take and nothing to say.
    pub(crate) fn before(self, tables: &mut dyn Tables) -> Result<Self, TableFault> {
        Ok(match self {
            Self::IdleTurn(key) if tables.instance(&key)?.is_some_and(|it| it.kicked) => {
                Self::Turn(key)
            }
            other => other,
        })
    }

    /// It was committed: whatever there is of the item is over, or it waits.
    pub(crate) fn end(&self, dispatcher: &mut Dispatcher) -> Option<Delayed> {
        match self {
            Self::Turn(key) | Self::Batch(key) => dispatcher.end_turn(key),
            Self::IdleTurn(key) => return dispatcher.end_idle_turn(key),
            Self::Activity(key, seq) => dispatcher.end_activity(key, *seq),
            Self::Other => {}
        }
        None
    }
}

fn is_idle(turn: &CompleteTurn) -> bool {
    turn.consumed == 0
        && turn.fact_count == 0
        && turn.messages.is_empty()
        && turn.own_inbox.is_empty()
        && turn.ending.is_none()
}

/// What is due and has to be proposed.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) timers: Vec<DueTimer>,
    pub(crate) operations: Vec<DueOperation>,
    pub(crate) expired: Vec<InstanceKey>,
}

impl Due {
    /// The commands that do it, each with the alarms to set again should it fail.
    pub(crate) fn commands(self) -> Vec<(Command, Vec<Alarm>)> {
        let mut commands = Vec::new();
        if !self.timers.is_empty() {
            let again = self.timers.iter().cloned().map(Alarm::Fire).collect();
            commands.push((Command::FireTimers(self.timers), again));
        }
        if !self.operations.is_empty() {
            let again = self
                .operations
                .iter()
                .cloned()
                .map(Alarm::Release)
                .collect();
            commands.push((Command::ReleaseOperations(self.operations), again));
        }
        if !self.expired.is_empty() {
            let again = self.expired.iter().cloned().map(Alarm::Expire).collect();
            commands.push((Command::ExpireEntities(self.expired), again));
        }
        commands
    }
}

impl Leader {
    /// Rebuilds everything from state.
    pub(crate) fn rebuild(
        term: u64,
        dispatcher: Dispatcher,
        tables: &mut dyn Tables,
        now: Timestamp,
        wakes: &mut Wakes,
    ) -> Result<Self, TableFault> {
        let mut leader = Self {
            term,
            dispatcher,
            timers: Timers::default(),
            waiters: Waiters::default(),
            outbox: BTreeSet::new(),
        };
        let mut after = None;
        loop {
            let page = outstanding(tables, after.as_ref(), REBUILD_PAGE, now)?;
            for effect in page.effects {
                leader.run(tables, effect, wakes)?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        wakes.timers = true;
        wakes.work.extend(leader.dispatcher.take_woken());
        Ok(leader)
    }

    /// Follows one applied command.
    pub(crate) fn observe(
        &mut self,
        tables: &mut dyn Tables,
        subject: &Subject,
        reply: &Reply,
        effects: Vec<Effect>,
        at: Timestamp,
        wakes: &mut Wakes,
    ) -> Result<(), TableFault> {
        if *reply == Reply::Done {
            let delayed = subject.end(&mut self.dispatcher);
            self.delay(delayed, at, wakes);
        }
        for effect in effects {
            self.run(tables, effect, wakes)?;
        }
        wakes.work.extend(self.dispatcher.take_woken());
        Ok(())
    }

    fn run(
        &mut self,
        tables: &mut dyn Tables,
        effect: Effect,
        wakes: &mut Wakes,
    ) -> Result<(), TableFault> {
        match effect {
            Effect::TurnReady { key, name, version } => {
                self.dispatcher.offer_turn(key, Class { name, version })
            }
            Effect::ActivityReady {
                key,
                seq,
                name,
                version,
            } => {
                self.dispatcher
                    .offer_activity(key, seq, Class { name, version });
            }
            Effect::TimerArmed {
                key,
                execution,
                seq,
                fire_at,
            } => {
                let timer = DueTimer {
                    key,
                    execution,
                    seq,
                };
                self.arm(fire_at, Alarm::Fire(timer), wakes);
            }
            Effect::StartArmed { key, at } => self.arm(at, Alarm::Start(key), wakes),
            Effect::TurnVoided { key } | Effect::BatchVoided { key } => {
                self.dispatcher.end_turn(&key);
            }
            Effect::BatchReady { key } => self.dispatcher.offer_batch(key),
            Effect::OperationArmed { key, seq, due } => {
                self.arm(due, Alarm::Release(DueOperation { key, seq }), wakes);
            }
            Effect::ExpiryArmed { key, at } => self.arm(at, Alarm::Expire(key), wakes),
            Effect::ActivitiesVoided { key } => self.dispatcher.void_activities(&key),
            Effect::StatusChanged { key } => {
                if self.waiters.waits_for(&key)
                    && let Some(instance) = tables.instance(&key)?
                {
                    let view = InstanceView::of(&key, instance);
                    self.waiters.notify(&view);
                }
            }
            Effect::OutboxGrew { target } => {
                if self.outbox.insert(target) {
                    wakes.outbox.push(target);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn arm(&mut self, at: Timestamp, alarm: Alarm, wakes: &mut Wakes) {
        wakes.timers |= self.timers.earliest().is_none_or(|earliest| at < earliest);
        self.timers.arm(at, alarm);
    }

    /// Offers the instance's turn or the entity's batch again, if it has one.
    pub(crate) fn reconsider(
        &mut self,
        tables: &mut dyn Tables,
        key: &InstanceKey,
        now: Timestamp,
        wakes: &mut Wakes,
    ) -> Result<(), TableFault> {
        let effect = if key.id.is_entity() {
            let ready = tables.entity(key)?.is_some_and(Entity::batch_ready);
            ready.then(|| Effect::BatchReady { key: key.clone() })
        } else {
            let instance = tables.instance(key)?;
            instance.and_then(|instance| dispatch::turn_effect(key, instance, now))
        };
        if let Some(effect) = effect {
            self.run(tables, effect, wakes)?;
            wakes.work.extend(self.dispatcher.take_woken());
        }
        Ok(())
    }

    /// Runs what is due; answers what has to be proposed.
    pub(crate) fn take_due(
        &mut self,
        tables: &mut dyn Tables,
        now: Timestamp,
        limit: usize,
        wakes: &mut Wakes,
    ) -> Result<Due, TableFault> {
        let mut due = Due::default();
        for alarm in self.timers.take_due(now, limit) {
            match alarm {
                Alarm::Fire(timer) => due.timers.push(timer),
                Alarm::Release(operation) => due.operations.push(operation),
                Alarm::Expire(key) => due.expired.push(key),
                Alarm::Start(key) => self.reconsider(tables, &key, now, wakes)?,
                Alarm::Offer(offer) => self.dispatcher.offer_delayed(offer),
            }
        }
        wakes.work.extend(self.dispatcher.take_woken());
        Ok(due)
    }

    pub(crate) fn delay(
        &mut self,
        delayed: impl IntoIterator<Item = Delayed>,
        now: Timestamp,
        wakes: &mut Wakes,
    ) {
        for (offer, delay) in delayed {
            self.arm(now + delay, Alarm::Offer(offer), wakes);
        }
        wakes.work.extend(self.dispatcher.take_woken());
    }
}

#[cfg(test)]
mod tests;
