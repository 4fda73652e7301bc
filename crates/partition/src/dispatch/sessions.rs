//! The worker streams of this node, and who is woken when work becomes ready.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use futures::task::AtomicWaker;
use longhaul_types::HubId;
use parking_lot::RwLock;

use super::elsewhere::{Elsewhere, Inbox, Taker, WatchState};
use super::lane::Class;
use super::{Session, SessionSpec, WorkKind};
use crate::partition::Partition;

/// The worker streams of this node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Registry>);

/// The streams, for partitions: they are reached from the streams, and would keep each other alive.
#[derive(Clone)]
pub(crate) struct WeakSessions(Weak<Registry>);

impl WeakSessions {
    pub(crate) fn upgrade(&self) -> Option<Sessions> {
        self.0.upgrade().map(Sessions)
    }
}

#[derive(Default)]
struct Registry {
    by_hub: RwLock<HashMap<HubId, Takers>>,
    partitions: RwLock<Arc<[Partition]>>,
    last_id: AtomicU64,
    draining: AtomicBool,
    elsewhere: OnceLock<Arc<dyn Elsewhere>>,
}

/// Who takes work of one hub.
#[derive(Default)]
struct Takers {
    streams: Vec<Arc<SessionState>>,
    /// On behalf of streams of other nodes.
    watches: Vec<Arc<WatchState>>,
}

impl Takers {
    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.watches.is_empty()
    }
}

/// Told that slots are free again, instead of waking the stream.
type Freed = Box<dyn Fn(WorkKind, u32) + Send + Sync>;

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// What partitions know of a stream.
pub(crate) struct SessionState {
    pub(crate) id: u64,
    pub(crate) spec: SessionSpec,
    pub(crate) waker: AtomicWaker,
    /// Whether it has looked for work since it was last woken, so that it wants to be woken again.
    looking: AtomicBool,
    out: [AtomicU32; 3],
    next_partition: AtomicUsize,
    /// What arrives from other nodes.
    pub(super) inbox: Inbox,
    /// Of a stream of another node.
    freed: Option<Freed>,
}

impl std::fmt::Debug for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session {}", self.id)
    }
}

impl SessionState {
    /// Slots that are free.
    pub(crate) fn free(&self, kind: WorkKind) -> u32 {
        let index = kind as usize;
        self.spec.limits[index].saturating_sub(self.out[index].load(Ordering::Acquire))
    }

    /// Items out, of every kind.
    pub(crate) fn out(&self) -> u32 {
        self.out.iter().map(|out| out.load(Ordering::Acquire)).sum()
    }

    /// Takes a slot; only the stream itself does, so the count cannot go over the limit.
    pub(crate) fn take_slot(&self, kind: WorkKind) {
        self.take_slots(kind, 1);
    }

    pub(super) fn take_slots(&self, kind: WorkKind, slots: u32) {
        self.out[kind as usize].fetch_add(slots, Ordering::AcqRel);
    }

    /// Gives a slot back and lets the stream look for more work.
    pub(crate) fn free_slot(&self, kind: WorkKind) {
        self.free_slots(kind, 1);
    }

    pub(super) fn free_slots(&self, kind: WorkKind, slots: u32) {
        self.out[kind as usize].fetch_sub(slots, Ordering::AcqRel);
        match &self.freed {
            None => self.waker.wake(),
            Some(freed) => freed(kind, slots),
        }
    }

    /// Announces a look for work. Comes before the look: whatever becomes ready after it wakes the stream.
    pub(crate) fn look(&self) {
        self.looking.store(true, Ordering::SeqCst);
    }

    pub(super) fn wake_if_looking(&self) {
        if self.looking.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    pub(crate) fn admits(&self, kind: WorkKind, class: &Class) -> bool {
        self.spec
            .filters
            .as_ref()
            .is_none_or(|filters| filters.admit(kind, class))
    }

    pub(crate) fn next_partition(&self) -> usize {
        self.next_partition.fetch_add(1, Ordering::Relaxed)
    }
}

impl Sessions {
    pub(crate) fn downgrade(&self) -> WeakSessions {
        WeakSessions(Arc::downgrade(&self.0))
    }

    /// Tells the registry which partitions have a replica here, whenever that changes.
    pub(crate) fn set_partitions(&self, partitions: Vec<Partition>) {
        *self.0.partitions.write() = partitions.into();
    }

    pub(crate) fn partitions(&self) -> Arc<[Partition]> {
        self.0.partitions.read().clone()
    }

