//! How many items wait in a partition, readable without its lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::WorkKind;

/// Waiting items by kind. Clones share the counts.
///
/// Sequentially consistent: a stream announces its look and then reads these; whoever adds an item counts it and then
/// reads the announcement. One of the two must see the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready(Arc<[AtomicUsize; 3]>);

impl Ready {
    pub(crate) fn count(&self, kind: WorkKind) -> usize {
        self.0[kind as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self, kind: WorkKind) {
        self.0[kind as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn subtract(&self, kind: WorkKind, items: usize) {
        self.0[kind as usize].fetch_sub(items, Ordering::SeqCst);
    }

    pub(crate) fn clear(&self) {
        for count in &*self.0 {
            count.store(0, Ordering::SeqCst);
        }
    }
}
