//! The record of one entity.
//!
//! ```text
//!                 ┌─ owner_lane ─┐   operations of whoever holds the lock: before everything else
//! message ──►     │              ├─► batch out ──► state, answers, messages
//!                 └─ queue ──────┘   all others, in order; a lock request among them is a barrier
//!             └─► scheduled          operations that are not due; join the queue when they are
//! ```
//!
//! An entity is not an instance: it has no status and no history, and it exists for clients while it has a state.
//! Its record goes when nothing is left in it, and only some time after the last batch, so that what is late finds the
//! count of batches that it is judged by.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp, limits};

use crate::key::InstanceKey;
use crate::query::EntityView;

/// One entity. Its key's id is `@name@key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Opaque text; absent once deleted or before the first operation that sets it.
    pub state: Option<Bytes>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When a batch was last committed, or the entity purged.
    pub modified_at: Option<Timestamp>,
    /// Counts committed batches and purges: a batch taken on an older count is stale.
    pub batches: u64,
    /// Last number given to a scheduled operation.
    pub last_seq: u64,
    /// Who holds it.
    pub lock: Option<Arc<CriticalSection>>,
    /// Operations of the lock's owner.
    pub owner_lane: VecDeque<Operation>,
    /// Everything else, in order.
    pub queue: VecDeque<Queued>,
    /// Operations that are not due, by number.
    pub scheduled: BTreeMap<u64, Scheduled>,
    /// Requests of clients accepted lately, oldest first, to recognise their repetition.
    pub recent: VecDeque<RecentRequest>,
}

/// Something in the queue of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queued {
    /// An operation for a worker.
    Operation(Operation),
    /// Somebody wants the lock.
    Lock(LockRequest),
}

/// An operation on an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who waits for its result; nobody for a signal.
    pub caller: Option<Caller>,
    /// The request's id; a GUID if the server made it.
    pub request_id: Arc<str>,
    /// Encoded EntityOperationSignaled or EntityOperationCalled `HistoryEvent` with event id -1.
    pub event: Bytes,
}

/// Who waits for the result of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The orchestration.
    pub instance: InstanceId,
    /// Its execution that called.
    pub execution: ExecutionId,
}

/// An operation that is not due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Not before this time.
    pub due: Timestamp,
    /// The operation.
    pub operation: Operation,
    /// Who sent it, to know its lane when it is due.
    pub sender: Option<Caller>,
}

/// A critical section of an orchestration: the entities it locks, in the order they are locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalSection {
    /// Its id, a GUID chosen by the worker.
    pub id: Arc<str>,
    /// The orchestration.
    pub owner: InstanceId,
    /// Its execution.
    pub execution: ExecutionId,
    /// Entity ids: normalised, without repetition, ascending.
    pub entities: Vec<InstanceId>,
}

/// A critical section on its way to one of its entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// The section.
    pub section: Arc<CriticalSection>,
    /// Which of its entities.
    pub position: u32,
}

/// A client's request, remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRequest {
    /// When it was accepted.
    pub at: Timestamp,
    /// Its id.
    pub request_id: Arc<str>,
}

/// How long a client's request is remembered, and how long the count of batches stays when nothing else does.
/// Source: a transport retry comes within minutes.
pub const RECENT_WINDOW: Duration = Duration::from_secs(600);

impl CriticalSection {
    /// The order in which entities are locked, whatever order they were named in: ascending, each once.
    ///
    /// Everybody takes locks in this order, so that nobody waits in a circle.
    #[must_use]
    pub fn order(lock_set: &[String]) -> Vec<InstanceId> {
        let entities = lock_set.iter();
        let mut entities: Vec<InstanceId> = entities
            .filter_map(|entity| InstanceId::parse_entity(entity).ok())
            .collect();
        entities.sort_unstable();
        entities.dedup();
        entities
    }

    /// Whether `owner` is its owner.
    #[must_use]
    pub fn is_of(&self, owner: &Caller) -> bool {
        self.owner == owner.instance && self.execution == owner.execution
    }
}

