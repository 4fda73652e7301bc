//! The part of a run that counts.

use std::time::{Duration, Instant};

/// From the end of the warm-up to the end of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) struct Window {
    /// When load begins.
    pub(super) load: Instant,
    /// When counting begins.
    pub(super) start: Instant,
    /// When load and counting end.
    pub(super) end: Instant,
}

impl Window {
    /// Load from now on, counted after `warmup` for `duration`.
    pub(in crate::bench) fn starting_now(warmup: Duration, duration: Duration) -> Self {
        let load = Instant::now();
        Self {
            load,
            start: load + warmup,
            end: load + warmup + duration,
        }
    }

    pub(super) fn contains(&self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}
