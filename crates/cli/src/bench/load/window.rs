//! The part of a run that counts.

use std::time::{Duration, Instant};

/// From the end of the warm-up to the end of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) struct Window {
    /// When load begins.
    pub(super) load: Instant,
    /// When counting begins.
    pub(super) start: Instant,
    /// When load and counting end; none if only the last of a fixed number ends them.
    pub(super) end: Option<Instant>,
}

impl Window {
    /// Load from now on, counted after `warmup` for `duration`.
    pub(in crate::bench) fn starting_now(warmup: Duration, duration: Duration) -> Self {
        let load = Instant::now();
        Self {
            load,
            start: load + warmup,
            end: Some(load + warmup + duration),
        }
    }

    /// Everything from now on counts.
    pub(in crate::bench) fn until_done() -> Self {
        let load = Instant::now();
        Self {
            load,
            start: load,
            end: None,
        }
    }

    pub(in crate::bench) fn contains(&self, at: Instant) -> bool {
        self.start <= at && !self.is_over(at)
    }

    pub(in crate::bench) fn is_over(&self, at: Instant) -> bool {
        self.end.is_some_and(|end| end <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_not_part_of_it() {
        let seconds = Duration::from_secs;
        let timed = Window::starting_now(seconds(2), seconds(3));
        let counted = Window::until_done();
        for (at, in_timed, over) in [
            (0, false, false),
            (2, true, false),
            (4, true, false),
            (5, false, true),
        ] {
            let moment = timed.load + seconds(at);
            assert_eq!(
                (timed.contains(moment), timed.is_over(moment)),
                (in_timed, over),
                "after {at} s"
            );
            let moment = counted.load + seconds(at);
            assert_eq!(
                (counted.contains(moment), counted.is_over(moment)),
                (true, false)
            );
        }
    }
}