impl Entity {
    /// A record of nothing yet.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self {
            state: None,
            created_at: at,
            modified_at: None,
            batches: 0,
            last_seq: 0,
            lock: None,
            owner_lane: VecDeque::new(),
            queue: VecDeque::new(),
            scheduled: BTreeMap::new(),
            recent: VecDeque::new(),
        }
    }

    /// Whether the leader must keep an eye on it: operations wait, are scheduled, or it may have to go.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.owner_lane.is_empty()
            || !self.queue.is_empty()
            || !self.scheduled.is_empty()
            || self.state.is_none()
    }

    /// Whether nothing but remembered requests is left of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.lock.is_none()
            && self.owner_lane.is_empty()
            && self.queue.is_empty()
            && self.scheduled.is_empty()
    }

    /// When the record may go, should nothing be left of it by then: what it remembers has lost its use. `None` while it
    /// has a state.
    ///
    /// In whole minutes, so that an entity that is never given a state wakes the leader once a minute and not once for
    /// every batch.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        let last_request = self.recent.back().map(|last| last.at);
        let last = last_request.max(self.modified_at);
        let expiry = || last.map_or(self.created_at, |last| next_minute(last + RECENT_WINDOW));
        self.state.is_none().then(expiry)
    }

    /// Whether the record can be removed at `at`.
    #[must_use]
    pub fn may_go(&self, at: Timestamp) -> bool {
        self.is_empty() && self.expires_at().is_some_and(|expiry| expiry <= at)
    }

    /// Whether a batch can be offered to a worker.
    #[must_use]
    pub fn batch_ready(&self) -> bool {
        match &self.lock {
            Some(_) => !self.owner_lane.is_empty(),
            None => matches!(self.queue.front(), Some(Queued::Operation(_))),
        }
    }

    /// The operations a batch would begin with, in order.
    pub fn ready_operations(&self) -> impl Iterator<Item = &Operation> {
        let queue = self
            .queue
            .iter()
            .map_while(|queued| match queued {
                Queued::Operation(operation) => Some(operation),
                Queued::Lock(_) => None,
            })
            .filter(|_| self.lock.is_none());
        let lane = self.owner_lane.iter().filter(|_| self.lock.is_some());
        lane.chain(queue)
    }

    /// Whether `caller` holds the lock.
    #[must_use]
    pub fn is_locked_by(&self, caller: Option<&Caller>) -> bool {
        match (&self.lock, caller) {
            (Some(lock), Some(caller)) => lock.is_of(caller),
            _ => false,
        }
    }

    /// Remembers a client's request; `false` if it was accepted before.
    pub fn remember(&mut self, at: Timestamp, request_id: &Arc<str>) -> bool {
        while self
            .recent
            .front()
            .is_some_and(|oldest| at.since(oldest.at) > RECENT_WINDOW)
        {
            self.recent.pop_front();
        }
        if self
            .recent
            .iter()
            .any(|known| known.request_id == *request_id)
        {
            return false;
        }
        if self.recent.len() == limits::RECENT_SIGNALS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentRequest {
            at,
            request_id: request_id.clone(),
        });
        true
    }

    /// As a client sees it; absent for one that neither has a state nor, if `transient`, a lock or a queue.
    #[must_use]
    pub fn view(&self, key: &InstanceKey, transient: bool) -> Option<EntityView> {
        let shown = self.state.is_some()
            || transient
                && (self.lock.is_some() || !self.queue.is_empty() || !self.owner_lane.is_empty());
        shown.then(|| EntityView {
            id: key.id.clone(),
            state: self.state.clone(),
            modified_at: self.modified_at.unwrap_or(self.created_at),
            backlog: u32::try_from(self.backlog()).unwrap_or(u32::MAX),
            locked_by: self.lock.as_ref().map(|lock| lock.owner.clone()),
        })
    }

    fn backlog(&self) -> usize {
        let queued = self
            .queue
            .iter()
            .filter(|queued| matches!(queued, Queued::Operation(_)));
        self.owner_lane.len() + queued.count()
    }
}

/// The first whole minute that is not before `at`.
fn next_minute(at: Timestamp) -> Timestamp {
    let into = at.seconds.rem_euclid(60);
    if into == 0 && at.nanos == 0 {
        return at;
    }
    Timestamp {
        seconds: at.seconds + 60 - into,
        nanos: 0,
    }
}
