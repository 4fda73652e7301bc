//! How long to wait before the next attempt to reach a node. Pure: times come in, times go out.

use std::time::Duration;

/// Waits between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The wait after the first failure, before jitter; it doubles with each further one.
    pub first: Duration,
    /// The longest wait, and the one after a refusal.
    pub longest: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

/// The waits of one series of attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    failures: u32,
    random: SplitMix,
}

impl Backoff {
    pub(crate) fn new(config: BackoffConfig, seed: u64) -> Self {
        Self {
            config,
            failures: 0,
            random: SplitMix(seed),
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait after another failure: between half of what is due and all of it, so that nodes
    /// that lost each other do not come back in step.
    pub(crate) fn failed(&mut self) -> Duration {
        let due = self
            .config
            .first
            .saturating_mul(1 << self.failures.min(20))
            .min(self.config.longest);
        self.failures = self.failures.saturating_add(1);
        self.jittered(due)
    }

    /// The wait after a refusal, which time alone seldom changes.
    pub(crate) fn refused(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.jittered(self.config.longest)
    }

    /// How long a link must live to count as a success.
    pub(crate) fn lasting(&self) -> Duration {
        self.config.longest
    }

    fn jittered(&mut self, due: Duration) -> Duration {
        let half = due / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(self.random.next() % nanos.max(1))
    }
}

/// Numbers that look random; the same for the same seed. After Steele, Lea and Flood, 2014.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BackoffConfig = BackoffConfig {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(1),
    };

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(CONFIG, 1);
        for due in [100, 200, 400, 800, 1_000, 1_000] {
            let due = Duration::from_millis(due);
            let wait = backoff.failed();
            assert!(wait >= due / 2 && wait <= due, "{wait:?} of {due:?}");
        }
        backoff.succeeded();
        assert!(backoff.failed() <= CONFIG.first);
    }

    #[test]
    fn a_refusal_waits_longest_at_once() {
        let mut backoff = Backoff::new(CONFIG, 1);
        assert!(backoff.refused() >= CONFIG.longest / 2);
    }

    #[test]
    fn any_number_of_failures_has_a_wait() {
        let mut backoff = Backoff::new(CONFIG, 1);
        for _ in 0..100 {
            assert!(backoff.failed() <= CONFIG.longest);
        }
    }

    #[test]
    fn seeds_decide_the_jitter() {
        let waits = |seed| {
            let mut backoff = Backoff::new(CONFIG, seed);
            [(); 8].map(|()| backoff.failed())
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
