//! Streams and work that are not on the same node.
//!
//! ```text
//!   the stream's node                                            a leader's node
//!   Session ─ poll ─► Outlook::look ─ reserves slots ── claim ──► Proxy::claim ─► Partition
//!      ▲ wake, EncodedItem ◄─ Taker::hand ◄──── items, encoded ──┘   │ holds the deliveries
//!      └──── slots free ◄─ Taker::release ◄──── Watcher::freed ◄─────┘
//!            wake       ◄─ Taker::wake    ◄──── Watcher::ready ◄─ Watch, when something becomes ready
//! ```
//!
//! This file has both ends; what lies between, the nodes and what they say to each other, is the business of whoever
//! implements [`Elsewhere`] and [`Watcher`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use longhaul_engine::InstanceKey;
use longhaul_types::HubId;
use parking_lot::Mutex;

use super::lane::Class;
use super::{AbandonDelay, Claimed, Filters, SessionSpec, SessionState, Sessions, Share, WorkKind};
use crate::partition::Partition;

/// Work in partitions that other nodes lead.
pub trait Elsewhere: Send + Sync + 'static {
    /// A stream opens. What is answered lives as long as the stream.
    fn open(&self, stream: Taker) -> Box<dyn Outlook>;
}

/// One stream's way to work elsewhere. Dropped when the stream ends: what is out on it is to be given back.
pub trait Outlook: Send + Sync + 'static {
    /// Called whenever the stream has looked for work here and has slots left. It has been registered as looking before,
    /// so that [`Taker::wake`] brings it back. Must not block.
    fn look(&mut self);
}

/// A stream of this node, for those who bring it work from elsewhere.
#[derive(Clone, Debug)]
pub struct Taker(Arc<SessionState>);

impl Taker {
    pub(super) fn new(state: &Arc<SessionState>) -> Self {
        Self(state.clone())
    }

    /// Names it on this node, for ever.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// What it asked for.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        &self.0.spec
    }

    /// Slots that are free.
    #[must_use]
    pub fn free(&self, kind: WorkKind) -> u32 {
        self.0.free(kind)
    }

    /// Takes slots for items that may come. For [`Outlook::look`] only, and no more than are free: nobody else takes
    /// slots at that time.
    pub fn reserve(&self, kind: WorkKind, slots: u32) {
        self.0.take_slots(kind, slots);
    }

    /// Gives slots back, reserved ones or those of items that are over, and lets the stream look for more work.
    pub fn release(&self, kind: WorkKind, slots: u32) {
        if slots > 0 {
            self.0.free_slots(kind, slots);
        }
    }

    /// Hands the stream items for which slots were reserved.
    pub fn hand(&self, items: impl IntoIterator<Item = EncodedItem>) {
        self.0.inbox.put(items);
        self.0.waker.wake();
    }

    /// Lets the stream look for work if it waits for any, and has a slot free for this kind.
    pub fn wake(&self, kind: WorkKind) {
        if self.0.free(kind) > 0 {
            self.0.wake_if_looking();
        }
    }
}

/// A work item from a partition that another node leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedItem {
    /// Which limit it counts against.
    pub kind: WorkKind,
    /// Completion token.
    pub token: String,
    /// The instance or entity it is of.
    pub key: InstanceKey,
    /// As the worker receives it: an encoded `WorkItem`.
    pub bytes: Bytes,
}

/// Items on their way from elsewhere to a stream.
#[derive(Default)]
pub(super) struct Inbox {
    items: Mutex<VecDeque<EncodedItem>>,
    /// Spares the lock where nothing ever comes from elsewhere.
    any: AtomicBool,
}

impl Inbox {
    fn put(&self, items: impl IntoIterator<Item = EncodedItem>) {
        let mut waiting = self.items.lock();
        waiting.extend(items);
        self.any.store(!waiting.is_empty(), Ordering::SeqCst);
    }

    pub(super) fn take(&self) -> Option<EncodedItem> {
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        let mut waiting = self.items.lock();
        let item = waiting.pop_front();
        self.any.store(!waiting.is_empty(), Ordering::SeqCst);
        item
    }
}

/// Told about streams of other nodes that take work from here. Must not block: a partition may be locked.
pub trait Watcher: Send + Sync + 'static {
    /// Something became ready that a [`Watch`] had looked for in vain. Not said again before it looks again.
    fn ready(&self, kind: WorkKind, look: Look);
}

/// Counts the looks of one [`Watch`] and what it is told in between: of two, the later one is right about what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Look(pub u64);

/// Streams of another node that take the same work, for as long as it lives.
#[derive(Debug)]
pub struct Watch {
    state: Arc<WatchState>,
    sessions: Sessions,
}

pub(super) struct WatchState {
    pub(super) hub: HubId,
    filters: Option<Filters>,
    watcher: Box<dyn Watcher>,
    /// By kind: whether it is to be told.
    looking: [AtomicBool; 3],
    /// By kind: whether its last claim was not filled.
    hungry: [AtomicBool; 3],
    looks: AtomicU64,
}

