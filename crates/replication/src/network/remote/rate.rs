//! So many bytes in a second.

use std::{num::NonZeroU64, time::Duration};

use parking_lot::Mutex;
use tokio::time::{self, Instant};

/// Shared by all who send.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_second: Option<NonZeroU64>,
    /// When what was let through has had its time.
    free: Mutex<Option<Instant>>,
}

impl Rate {
    pub(super) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self {
            bytes_per_second,
            free: Mutex::new(None),
        }
    }

    /// Waits until these bytes may be sent. Dropped, it has used up their time all the same.
    pub(super) async fn take(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let turn = {
            let mut free = self.free.lock();
            let now = Instant::now();
            let turn = free.map_or(now, |free| free.max(now));
            *free = Some(turn + cost);
            turn
        };
        time::sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_senders_together_keep_to_the_rate() {
        let rate = Rate::new(NonZeroU64::new(1_000));
        let begun = Instant::now();
        join_all((0..4).map(|_| async {
            rate.take(500).await;
            rate.take(500).await;
        }))
        .await;
        // The last of eight waits for seven.
        assert_eq!(begun.elapsed(), Duration::from_millis(3_500));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let rate = Rate::new(NonZeroU64::new(1_000));
        rate.take(1).await;
        time::advance(Duration::from_secs(60)).await;
        let begun = Instant::now();
        for _ in 0..3 {
            rate.take(1_000).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let begun = Instant::now();
        Rate::new(None).take(usize::MAX).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
