//! What is ready and what is out in one partition.
//!
//! ```text
//!   ready ──► queued ──claim──► out ──committed──► gone (ready again if more has come)
//!               ▲                │
//!               ├── stream lost ─┤  at once, in front
//!               └─ delayed ◄─────┘  abandoned: after 1, 2, 4 … 60 s
//! ```
//!
//! An instance has at most one turn queued, delayed or out. Queue entries are hints: what they stand for is looked up
//! again in the state when they are claimed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use longhaul_engine::dispatch as engine_dispatch;
use longhaul_engine::{InstanceKey, TableFault, Tables};
use longhaul_types::{HubId, PartitionId, Timestamp};

use super::lane::{Class, Lane};
use super::lease::{Body, Lease};
use super::{
    ActivityLease, Claimed, Item, LeaseId, Ready, SessionState, Share, TurnLease, WorkKind,
    format_token,
};

/// Longest delay after abandons in a row.
const DELAY_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Dispatcher {
    partition: PartitionId,
    lanes: HashMap<(HubId, WorkKind), Lane<Queued>>,
    ready: Ready,
    turns: HashMap<InstanceKey, TurnState>,
    leases: HashMap<u64, Lease>,
    by_session: HashMap<u64, HashSet<u64>>,
    /// Abandons or losses in a row.
    setbacks: HashMap<Item, u32>,
    /// The stream that abandoned an item: others may take it first.
    abandoned_by: HashMap<Item, u64>,
    last_number: u64,
    /// Became ready since the last look: who may have to be woken.
    woken: Vec<(HubId, WorkKind, Class)>,
}

#[derive(Debug)]
struct Queued {
    item: Item,
    /// For a turn: must match its [`TurnState::Queued`].
    ticket: u64,
    /// The delivery that was lost and may still be answered.
    lost: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum TurnState {
    Queued { ticket: u64 },
    Delayed,
    Out { lease: u64 },
}

/// A stream asks for work.
pub(crate) struct ClaimRequest<'a> {
    pub(crate) session: &'a Arc<SessionState>,
    pub(crate) kind: WorkKind,
    /// How much it may take.
    pub(crate) share: Share,
    pub(crate) now: Timestamp,
}

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It was committed, or found stale: the delivery is over.
    Over,
    /// It had no effect: the delivery stands.
    NotApplied,
}

impl Dispatcher {
    pub(crate) fn new(partition: PartitionId, ready: Ready) -> Self {
        ready.clear();
        Self {
            partition,
            lanes: HashMap::default(),
            ready,
            turns: HashMap::default(),
            leases: HashMap::default(),
            by_session: HashMap::default(),
            setbacks: HashMap::default(),
            abandoned_by: HashMap::default(),
            last_number: 0,
            woken: Vec::new(),
        }
    }

    /// Items in the queues.
    pub(crate) fn queued(&self) -> usize {
        self.lanes.values().map(Lane::len).sum()
    }

    /// Who may have to be woken since the last call.
    pub(crate) fn take_woken(&mut self) -> Vec<(HubId, WorkKind, Class)> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn offer_turn(&mut self, key: InstanceKey, class: Class) {
        if !self.turns.contains_key(&key) {
            self.queue(Item::Turn(key), class, None, false);
        }
    }

    pub(crate) fn offer_activity(&mut self, key: InstanceKey, seq: u64, class: Class) {
        self.queue(Item::Activity(key, seq), class, None, false);
    }

    /// A delay is over.
    pub(crate) fn offer_delayed(&mut self, item: Item, class: Class) {
        let over =
            matches!(&item, Item::Turn(key) if self.turns.get(key) != Some(&TurnState::Delayed));
        if over {
            return;
        }
        self.queue(item, class, None, false);
    }

