//! When the next orchestration is to start.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::window::Window;

/// Hands out intended starts until the window ends. Shared by all runners.
#[derive(Debug)]
pub(in crate::bench) struct Pace {
    window: Window,
    supply: Supply,
}

#[derive(Debug)]
enum Supply {
    /// Whenever a runner is free.
    Endless,
    /// The same, but so many in all.
    Counted {
        count: u64,
        taken: AtomicU64,
    },
    Arrivals(Arrivals),
}

/// Evenly spaced arrivals that come whether or not anyone is free to serve them.
#[derive(Debug)]
struct Arrivals {
    per_second: f64,
    taken: AtomicU64,
}

impl Pace {
    /// A runner starts its next one as soon as it is free.
    pub(in crate::bench) fn closed(window: Window) -> Self {
        Self {
            window,
            supply: Supply::Endless,
        }
    }

    /// The same, until `count` have been started.
    pub(in crate::bench) fn counted(count: u64) -> Self {
        Self {
            window: Window::until_done(),
            supply: Supply::Counted {
                count,
                taken: AtomicU64::new(0),
            },
        }
    }

    /// `per_second` arrivals a second. A late runner takes the oldest arrival that nobody took yet and keeps its
    /// intended start, so that waiting for a slow server counts as latency instead of slowing the load down
    /// ("coordinated omission").
    pub(in crate::bench) fn open(window: Window, per_second: f64) -> Self {
        Self {
            window,
            supply: Supply::Arrivals(Arrivals {
                per_second,
                taken: AtomicU64::new(0),
            }),
        }
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// The intended start of the next one for a runner that is free at `now`; `None` when the load is over.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let intended = match &self.supply {
            Supply::Endless => now,
            Supply::Counted { count, taken } => {
                let is_left = taken.fetch_add(1, Ordering::Relaxed) < *count;
                return is_left.then_some(now);
            }
            Supply::Arrivals(arrivals) => {
                self.window.load + arrivals.offset(arrivals.taken.fetch_add(1, Ordering::Relaxed))
            }
        };
        (!self.window.is_over(intended)).then_some(intended)
    }

    /// Arrivals due within the load that no runner has taken.
    pub(super) fn untaken(&self) -> u64 {
        match (&self.supply, self.window.end) {
            (Supply::Arrivals(arrivals), Some(end)) => {
                let load = end - self.window.load;
                let due = (load.as_secs_f64() * arrivals.per_second).ceil() as u64;
                due.saturating_sub(arrivals.taken.load(Ordering::Relaxed))
            }
            _ => 0,
        }
    }
}

impl Arrivals {
    fn offset(&self, nth: u64) -> Duration {
        Duration::from_secs_f64(nth as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_closed_loop_starts_when_free() {
        let window = Window::starting_now(seconds(1), seconds(2));
        let pace = Pace::closed(window);
        for (after, expected) in [(0, true), (1, true), (2, true), (3, false), (4, false)] {
            let now = window.load + seconds(after);
            assert_eq!(pace.next(now), expected.then_some(now), "after {after} s");
        }
        assert_eq!(pace.untaken(), 0);
    }

    #[test]
    fn a_counted_loop_starts_so_many_and_no_more() {
        let pace = Pace::counted(3);
        let late = pace.window().load + seconds(1_000);
        let starts: Vec<_> = (0..5).map(|_| pace.next(late)).collect();
        assert_eq!(starts, [Some(late), Some(late), Some(late), None, None]);
        assert_eq!(pace.untaken(), 0);
    }

    #[test]
    fn an_open_loop_keeps_its_schedule_however_late_the_runners_are() {
        let window = Window::starting_now(seconds(1), seconds(1));
        let pace = Pace::open(window, 2.0);
        let late = window.load + seconds(102);
        assert_eq!(pace.untaken(), 4);
        for nth in 0..4 {
            assert_eq!(
                pace.next(late),
                Some(window.load + Duration::from_millis(500 * nth)),
                "arrival {nth}"
            );
        }
        assert_eq!(pace.next(window.load), None, "no arrival after the end");
        assert_eq!(pace.untaken(), 0);
    }
}