    /// Opens a stream.
    #[must_use]
    pub fn open(&self, spec: SessionSpec) -> Session {
        let state = self.new_state(spec, None);
        let mut by_hub = self.0.by_hub.write();
        let takers = by_hub.entry(state.spec.hub).or_default();
        takers.streams.push(state.clone());
        drop(by_hub);
        let elsewhere = self.0.elsewhere.get();
        Session {
            outlook: elsewhere.map(|elsewhere| elsewhere.open(Taker::new(&state))),
            state,
            sessions: self.clone(),
            claimed: VecDeque::new(),
            pause: None,
        }
    }

    pub(super) fn new_state(&self, spec: SessionSpec, freed: Option<Freed>) -> Arc<SessionState> {
        Arc::new(SessionState {
            id: self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            waker: AtomicWaker::new(),
            looking: AtomicBool::new(false),
            out: Default::default(),
            next_partition: AtomicUsize::new(0),
            inbox: Inbox::default(),
            freed,
            spec,
        })
    }

    /// Answers whether it was not set before.
    pub(super) fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) -> bool {
        self.0.elsewhere.set(elsewhere).is_ok()
    }

    pub(super) fn add_watch(&self, watch: Arc<WatchState>) {
        let mut by_hub = self.0.by_hub.write();
        by_hub.entry(watch.hub).or_default().watches.push(watch);
    }

    pub(super) fn unwatch(&self, watch: &Arc<WatchState>) {
        self.remove(watch.hub, |takers| {
            takers.watches.retain(|other| !Arc::ptr_eq(other, watch));
        });
    }

    fn remove(&self, hub: HubId, remove: impl FnOnce(&mut Takers)) {
        let mut by_hub = self.0.by_hub.write();
        if let Some(takers) = by_hub.get_mut(&hub) {
            remove(takers);
            if takers.is_empty() {
                by_hub.remove(&hub);
            }
        }
    }

    pub(crate) fn close(&self, state: &Arc<SessionState>) {
        self.remove(state.spec.hub, |takers| {
            takers.streams.retain(|other| other.id != state.id);
        });
        for partition in self.partitions().iter() {
            partition.session_lost(state.id);
        }
    }

    /// Stops handing out work on every stream; each ends when nothing is out on it any more.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        let by_hub = self.0.by_hub.read();
        for state in by_hub.values().flat_map(|takers| &takers.streams) {
            state.waker.wake();
        }
    }

    /// Whether [`Sessions::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Items out on all streams.
    #[must_use]
    pub fn out(&self) -> u64 {
        let by_hub = self.0.by_hub.read();
        let streams = by_hub.values().flat_map(|takers| &takers.streams);
        streams.map(|state| u64::from(state.out())).sum()
    }

    /// Wakes the streams that look for work, take this class and have a slot free.
    ///
    /// All of them: one may be stuck on a connection that is not read, and would keep the item from the others. A
    /// stuck stream is woken once, since it looks no further until its connection moves.
    pub(crate) fn wake_for(&self, hub: HubId, kind: WorkKind, class: &Class) {
        let by_hub = self.0.by_hub.read();
        let Some(takers) = by_hub.get(&hub) else {
            return;
        };
        for state in &takers.streams {
            if state.free(kind) > 0 && state.admits(kind, class) {
                state.wake_if_looking();
            }
        }
        for watch in &takers.watches {
            watch.wake(kind, class);
        }
    }

    /// How many streams of the hub have a slot free: what is ready is shared among them. Those of other nodes, who come
    /// for what is left, are not counted.
    pub(crate) fn takers(&self, hub: HubId, kind: WorkKind) -> u32 {
        self.count_takers(hub, kind, |_| 0)
    }

    /// The same, and the nodes that want more than they were given.
    pub(super) fn takers_anywhere(&self, hub: HubId, kind: WorkKind) -> u32 {
        self.count_takers(hub, kind, |watches| {
            let hungry = watches.iter().filter(|watch| watch.is_hungry(kind));
            hungry.count()
        })
    }

    fn count_takers(
        &self,
        hub: HubId,
        kind: WorkKind,
        others: impl FnOnce(&[Arc<WatchState>]) -> usize,
    ) -> u32 {
        let by_hub = self.0.by_hub.read();
        let count = by_hub.get(&hub).map_or(0, |takers| {
            let free = takers.streams.iter().filter(|state| state.free(kind) > 0);
            free.count() + others(&takers.watches)
        });
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    }
}
