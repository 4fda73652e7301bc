//! What is ready and what is out in one partition.
//!
//! ```text
//!   ready ──► queued ──claim──► out ──committed──► gone (ready again if more has come)
//!               ▲                │
//!               ├── stream lost ─┤  at once, in front
//!               └─ delayed ◄─────┘  abandoned: after 1, 2, 4 … 60 s; parked after too many times
//! ```
//!
//! An item is queued, delayed or out, once, or it is not in hand. What a queue entry stands for is looked up again in the
//! state when it is claimed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use longhaul_engine::batch::{BatchContext, take_batch};
use longhaul_engine::dispatch as engine_dispatch;
use longhaul_engine::{InstanceKey, TableFault, Tables};
use longhaul_types::{HubId, PartitionId, Timestamp};

use super::docket::{Docket, Place};
use super::lane::{Class, Lane};
use super::lease::{ActivityOut, Body, Lease};
use super::setbacks::{Next, Patience, Setback};
use super::{Capabilities, Claimed, Item, LeaseId, Ready, SessionState, Share, Tokens, WorkKind};

#[derive(Debug)]
pub(crate) struct Dispatcher {
    partition: PartitionId,
    tokens: Tokens,
    patience: Patience,
    docket: Docket,
    lanes: HashMap<(HubId, WorkKind), Lane<InstanceKey, Queued>>,
    ready: Ready,
    leases: HashMap<u64, Lease>,
    by_session: HashMap<u64, HashSet<u64>>,
    /// Of deliveries and tickets.
    last_number: u64,
    /// Became ready since the last look: who may have to be woken.
    woken: Vec<(HubId, WorkKind, Class)>,
}

#[derive(Debug)]
struct Queued {
    item: Item,
    /// Must match its [`Place::Queued`].
    ticket: u64,
}

/// Where an item joins its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

/// An item that waits until it is offered again.
#[derive(Debug)]
pub(crate) struct Offer {
    item: Item,
    class: Class,
    /// Must match its [`Place::Delayed`].
    ticket: u64,
}

/// An offer and when to make it.
pub(crate) type Delayed = (Offer, Duration);

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
    /// It is not known to have had an effect: the delivery stands.
    Unknown,
}

impl Dispatcher {
    pub(crate) fn new(
        partition: PartitionId,
        ready: Ready,
        tokens: Tokens,
        patience: Patience,
    ) -> Self {
        ready.clear();
        Self {
            partition,
            tokens,
            patience,
            docket: Docket::default(),
            lanes: HashMap::default(),
            ready,
            leases: HashMap::default(),
            by_session: HashMap::default(),
            last_number: 0,
            woken: Vec::new(),
        }
    }

    /// Items in the queues.
    pub(crate) fn queued(&self) -> usize {
        self.lanes.values().map(Lane::len).sum()
    }

    /// Items parked, by kind.
    pub(crate) fn parked(&self) -> [u64; 3] {
        self.docket.parked()
    }

    /// Who may have to be woken since the last call.
    pub(crate) fn take_woken(&mut self) -> Vec<(HubId, WorkKind, Class)> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn offer_turn(&mut self, key: InstanceKey, class: Class) {
        self.offer(Item::Turn(key), class);
    }

    pub(crate) fn offer_batch(&mut self, key: InstanceKey) {
        let name = key.id.entity_name().unwrap_or_default();
        let class = Class {
            name: name.into(),
            version: None,
        };
        self.offer(Item::Batch(key), class);
    }

    pub(crate) fn offer_activity(&mut self, key: InstanceKey, seq: u64, class: Class) {
        self.offer(Item::Activity(key, seq), class);
    }

    fn offer(&mut self, item: Item, class: Class) {
        if self.docket.place(&item).is_none() {
            self.queue(item, class, None, End::Back);
        }
    }

    /// A delay is over.
    pub(crate) fn offer_delayed(&mut self, offer: Offer) {
        let Offer {
            item,
            class,
            ticket,
        } = offer;
        if self.docket.place(&item) == Some(Place::Delayed { ticket }) {
            self.queue(item, class, None, End::Back);
        }
    }