    fn queue(&mut self, item: Item, class: Class, lost: Option<u64>, front: bool) {
        self.last_number += 1;
        let ticket = self.last_number;
        if let Item::Turn(key) = &item {
            self.turns.insert(key.clone(), TurnState::Queued { ticket });
        }
        let (hub, kind) = (item.key().hub, item.kind());
        let lane = self.lanes.entry((hub, kind)).or_default();
        let queued = Queued { item, ticket, lost };
        if front {
            lane.push_front(&class, queued);
        } else {
            lane.push_back(&class, queued);
        }
        self.ready.add(kind);
        self.woken.push((hub, kind, class));
    }

    /// Hands a stream its share of the items it takes; answers whether anything was left to others for its sake.
    pub(crate) fn claim(
        &mut self,
        tables: &mut dyn Tables,
        request: &ClaimRequest<'_>,
        nonce: &mut dyn FnMut() -> u64,
        out: &mut VecDeque<Claimed>,
    ) -> Result<bool, TableFault> {
        let ClaimRequest {
            session,
            kind,
            share,
            now,
        } = *request;
        let ready = self
            .lanes
            .get(&(session.spec.hub, kind))
            .map_or(0, Lane::len);
        let limit = share.of(ready);
        let mut left = limit;
        while left > 0 {
            let Some(lane) = self.lanes.get_mut(&(session.spec.hub, kind)) else {
                break;
            };
            let Some((class, queued)) = lane.pop(|class| session.admits(kind, class)) else {
                break;
            };
            let abandoned_here = self.abandoned_by.remove(&queued.item) == Some(session.id);
            if abandoned_here && share.takers > 1 {
                lane.push_front(&class, queued);
                return Ok(true);
            }
            self.ready.subtract(kind);
            if let Some(lost) = queued.lost {
                self.leases.remove(&lost);
            }
            let id = LeaseId {
                number: self.last_number + 1,
                nonce: nonce(),
            };
            let token = format_token(self.partition, id);
            let Some((body, claimed)) = self.take(tables, &queued, token, now)? else {
                continue;
            };
            self.last_number += 1;
            if let Item::Turn(key) = &queued.item {
                self.turns
                    .insert(key.clone(), TurnState::Out { lease: id.number });
            }
            session.take_slot(kind);
            self.by_session
                .entry(session.id)
                .or_default()
                .insert(id.number);
            self.leases.insert(
                id.number,
                Lease {
                    id,
                    item: queued.item,
                    class,
                    body,
                    session: Some(session.clone()),
                    committing: 0,
                    since: now,
                    parts: super::lease::Parts::default(),
                },
            );
            out.push_back(claimed);
            left -= 1;
        }
        Ok(left == 0 && limit < share.free && (limit as usize) < ready)
    }

    /// Looks up what a queue entry stands for; `None` if that is gone.
    fn take(
        &mut self,
        tables: &mut dyn Tables,
        queued: &Queued,
        token: String,
        now: Timestamp,
    ) -> Result<Option<(Body, Claimed)>, TableFault> {
        match &queued.item {
            Item::Turn(key) => {
                if self.turns.get(key)
                    != Some(&TurnState::Queued {
                        ticket: queued.ticket,
                    })
                {
                    return Ok(None);
                }
                match engine_dispatch::take_turn(tables, key, now)? {
                    Some(turn) => {
                        let body = Body::Turn(Arc::new(turn.context.clone()));
                        Ok(Some((
                            body,
                            Claimed::Turn {
                                token,
                                turn: Box::new(turn),
                            },
                        )))
                    }
                    None => {
                        self.turns.remove(key);
                        Ok(None)
                    }
                }
            }
            Item::Activity(key, seq) => {
                let Some(instance) = tables.instance(key)? else {
                    return Ok(None);
                };
                let Some(activity) = instance.activities.get(seq).cloned() else {
                    return Ok(None);
                };
                let body = Body::Activity {
                    execution: activity.execution.clone(),
                    task_id: activity.task_id,
                };
                let claimed = Claimed::Activity {
                    token,
                    key: key.clone(),
                    activity: Box::new(activity),
                };
                Ok(Some((body, claimed)))
            }
        }
    }

