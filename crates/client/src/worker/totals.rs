//! What a worker has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Orchestration work items answered.
    pub turns: u64,
    /// Activity work items answered.
    pub activities: u64,
    /// Work items given back or given up.
    pub unanswered: u64,
    /// Work-item streams opened.
    pub streams: u64,
}

impl Totals {
    /// Work items answered, of any kind.
    pub fn work_items(&self) -> u64 {
        self.turns + self.activities
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) turns: AtomicU64,
    pub(super) activities: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) streams: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Totals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            turns: count(&self.turns),
            activities: count(&self.activities),
            unanswered: count(&self.unanswered),
            streams: count(&self.streams),
        }
    }
}

pub(super) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
