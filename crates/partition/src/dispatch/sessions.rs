//! The worker streams of this node, and who is woken when work becomes ready.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use futures::task::AtomicWaker;
use longhaul_types::HubId;
use parking_lot::RwLock;

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
    by_hub: RwLock<HashMap<HubId, Vec<Arc<SessionState>>>>,
    partitions: OnceLock<Vec<Partition>>,
    last_id: AtomicU64,
    draining: AtomicBool,
}

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
        self.out[kind as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// Gives a slot back and lets the stream look for more work.
    pub(crate) fn free_slot(&self, kind: WorkKind) {
        self.out[kind as usize].fetch_sub(1, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Announces a look for work. Comes before the look: whatever becomes ready after it wakes the stream.
    pub(crate) fn look(&self) {
        self.looking.store(true, Ordering::SeqCst);
    }

    fn wake_if_looking(&self) {
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

    /// Tells the registry which partitions are led here; once, before the first stream opens.
    pub(crate) fn serve(&self, partitions: Vec<Partition>) {
        assert!(
            self.0.partitions.set(partitions).is_ok(),
            "partitions are made known once"
        );
    }

    pub(crate) fn partitions(&self) -> &[Partition] {
        self.0.partitions.get().map_or(&[], Vec::as_slice)
    }

    /// Opens a stream.
    #[must_use]
    pub fn open(&self, spec: SessionSpec) -> Session {
        let state = Arc::new(SessionState {
            id: self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            waker: AtomicWaker::new(),
            looking: AtomicBool::new(false),
            out: Default::default(),
            next_partition: AtomicUsize::new(0),
            spec,
        });
        self.0
            .by_hub
            .write()
            .entry(state.spec.hub)
            .or_default()
            .push(state.clone());
        Session {
            state,
            sessions: self.clone(),
            claimed: VecDeque::new(),
            pause: None,
        }
    }

    pub(crate) fn close(&self, state: &Arc<SessionState>) {
        let mut by_hub = self.0.by_hub.write();
        if let Some(open) = by_hub.get_mut(&state.spec.hub) {
            open.retain(|other| other.id != state.id);
            if open.is_empty() {
                by_hub.remove(&state.spec.hub);
            }
        }
        drop(by_hub);
        for partition in self.partitions() {
            partition.session_lost(state.id);
        }
    }

    /// Stops handing out work on every stream; each ends when nothing is out on it any more.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        for state in self.0.by_hub.read().values().flatten() {
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
        self.0
            .by_hub
            .read()
            .values()
            .flatten()
            .map(|state| u64::from(state.out()))
            .sum()
    }

    /// Wakes the streams that look for work, take this class and have a slot free.
    ///
    /// All of them: one may be stuck on a connection that is not read, and would keep the item from the others. A
    /// stuck stream is woken once, since it looks no further until its connection moves.
    pub(crate) fn wake_for(&self, hub: HubId, kind: WorkKind, class: &Class) {
        let by_hub = self.0.by_hub.read();
        for state in by_hub.get(&hub).into_iter().flatten() {
            if state.free(kind) > 0 && state.admits(kind, class) {
                state.wake_if_looking();
            }
        }
    }

    /// How many streams of the hub have a slot free: what is ready is shared among them.
    pub(crate) fn takers(&self, hub: HubId, kind: WorkKind) -> u32 {
        let by_hub = self.0.by_hub.read();
        let takers = by_hub
            .get(&hub)
            .into_iter()
            .flatten()
            .filter(|state| state.free(kind) > 0);
        u32::try_from(takers.count()).unwrap_or(u32::MAX).max(1)
    }
}
