//! How long nothing was done: gaps between acknowledgements, and what many of them come to.

use std::time::Duration;

/// The longest time without an acknowledgement that ends after `from` and begins before `until`.
///
/// All times count from the same beginning; `acknowledged` is in order. None if there was no acknowledgement after
/// `from`: then it has not recovered.
pub fn longest_gap(acknowledged: &[Duration], from: Duration, until: Duration) -> Option<Duration> {
    let first_after = acknowledged.partition_point(|at| *at < from);
    if first_after == acknowledged.len() {
        return None;
    }
    let begin = first_after.saturating_sub(1);
    let gaps = acknowledged[begin..].windows(2);
    let within = gaps.take_while(|gap| gap[0] < until);
    let longest = within.map(|gap| gap[1] - gap[0]).max();
    // The first of all acknowledgements ends no gap but the one since the fault.
    Some(longest.unwrap_or(acknowledged[first_after].saturating_sub(from)))
}

/// What many durations come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub count: usize,
    /// The median.
    pub p50: Duration,
    /// What one in a hundred is above.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Summary {
    /// None of none.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort();
        let max = *durations.last()?;
        Some(Self {
            count: durations.len(),
            p50: rank(&durations, 50),
            p99: rank(&durations, 99),
            max,
        })
    }
}

/// The smallest that so many percent do not exceed.
fn rank(sorted: &[Duration], percent: usize) -> Duration {
    let nth = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[nth - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(all: &[u64]) -> Vec<Duration> {
        all.iter().copied().map(Duration::from_millis).collect()
    }

    fn gap(acknowledged: &[u64], from: u64, until: u64) -> Option<u128> {
        let [from, until] = [from, until].map(Duration::from_millis);
        longest_gap(&millis(acknowledged), from, until).map(|gap| gap.as_millis())
    }

    #[test]
    fn the_gap_around_the_fault_is_found() {
        let acknowledged = [0, 10, 20, 500, 510, 900, 910];
        assert_eq!(gap(&acknowledged, 25, 100), Some(480));
        assert_eq!(gap(&acknowledged, 15, 905), Some(480));
        assert_eq!(gap(&acknowledged, 505, 905), Some(390));
        assert_eq!(gap(&acknowledged, 911, 1_000), None);
        assert_eq!(gap(&[], 0, 10), None);
        assert_eq!(gap(&[400], 100, 200), Some(300));
    }

    #[test]
    fn gaps_before_and_after_do_not_count() {
        let acknowledged = [0, 1_000, 1_010, 1_020, 5_000];
        assert_eq!(gap(&acknowledged, 1_005, 1_015), Some(10));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let all: Vec<u64> = (1..=200).rev().collect();
        let summary = Summary::of(millis(&all)).expect("some");
        assert_eq!(summary.p50.as_millis(), 100);
        assert_eq!(summary.p99.as_millis(), 198);
        assert_eq!(summary.max.as_millis(), 200);
        let one = Summary::of(millis(&[7])).expect("some");
        assert_eq!((one.p50, one.p99, one.max), (one.max, one.max, one.max));
        assert_eq!(Summary::of(vec![]), None);
    }
}
