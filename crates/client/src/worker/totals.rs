//! What a worker has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Orchestration work items answered.
    pub turns: u64,
    /// Activity work items answered.
    pub activities: u64,
    /// Entity work items answered.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// Turns that came, and were decided, without their history.
    pub without_history: u64,
    /// Work items given back or given up.
    pub unanswered: u64,
    /// Work-item streams opened.
    pub streams: u64,
}

impl Totals {
    /// Work items answered, of any kind.
    pub fn work_items(&self) -> u64 {
        self.turns + self.activities + self.batches
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) turns: AtomicU64,
    pub(super) activities: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) operations: AtomicU64,
    pub(super) without_history: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) streams: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Totals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            turns: count(&self.turns),
            activities: count(&self.activities),
            batches: count(&self.batches),
            operations: count(&self.operations),
            without_history: count(&self.without_history),
            unanswered: count(&self.unanswered),
            streams: count(&self.streams),
        }
    }
}

pub(super) fn add_one(counter: &AtomicU64) {
    add(counter, 1);
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