impl std::fmt::Debug for WatchState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "watch of hub {}", self.hub.0)
    }
}

impl WatchState {
    /// Whether it counts among those that share what is ready.
    pub(super) fn is_hungry(&self, kind: WorkKind) -> bool {
        self.hungry[kind as usize].load(Ordering::Relaxed)
    }

    /// Something became ready.
    pub(super) fn wake(&self, kind: WorkKind, class: &Class) {
        let filters = self.filters.as_ref();
        if filters.is_some_and(|filters| !filters.admit(kind, class)) {
            return;
        }
        if self.looking[kind as usize].swap(false, Ordering::SeqCst) {
            self.watcher.ready(kind, self.next_look());
        }
    }

    /// Announces a look. Comes before the look: whatever becomes ready after it is told.
    ///
    /// Its number is drawn before it is announced. So whoever misses what is told in the meantime has the smaller number,
    /// and whoever has the larger one has seen it.
    fn look(&self, kind: WorkKind) -> Look {
        let look = self.next_look();
        self.looking[kind as usize].store(true, Ordering::SeqCst);
        self.hungry[kind as usize].store(true, Ordering::Relaxed);
        look
    }

    fn next_look(&self) -> Look {
        Look(self.looks.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.sessions.unwatch(&self.state);
    }
}

/// A stream of another node. Dropping it is losing the stream: everything out on it can be dispatched again at once.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<SessionState>,
    sessions: Sessions,
}

/// What a claim found.
#[derive(Debug)]
pub struct Found {
    /// The look, which was announced for whoever watches.
    pub look: Look,
    /// The items, at most as many as asked for.
    pub items: VecDeque<Claimed>,
    /// Whether there may be more: that there are not was not for want of work.
    pub more: bool,
}

impl Proxy {
    /// Takes a share of what is ready here, at most `slots` items, for one of the streams that are watched for.
    #[must_use]
    pub fn claim(&self, watch: &Watch, kind: WorkKind, slots: u32) -> Found {
        let mut found = Found {
            look: watch.state.look(kind),
            items: VecDeque::new(),
            more: false,
        };
        let partitions = self.sessions.partitions();
        let offset = self.state.next_partition();
        for turn in 0..partitions.len() {
            let partition = &partitions[(offset + turn) % partitions.len()];
            let taken = u32::try_from(found.items.len()).unwrap_or(u32::MAX);
            let free = slots.saturating_sub(taken);
            if free == 0 {
                break;
            }
            if !partition.has_ready(kind) {
                continue;
            }
            let takers = self.sessions.takers_anywhere(self.state.spec.hub, kind);
            let share = Share { free, takers };
            found.more |= partition.claim(&self.state, kind, share, &mut found.items);
        }
        if found.items.len() >= slots as usize {
            found.more = true;
            watch.state.hungry[kind as usize].store(false, Ordering::Relaxed);
        }
        found
    }

    /// Gives back, after a while, an item that cannot be delivered.
    pub fn give_back(&self, claimed: &Claimed) {
        for partition in self.sessions.partitions().iter() {
            partition.take_back(claimed);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for partition in self.sessions.partitions().iter() {
            partition.session_lost(self.state.id);
        }
    }
}

impl Partition {
    /// Whether anything of this kind waits, whoever takes it.
    pub(super) fn has_ready(&self, kind: WorkKind) -> bool {
        self.shared.ready.count(kind) > 0
    }

    fn take_back(&self, claimed: &Claimed) {
        let (key, kind) = (claimed.key(), claimed.kind());
        let tokens = &self.shared.tokens;
        let lease = tokens.lease(self.id(), key.hub, kind, claimed.token());
        if let Some(lease) = lease {
            self.abandon(lease, AbandonDelay::Backoff);
        }
    }
}

impl Sessions {
    /// Where streams that open from now on look for more work; once.
    pub fn look_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        let first = self.set_elsewhere(elsewhere);
        assert!(first, "elsewhere is made known once");
    }

    /// Lets a stream of another node take work from here. `freed` is told of each delivery on it that is over; it must
    /// not block, since a partition may be locked.
    #[must_use]
    pub fn open_proxy(
        &self,
        spec: SessionSpec,
        freed: impl Fn(WorkKind, u32) + Send + Sync + 'static,
    ) -> Proxy {
        Proxy {
            state: self.new_state(spec, Some(Box::new(freed))),
            sessions: self.clone(),
        }
    }

    /// Tells somebody when work becomes ready that streams of another node take.
    #[must_use]
    pub fn watch(&self, hub: HubId, filters: Option<Filters>, watcher: impl Watcher) -> Watch {
        let state = Arc::new(WatchState {
            hub,
            filters,
            watcher: Box::new(watcher),
            looking: Default::default(),
            hungry: Default::default(),
            looks: AtomicU64::new(0),
        });
        self.add_watch(state.clone());
        Watch {
            state,
            sessions: self.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
