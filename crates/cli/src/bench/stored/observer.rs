//! One caller that repeats a call at an even pace and notes how long each took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::sleep_until;

use crate::bench::load::{Failure, Latency, Window};

/// Calls are kept from 1 µs to one hour with three significant digits.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Calls within the window.
#[derive(Debug, Default)]
pub(super) struct Samples {
    us: BTreeMap<&'static str, Histogram<u64>>,
    failures: BTreeMap<String, u64>,
}

/// The same, as reported.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Calls {
    /// By kind of call, ms.
    pub(super) latency_ms: BTreeMap<&'static str, Latency>,
    /// What went wrong, over the whole time.
    pub(super) failures: BTreeMap<String, u64>,
}

/// Calls `per_s` times a second, or as soon as the last call has returned if that is later, until the window is over.
///
/// `once` tells the kind of its call. Time counts from the beginning of the call: there is one caller, and it does not call
/// while it waits.
pub(super) async fn repeat(
    window: Window,
    per_s: f64,
    mut once: impl AsyncFnMut() -> (&'static str, Result<(), Failure>),
) -> Samples {
    let interval = Duration::from_secs_f64(1.0 / per_s);
    let mut samples = Samples::default();
    let mut due = Instant::now();
    loop {
        sleep_until(due.into()).await;
        let begun = Instant::now();
        if window.is_over(begun) {
            return samples;
        }
        let (kind, outcome) = once().await;
        match outcome {
            Ok(()) if window.contains(begun) => samples.took(kind, begun.elapsed()),
            Ok(()) => {}
            Err(failure) => *samples.failures.entry(failure.kind).or_default() += 1,
        }
        due = (due + interval).max(Instant::now());
    }
}

impl Samples {
    fn took(&mut self, kind: &'static str, time: Duration) {
        let empty = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("they are in order");
        self.us
            .entry(kind)
            .or_insert_with(empty)
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn report(&self) -> Calls {
        Calls {
            latency_ms: self
                .us
                .iter()
                .map(|(kind, us)| (*kind, Latency::of(us)))
                .collect(),
            failures: self.failures.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::failure;

    #[tokio::test]
    async fn kinds_and_failures_are_kept_apart() {
        let window = Window::starting_now(Duration::ZERO, Duration::from_millis(100));
        let mut nth = 0;
        let samples = repeat(window, 1e6, async || {
            nth += 1;
            match nth % 3 {
                0 => ("third", Err(failure("no"))),
                1 => ("first", Ok(())),
                _ => ("second", Ok(())),
            }
        })
        .await;
        let calls = samples.report();
        let kinds: Vec<&str> = calls.latency_ms.keys().copied().collect();
        assert_eq!(kinds, ["first", "second"]);
        let counted: u64 = calls.latency_ms.values().map(|latency| latency.count).sum();
        assert_eq!(counted + calls.failures["no"], nth);
    }

    #[tokio::test]
    async fn calls_outside_the_window_are_made_but_not_counted() {
        let window = Window::starting_now(Duration::from_millis(20), Duration::ZERO);
        let mut calls = 0;
        let samples = repeat(window, 1e6, async || {
            calls += 1;
            ("any", Ok(()))
        })
        .await;
        assert!(calls > 0);
        assert!(samples.report().latency_ms.is_empty());
    }

    #[tokio::test]
    async fn the_pace_is_kept() {
        let window = Window::starting_now(Duration::ZERO, Duration::from_millis(95));
        let mut calls = 0;
        repeat(window, 100.0, async || {
            calls += 1;
            ("any", Ok(()))
        })
        .await;
        assert!((1..=10).contains(&calls), "{calls}");
    }
}