    pub(crate) fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.leases
            .get_mut(&id.number)
            .filter(|lease| lease.id.nonce == id.nonce)
    }

    /// The turn that is out under `id`; counts as being committed until [`Dispatcher::settle`].
    pub(crate) fn begin_turn(&mut self, id: LeaseId) -> Option<TurnLease> {
        let lease = self.lease_mut(id)?;
        let Body::Turn(context) = &lease.body else {
            return None;
        };
        let context = context.clone();
        lease.committing += 1;
        Some(TurnLease { id, context })
    }

    /// The activity that is out under `id`; counts as being committed until [`Dispatcher::settle`].
    pub(crate) fn begin_activity(&mut self, id: LeaseId) -> Option<ActivityLease> {
        let lease = self.lease_mut(id)?;
        let (Body::Activity { execution, task_id }, Item::Activity(key, seq)) =
            (&lease.body, &lease.item)
        else {
            return None;
        };
        let found = ActivityLease {
            id,
            key: key.clone(),
            execution: execution.clone(),
            seq: *seq,
            task_id: *task_id,
        };
        lease.committing += 1;
        Some(found)
    }

    /// The delivery of the instance's turn, for workers that do not echo tokens.
    pub(crate) fn turn_out(&self, key: &InstanceKey) -> Option<LeaseId> {
        match self.turns.get(key)? {
            TurnState::Out { lease } => self.leases.get(lease).map(|lease| lease.id),
            TurnState::Queued { .. } | TurnState::Delayed => None,
        }
    }

    /// The delivery of an activity, for workers that do not echo tokens; only if there is exactly one it can be.
    pub(crate) fn activity_out(&self, key: &InstanceKey, task_id: i32) -> Option<LeaseId> {
        let mut candidates = self.leases.values().filter(|lease| {
            lease.item.key() == key
                && matches!(lease.body, Body::Activity { task_id: it, .. } if it == task_id)
        });
        let first = candidates.next()?.id;
        candidates.next().is_none().then_some(first)
    }

    /// The instance's turn was committed or lost its point: whatever delivery of it is out is over.
    pub(crate) fn end_turn(&mut self, key: &InstanceKey) {
        self.setbacks.remove(&Item::Turn(key.clone()));
        if let Some(TurnState::Out { lease }) = self.turns.remove(key) {
            self.remove(lease);
        }
    }

    /// The instance's activities lost their point; queue entries go when they are claimed.
    pub(crate) fn void_activities(&mut self, key: &InstanceKey) {
        let mut gone: Vec<u64> = self
            .leases
            .values()
            .filter(|lease| matches!(&lease.item, Item::Activity(of, _) if of == key))
            .map(|lease| lease.id.number)
            .collect();
        // Streams are woken in an order that can be repeated.
        gone.sort_unstable();
        for number in gone {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Lease> {
        let lease = self.leases.remove(&number)?;
        if let Some(session) = &lease.session {
            self.forget_session(session.id, number);
            session.free_slot(lease.item.kind());
        }
        Some(lease)
    }

    fn forget_session(&mut self, session: u64, number: u64) {
        if let Some(numbers) = self.by_session.get_mut(&session) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_session.remove(&session);
            }
        }
    }

    /// Ends what [`Dispatcher::begin_turn`] or [`Dispatcher::begin_activity`] began. Answers a turn's key that must be
    /// looked at again, because its delivery is over without a commit.
    pub(crate) fn settle(&mut self, id: LeaseId, settled: Settled) -> Option<InstanceKey> {
        let lease = self.lease_mut(id)?;
        lease.committing = lease.committing.saturating_sub(1);
        if settled == Settled::NotApplied {
            if lease.session.is_none() && lease.committing == 0 {
                let lease = self.leases.remove(&id.number).expect("just found");
                self.queue(lease.item, lease.class, None, true);
            }
            return None;
        }
        let lease = self.remove(id.number).expect("just found");
        self.setbacks.remove(&lease.item);
        match lease.item {
            Item::Turn(key)
                if self.turns.get(&key) == Some(&TurnState::Out { lease: id.number }) =>
            {
                self.turns.remove(&key);
                Some(key)
            }
            // A delivery that was lost before is queued again, or out elsewhere, by now.
            Item::Turn(_) | Item::Activity(..) => None,
        }
    }

    /// The worker gives the item back. Answers it with its delay if it is to wait.
    pub(crate) fn abandon(
        &mut self,
        id: LeaseId,
        backoff: bool,
    ) -> Option<(Item, Class, Duration)> {
        self.lease_mut(id)?;
        let lease = self.remove(id.number).expect("just found");
        if let Some(session) = &lease.session {
            self.abandoned_by.insert(lease.item.clone(), session.id);
        }
        if !backoff {
            self.queue(lease.item, lease.class, None, true);
            return None;
        }
        let delay = self.setback(&lease.item, 0);
        Some(self.delay(lease, delay))
    }

    fn delay(&mut self, lease: Lease, delay: Duration) -> (Item, Class, Duration) {
        if let Item::Turn(key) = &lease.item {
            self.turns.insert(key.clone(), TurnState::Delayed);
        }
        (lease.item, lease.class, delay)
    }

    /// Counts a setback; the delay doubles with each one after the first `free`.
    fn setback(&mut self, item: &Item, free: u32) -> Duration {
        let count = self.setbacks.entry(item.clone()).or_default();
        *count += 1;
        match count.checked_sub(free + 1) {
            None => Duration::ZERO,
            Some(exponent) => Duration::from_secs(1 << exponent.min(6)).min(DELAY_MAX),
        }
    }

    /// A stream is lost: what was out on it goes to the front of the queue at once, unless it is being committed or
    /// has been lost too often in a row. Answers those to be delayed.
    pub(crate) fn session_lost(
        &mut self,
        session: u64,
        losses_before_delay: u32,
    ) -> Vec<(Item, Class, Duration)> {
        let mut numbers: Vec<u64> = self
            .by_session
            .remove(&session)
            .into_iter()
            .flatten()
            .collect();
        // The oldest ends up in front.
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
            .into_iter()
            .filter_map(|number| self.lose(number, losses_before_delay))
            .collect()
    }

    fn lose(&mut self, number: u64, losses_before_delay: u32) -> Option<(Item, Class, Duration)> {
        let lease = self.leases.get_mut(&number)?;
        if let Some(session) = lease.session.take() {
            session.free_slot(lease.item.kind());
        }
        // Parts of an answer stay: the last one may still come, and must not pass for the whole.
        if lease.committing > 0 {
            return None;
        }
        let (item, class) = (lease.item.clone(), lease.class.clone());
        let delay = self.setback(&item, losses_before_delay);
        if delay.is_zero() {
            self.queue(item, class, Some(number), true);
            return None;
        }
        let lease = self.leases.remove(&number).expect("just found");
        Some(self.delay(lease, delay))
    }

    /// Turns that went out before `before` and are not being committed.
    pub(crate) fn overdue_turns(&self, before: Timestamp) -> Vec<LeaseId> {
        let overdue = self.leases.values().filter(|lease| {
            matches!(lease.item, Item::Turn(_))
                && lease.since < before
                && lease.committing == 0
                && lease.session.is_some()
        });
        let mut overdue: Vec<LeaseId> = overdue.map(|lease| lease.id).collect();
        overdue.sort_unstable_by_key(|id| id.number);
        overdue
    }

    /// Leadership ended: every slot is free again.
    pub(crate) fn release_all(&mut self) {
        self.ready.clear();
        let mut leases: Vec<Lease> = self.leases.drain().map(|(_, lease)| lease).collect();
        // Streams are woken in an order that can be repeated.
        leases.sort_unstable_by_key(|lease| lease.id.number);
        for lease in leases {
            if let Some(session) = lease.session {
                session.free_slot(lease.item.kind());
            }
        }
    }
}

#[cfg(test)]
mod tests;
