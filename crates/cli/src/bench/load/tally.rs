//! What the runners saw, counted.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hdrhistogram::Histogram;

use super::window::Window;

/// Latencies are kept from 1 µs to one hour with three significant digits.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Kinds of failure kept apart; the rest is counted together.
const KINDS_MAX: usize = 32;
const OTHER_KINDS: &str = "other";

/// Why one orchestration did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bench) struct Failure {
    /// Short and without ids: failures are counted by it.
    pub(in crate::bench) kind: String,
}

/// The sums of a run.
#[derive(Debug, Clone)]
pub(in crate::bench) struct Tally {
    /// Finished well within the window, whenever they started.
    pub(in crate::bench) completed: u64,
    /// Of those whose intended start lies within the window, µs.
    pub(in crate::bench) latency_us: Histogram<u64>,
    /// By kind, over the whole run.
    pub(in crate::bench) failures: BTreeMap<String, u64>,
    /// Begun and neither well nor badly finished, or never begun although due.
    pub(in crate::bench) unfinished: u64,
}

/// Where all runners count.
#[derive(Debug)]
pub(super) struct Recorder {
    window: Window,
    tally: Mutex<Tally>,
}

impl Recorder {
    pub(super) fn new(window: Window) -> Self {
        let latency_us =
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order");
        let tally = Tally {
            completed: 0,
            latency_us,
            failures: BTreeMap::new(),
            unfinished: 0,
        };
        Self {
            window,
            tally: Mutex::new(tally),
        }
    }

    pub(super) fn begun(&self) {
        self.lock().unfinished += 1;
    }

    pub(super) fn succeeded(&self, intended: Instant, finished: Instant) {
        let mut tally = self.lock();
        tally.unfinished -= 1;
        if self.window.contains(finished) {
            tally.completed += 1;
        }
        if self.window.contains(intended) {
            let latency = finished.saturating_duration_since(intended).as_micros();
            tally
                .latency_us
                .saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn failed(&self, failure: Failure) {
        let mut tally = self.lock();
        tally.unfinished -= 1;
        let known = tally.failures.contains_key(&failure.kind) || tally.failures.len() < KINDS_MAX;
        *tally
            .failures
            .entry(if known {
                failure.kind
            } else {
                OTHER_KINDS.to_owned()
            })
            .or_default() += 1;
    }

    /// The sums, with `untaken` arrivals that nobody began.
    pub(super) fn finish(&self, untaken: u64) -> Tally {
        let mut tally = self.lock().clone();
        tally.unfinished += untaken;
        tally
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn latency_counts_by_intended_start_and_throughput_by_finish() {
        let window = Window::starting_now(Duration::from_secs(10), Duration::from_secs(10));
        let recorder = Recorder::new(window);
        let at = |seconds| window.load + Duration::from_secs(seconds);
        for (intended, finished) in [(1, 2), (9, 11), (12, 15), (19, 25)] {
            recorder.begun();
            recorder.succeeded(at(intended), at(finished));
        }
        let tally = recorder.finish(0);
        assert_eq!(
            (tally.completed, tally.latency_us.len(), tally.unfinished),
            (2, 2, 0)
        );
        for (quantile, seconds) in [(0.0, 3), (0.5, 3), (1.0, 6)] {
            let recorded = tally.latency_us.value_at_quantile(quantile);
            assert!(
                tally.latency_us.equivalent(recorded, seconds * 1_000_000),
                "{quantile}: {recorded}"
            );
        }
    }

    #[test]
    fn failures_and_the_unfinished_are_kept_apart() {
        let recorder = Recorder::new(Window::starting_now(Duration::ZERO, Duration::from_secs(1)));
        for kind in ["timeout", "timeout", "lost"] {
            recorder.begun();
            recorder.failed(Failure {
                kind: kind.to_owned(),
            });
        }
        recorder.begun();
        let tally = recorder.finish(5);
        assert_eq!(
            tally.failures,
            BTreeMap::from([("timeout".to_owned(), 2), ("lost".to_owned(), 1)])
        );
        assert_eq!((tally.completed, tally.unfinished), (0, 6));
    }

    #[test]
    fn kinds_are_bounded() {
        let recorder = Recorder::new(Window::starting_now(Duration::ZERO, Duration::from_secs(1)));
        for nth in 0..100 {
            recorder.begun();
            recorder.failed(Failure {
                kind: format!("kind {nth}"),
            });
        }
        let tally = recorder.finish(0);
        assert_eq!(tally.failures.len(), KINDS_MAX + 1);
        assert_eq!(tally.failures[OTHER_KINDS], 100 - KINDS_MAX as u64);
    }
}
