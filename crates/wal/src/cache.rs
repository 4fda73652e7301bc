//! Which payloads stay in memory: those of the newest entries of all groups together, up to a
//! budget in bytes.
//!
//! Only durable entries are ever evicted. Entries that were purged or truncated keep counting until
//! their turn comes, which is soon, because the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::view::Group;

/// Consecutive entries of one append.
#[derive(Debug)]
struct Run {
    group: Arc<Group>,
    first: u64,
    last: u64,
    bytes: u64,
}

/// The payloads in memory, oldest first.
#[derive(Debug)]
pub(crate) struct Cache {
    budget_bytes: u64,
    bytes: u64,
    runs: VecDeque<Run>,
}

impl Cache {
    pub(crate) fn new(budget_bytes: u64) -> Cache {
        Cache {
            budget_bytes,
            bytes: 0,
            runs: VecDeque::new(),
        }
    }

    /// Counts entries `first..=last`, durable since now, and evicts older ones that no longer fit.
    pub(crate) fn keep(&mut self, group: Arc<Group>, first: u64, last: u64, bytes: u64) {
        self.bytes += bytes;
        self.runs.push_back(Run {
            group,
            first,
            last,
            bytes,
        });
        while self.bytes > self.budget_bytes
            && let Some(run) = self.runs.pop_front()
        {
            self.bytes -= run.bytes;
            run.group.evict(run.first, run.last);
        }
    }
}