    fn queue(&mut self, item: Item, class: Class, lost: Option<u64>, end: End) {
        let ticket = self.next_number();
        self.docket.put(&item, Place::Queued { ticket, lost });
        let (hub, kind) = (item.key().hub, item.kind());
        let lane = self.lanes.entry((hub, kind)).or_default();
        let flow = item.key().clone();
        let queued = Queued { item, ticket };
        match end {
            End::Front => lane.push_front(&class, &flow, queued),
            End::Back => lane.push_back(&class, &flow, queued),
        }
        self.ready.add(kind);
        self.woken.push((hub, kind, class));
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
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
        let capabilities = session.spec.capabilities;
        let mut left = limit;
        while left > 0 {
            let Some(lane) = self.lanes.get_mut(&(session.spec.hub, kind)) else {
                break;
            };
            let Some((class, queued)) = lane.pop(|class| session.admits(kind, class)) else {
                break;
            };
            let Queued { item, ticket } = queued;
            let abandoned_by = self
                .docket
                .get_mut(&item)
                .and_then(|it| it.take_abandoned_by());
            if abandoned_by == Some(session.id) && share.takers > 1 {
                let flow = item.key().clone();
                lane.push_front(&class, &flow, Queued { item, ticket });
                return Ok(true);
            }
            self.ready.subtract(kind, 1);
            let Some(Place::Queued { ticket: it, lost }) = self.docket.place(&item) else {
                continue;
            };
            if it != ticket {
                continue;
            }
            if let Some(lost) = lost {
                self.leases.remove(&lost);
            }
            let id = LeaseId {
                number: self.next_number(),
                nonce: nonce(),
            };
            let token = || self.tokens.issue(self.partition, kind, item.key(), id);
            let Some((body, claimed)) = take(tables, &item, now, capabilities, token)? else {
                self.docket.remove(&item);
                continue;
            };
            self.docket.put(&item, Place::Out { lease: id.number });
            session.take_slot(kind);
            self.by_session
                .entry(session.id)
                .or_default()
                .insert(id.number);
            self.leases.insert(
                id.number,
                Lease {
                    id,
                    item,
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

    pub(crate) fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.leases
            .get_mut(&id.number)
            .filter(|lease| lease.id.nonce == id.nonce)
    }

    /// The turn that is out under `id`; counts as being committed until [`Dispatcher::settle`].
    pub(crate) fn begin_turn(&mut self, id: LeaseId) -> Option<Arc<engine_dispatch::TurnContext>> {
        let lease = self.lease_mut(id)?;
        let Body::Turn(context) = &lease.body else {
            return None;
        };
        let context = context.clone();
        lease.committing += 1;
        Some(context)
    }

    /// The activity that is out under `id`; counts as being committed until [`Dispatcher::settle`].
    pub(crate) fn begin_activity(&mut self, id: LeaseId) -> Option<ActivityOut> {
        let lease = self.lease_mut(id)?;
        let (Body::Activity { execution, task_id }, Item::Activity(key, seq)) =
            (&lease.body, &lease.item)
        else {
            return None;
        };
        let found = ActivityOut {
            key: key.clone(),
            execution: execution.clone(),
            seq: *seq,
            task_id: *task_id,
        };
        lease.committing += 1;
        Some(found)
    }

    /// The batch that is out under `id`; counts as being committed until [`Dispatcher::settle`].
    pub(crate) fn begin_batch(&mut self, id: LeaseId) -> Option<Arc<BatchContext>> {
        let lease = self.lease_mut(id)?;
        let Body::Batch(context) = &lease.body else {
            return None;
        };
        let context = context.clone();
        lease.committing += 1;
        Some(context)
    }

    /// How many operations of the entity are at a worker.
    pub(crate) fn operations_out(&self, key: &InstanceKey) -> usize {
        let place = self.docket.place(&Item::Batch(key.clone()));
        let lease = match place {
            Some(Place::Out { lease }) => self.leases.get(&lease),
            Some(Place::Queued { .. } | Place::Delayed { .. }) | None => None,
        };
        match lease.map(|lease| &lease.body) {
            Some(Body::Batch(context)) => context.operations.len(),
            _ => 0,
        }
    }

    /// A worker could not run the batch; answers how often that was said in a row.
    pub(crate) fn count_failure(&mut self, key: &InstanceKey) -> u32 {
        let entry = self.docket.get_mut(&Item::Batch(key.clone()));
        entry.map_or(1, |entry| entry.count_failure())
    }

    /// The delivery of the instance's turn, for workers that do not echo tokens.
    pub(crate) fn turn_out(&self, key: &InstanceKey) -> Option<LeaseId> {
        let number = self.docket.place(&Item::Turn(key.clone()))?.delivery()?;
        self.leases.get(&number).map(|lease| lease.id)
    }

    /// The delivery of an activity, for workers that do not echo tokens; only if there is exactly one it can be.
    pub(crate) fn activity_out(&self, key: &InstanceKey, task_id: i32) -> Option<LeaseId> {
        let mut candidates = self
            .docket
            .activities(key)
            .filter_map(|place| self.leases.get(&place.delivery()?))
            .filter(
                |lease| matches!(lease.body, Body::Activity { task_id: it, .. } if it == task_id),
            );
        let first = candidates.next()?.id;
        candidates.next().is_none().then_some(first)
    }

    /// The instance's turn, or the entity's batch, was committed or lost its point: whatever there is of it is over.
    pub(crate) fn end_turn(&mut self, key: &InstanceKey) {
        self.end(&Item::main_of(key));
    }

    /// The activity's result was committed: whatever there is of it is over.
    pub(crate) fn end_activity(&mut self, key: &InstanceKey, seq: u64) {
        self.end(&Item::Activity(key.clone(), seq));
    }

    fn end(&mut self, item: &Item) {
        let Some(place) = self.docket.remove(item) else {
            return;
        };
        if let Place::Queued { ticket, .. } = place {
            self.purge(item.key(), item.kind(), |queued| queued.ticket == ticket);
        }
        if let Some(delivery) = place.delivery() {
            self.remove_lease(delivery);
        }
    }

    /// The instance's activities lost their point.
    pub(crate) fn void_activities(&mut self, key: &InstanceKey) {
        let places = self.docket.remove_activities(key);
        if places
            .iter()
            .any(|place| matches!(place, Place::Queued { .. }))
        {
            self.purge(key, WorkKind::Activity, |_| true);
        }
        for delivery in places.into_iter().filter_map(Place::delivery) {
            self.remove_lease(delivery);
        }
    }

    fn purge(&mut self, key: &InstanceKey, kind: WorkKind, matches: impl FnMut(&Queued) -> bool) {
        if let Some(lane) = self.lanes.get_mut(&(key.hub, kind)) {
            self.ready.subtract(kind, lane.purge(key, matches));
        }
    }

    /// The instance's turn was committed without taking any part of it: the same turn would be answered in the same way
    /// for ever, so that counts as giving it back.
    pub(crate) fn end_idle_turn(&mut self, key: &InstanceKey) -> Option<Delayed> {
        let item = Item::Turn(key.clone());
        match self.docket.place(&item)? {
            Place::Out { lease } => {
                let lease = self.remove_lease(lease)?;
                self.set_back(lease.item, lease.class, None, Setback::Abandoned)
            }
            Place::Queued { lost, .. } => {
                // Its stream was lost before, and so it has been given back already.
                let lease = self.remove_lease(lost?)?;
                self.forget_lost(&lease);
                None
            }
            Place::Delayed { .. } => None,
        }
    }

    /// A delivery that was lost, and whose item is queued again, cannot be answered any more.
    fn forget_lost(&mut self, over: &Lease) {
        if let Some(Place::Queued { ticket, lost }) = self.docket.place(&over.item)
            && lost == Some(over.id.number)
        {
            let place = Place::Queued { ticket, lost: None };
            self.docket.put(&over.item, place);
        }
    }

    fn remove_lease(&mut self, number: u64) -> Option<Lease> {
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
        let forsaken = lease.committing == 0 && lease.session.is_none();
        let out = Some(Place::Out { lease: id.number });
        match settled {
            Settled::Over => {
                let lease = self.remove_lease(id.number)?;
                if self.docket.place(&lease.item) != out {
                    self.forget_lost(&lease);
                    return None;
                }
                self.docket.remove(&lease.item);
                match lease.item {
                    Item::Turn(key) | Item::Batch(key) => Some(key),
                    Item::Activity(..) => None,
                }
            }
            Settled::Unknown if forsaken => {
                let item = &self.leases.get(&id.number)?.item;
                if self.docket.place(item) == out {
                    let lease = self.leases.remove(&id.number)?;
                    self.queue(lease.item, lease.class, None, End::Front);
                }
                None
            }
            Settled::Unknown => None,
        }
    }

    /// The worker gives the item back. Answers it if it is to wait.
    pub(crate) fn abandon(&mut self, id: LeaseId, backoff: bool) -> Option<Delayed> {
        self.lease_mut(id)?;
        let lease = self.remove_lease(id.number)?;
        if self.docket.place(&lease.item) != Some(Place::Out { lease: id.number }) {
            // Its stream was lost before, and so it has been given back already.
            self.forget_lost(&lease);
            return None;
        }
        let Lease {
            item,
            class,
            session,
            ..
        } = lease;
        if let (Some(session), Some(entry)) = (session, self.docket.get_mut(&item)) {
            entry.set_abandoned_by(session.id);
        }
        if backoff {
            return self.set_back(item, class, None, Setback::Abandoned);
        }
        self.queue(item, class, None, End::Front);
        None
    }

    /// Counts a setback of an item that was out, and queues it in front or answers that it has to wait.
    fn set_back(
        &mut self,
        item: Item,
        class: Class,
        lost: Option<u64>,
        setback: Setback,
    ) -> Option<Delayed> {
        let attempts = self.docket.get_mut(&item)?.count_setback();
        let delay = match self.patience.after(attempts, setback) {
            Next::Now => {
                self.queue(item, class, lost, End::Front);
                return None;
            }
            Next::After(delay) => delay,
            Next::Parked(delay) => {
                if self.docket.park(&item) {
                    tracing::warn!(
                        partition = %self.partition,
                        hub = item.key().hub.0,
                        instance = %item.key().id,
                        kind = item.kind().name(),
                        name = %class.name,
                        attempts,
                        retry = ?delay,
                        "a work item is parked: every worker so far gave it back or was lost with it",
                    );
                }
                delay
            }
        };
        if let Some(lost) = lost {
            self.leases.remove(&lost);
        }
        let ticket = self.next_number();
        self.docket.put(&item, Place::Delayed { ticket });
        let offer = Offer {
            item,
            class,
            ticket,
        };
        Some((offer, delay))
    }

    /// A stream is lost: what was out on it goes to the front of the queue at once, unless it is being committed or
    /// has been lost too often in a row. Answers those that are to wait.
    pub(crate) fn session_lost(&mut self, session: u64) -> Vec<Delayed> {
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
            .filter_map(|number| self.lose(number))
            .collect()
    }

    fn lose(&mut self, number: u64) -> Option<Delayed> {
        let lease = self.leases.get_mut(&number)?;
        if let Some(session) = lease.session.take() {
            session.free_slot(lease.item.kind());
        }
        // Parts of an answer stay: the last one may still come, and must not pass for the whole.
        if lease.committing > 0 {
            return None;
        }
        let (item, class) = (lease.item.clone(), lease.class.clone());
        self.set_back(item, class, Some(number), Setback::Lost)
    }

    /// What has been out for longer than its kind may be (zero: for ever) and is not being committed.
    pub(crate) fn overdue(
        &self,
        now: Timestamp,
        max: impl Fn(WorkKind) -> Duration,
    ) -> Vec<(LeaseId, Item)> {
        let overdue = self.leases.values().filter(|lease| {
            let max = max(lease.item.kind());
            !max.is_zero()
                && now.since(lease.since) > max
                && lease.committing == 0
                && lease.session.is_some()
        });
        let mut overdue: Vec<(LeaseId, Item)> = overdue
            .map(|lease| (lease.id, lease.item.clone()))
            .collect();
        overdue.sort_unstable_by_key(|(id, _)| id.number);
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

/// Looks up what an item stands for; `None` if that is gone.
fn take(
    tables: &mut dyn Tables,
    item: &Item,
    now: Timestamp,
    worker: Capabilities,
    token: impl FnOnce() -> String,
) -> Result<Option<(Body, Claimed)>, TableFault> {
    match item {
        Item::Turn(key) => {
            let Some(turn) =
                engine_dispatch::take_turn(tables, key, now, worker.history_streaming)?
            else {
                return Ok(None);
            };
            let body = Body::Turn(Arc::new(turn.context.clone()));
            let claimed = Claimed::Turn {
                token: token(),
                turn: Box::new(turn),
            };
            Ok(Some((body, claimed)))
        }
        Item::Batch(key) => {
            let Some(batch) = take_batch(tables, key)? else {
                return Ok(None);
            };
            let body = Body::Batch(Arc::new(batch.context.clone()));
            let claimed = Claimed::Batch {
                token: token(),
                batch: Box::new(batch),
            };
            Ok(Some((body, claimed)))
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
                token: token(),
                key: key.clone(),
                activity: Box::new(activity),
            };
            Ok(Some((body, claimed)))
        }
    }
}

#[cfg(test)]
mod tests;
