//! Soft state of the replica that leads: runs effects, answers waiters, hands out work.

use std::collections::BTreeSet;

use longhaul_engine::{Effect, InstanceKey, InstanceView, Reply, TableFault, Tables, outstanding};
use longhaul_types::{HubId, PartitionId, Timestamp};

use crate::dispatch::{Class, Dispatcher, Item, WorkKind};
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
    Other,
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
        wakes: &mut Wakes,
    ) -> Result<(), TableFault> {
        if let (Subject::Turn(key), Reply::Done) = (subject, reply) {
            self.dispatcher.end_turn(key);
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
                let timer = longhaul_engine::command::DueTimer {
                    key,
                    execution,
                    seq,
                };
                self.arm(fire_at, Alarm::Fire(timer), wakes);
            }
            Effect::StartArmed { key, at } => self.arm(at, Alarm::Start(key), wakes),
            Effect::TurnVoided { key } => self.dispatcher.end_turn(&key),
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

    /// Offers the instance's turn again, if it has one.
    pub(crate) fn reconsider(
        &mut self,
        tables: &mut dyn Tables,
        key: &InstanceKey,
        now: Timestamp,
        wakes: &mut Wakes,
    ) -> Result<(), TableFault> {
        let Some(instance) = tables.instance(key)? else {
            return Ok(());
        };
        if let Some(effect) = longhaul_engine::dispatch::turn_effect(key, instance, now) {
            self.run(tables, effect, wakes)?;
            wakes.work.extend(self.dispatcher.take_woken());
        }
        Ok(())
    }

    /// Runs what is due; answers the durable timers, which have to be proposed.
    pub(crate) fn take_due(
        &mut self,
        tables: &mut dyn Tables,
        now: Timestamp,
        limit: usize,
        wakes: &mut Wakes,
    ) -> Result<Vec<longhaul_engine::command::DueTimer>, TableFault> {
        let mut firing = Vec::new();
        for alarm in self.timers.take_due(now, limit) {
            match alarm {
                Alarm::Fire(timer) => firing.push(timer),
                Alarm::Start(key) => self.reconsider(tables, &key, now, wakes)?,
                Alarm::Offer(item, class) => self.dispatcher.offer_delayed(item, class),
            }
        }
        wakes.work.extend(self.dispatcher.take_woken());
        Ok(firing)
    }

    pub(crate) fn delay(
        &mut self,
        delayed: impl IntoIterator<Item = (Item, Class, std::time::Duration)>,
        now: Timestamp,
        wakes: &mut Wakes,
    ) {
        for (item, class, delay) in delayed {
            self.arm(now + delay, Alarm::Offer(item, class), wakes);
        }
        wakes.work.extend(self.dispatcher.take_woken());
    }
}
