//! What rows do not hold yet, as rows: the changes of one generation up to a moment.
//!
//! ```text
//!   look ─► look ─► look        each version: what it adds to the one before, pointers only
//!    │       │       └─ pending      … until it is searched
//!    └─ layer└─ layer           then a layer, which shares with the one before what did not change
//! ```
//!
//! A version is made under the partition's lock, and becomes a layer on the thread that searches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhaul_engine::key::InstanceKey;
use parking_lot::Mutex;

use super::sorted::Sorted;
use crate::keys;
use crate::tables::record::{Derived, Record};

/// A record that changed; `None` is one removed.
pub(in crate::tables) type Change = (InstanceKey, Option<Record>);

/// The rows that a checkpoint of these changes would write; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Layer {
    /// By the key of the record's row.
    pub(super) records: Sorted<Change>,
    /// Index entries of these records.
    pub(super) entries: Sorted<()>,
}

/// The changes of a generation up to some moment.
pub(in crate::tables) struct Version {
    /// How many versions up to this one have not become layers.
    pending: AtomicUsize,
    state: Mutex<State>,
}

enum State {
    Pending {
        before: Option<Arc<Version>>,
        changes: Vec<Change>,
    },
    Layer(Layer),
}

/// After so many versions in a row that nobody has searched yet, the next one stands alone.
const PENDING_MAX: usize = 64;

impl FromIterator<Change> for Layer {
    /// Of changes of which each has a key of its own.
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        let mut entries = Vec::new();
        let records = changes.into_iter().map(|(key, record)| {
            if let Some(record) = &record {
                entries.extend(
                    Derived::of(record)
                        .index_entries(&key)
                        .map(|entry| (entry, ())),
                );
            }
            (keys::instance::record(&key), (key, record))
        });
        Self {
            records: records.collect(),
            entries: entries.into_iter().collect(),
        }
    }
}

impl Layer {
    fn with(mut self, changes: impl Iterator<Item = Change>) -> Self {
        changes.for_each(|change| self.put(change));
        self
    }

    fn put(&mut self, (key, record): Change) {
        let after = record.as_ref().map(Derived::of);
        let replaced = self
            .records
            .put(&keys::instance::record(&key), (key.clone(), record));
        let before = replaced.and_then(|(_, record)| record.as_ref().map(Derived::of));
        if before == after {
            return;
        }
        let entries = |derived: Option<Derived>| {
            let derived = derived.into_iter();
            derived.flat_map(|derived| derived.index_entries(&key))
        };
        entries(before).for_each(|entry| self.entries.remove(&entry));
        for entry in entries(after) {
            self.entries.put(&entry, ());
        }
    }
}

impl Version {
    /// What `changes` add to `before`.
    pub(in crate::tables) fn new(before: Option<Arc<Self>>, changes: Vec<Change>) -> Arc<Self> {
        let behind = before.as_ref().map_or(0, |before| before.pending());
        Arc::new(Self {
            pending: AtomicUsize::new(behind + 1),
            state: Mutex::new(State::Pending { before, changes }),
        })
    }

    /// Whether another version may be based on this one.
    pub(in crate::tables) fn may_go_on(&self) -> bool {
        self.pending() < PENDING_MAX
    }

    /// How many changes it has to itself, before it is a layer.
    #[cfg(test)]
    pub(in crate::tables) fn changes(&self) -> usize {
        match &*self.state.lock() {
            State::Pending { changes, .. } => changes.len(),
            State::Layer(_) => 0,
        }
    }

    fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// The version as a layer; costs what its changes and those of pending ones before it are.
    pub(super) fn layer(&self) -> Layer {
        let mut state = self.state.lock();
        let layer = match &mut *state {
            State::Layer(layer) => return layer.clone(),
            State::Pending { before, changes } => {
                let changes = std::mem::take(changes).into_iter();
                match before.take() {
                    Some(before) => before.layer().with(changes),
                    None => changes.collect(),
                }
            }
        };
        *state = State::Layer(layer.clone());
        self.pending.store(0, Ordering::Relaxed);
        layer
    }
}
