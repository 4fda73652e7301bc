//! What a backup needs of a partition: its state as of one moment, and that nothing is shipped to others meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use longhaul_storage::RowsView;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::checkpoint;
use crate::errors::ReadError;
use crate::partition::Partition;

/// Whether the outbox ships, and what it ships now.
pub(crate) struct Shipping {
    held_until: watch::Sender<Option<Instant>>,
    /// Counted before the hold is looked at: whoever holds sees either of the two.
    under_way: AtomicUsize,
}

/// One delivery, from before it is sent until its outcome is known or given up.
pub(crate) struct UnderWay<'a>(&'a Shipping);

impl Shipping {
    pub(crate) fn new() -> Self {
        Self {
            held_until: watch::Sender::new(None),
            under_way: AtomicUsize::new(0),
        }
    }

    /// Begins a delivery, once none is held up any more.
    pub(crate) async fn begin(&self) -> UnderWay<'_> {
        loop {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let under_way = UnderWay(self);
            let held = *self.held_until.borrow();
            let Some(until) = held.filter(|until| *until > Instant::now()) else {
                return under_way;
            };
            drop(under_way);
            let mut hold = self.held_until.subscribe();
            if *hold.borrow_and_update() != held {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                _ = hold.changed() => {}
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Partition {
    /// Ships nothing to other partitions until then, instead of what was said before. Holds whether or not this replica
    /// leads, so that it outlasts a change of leaders.
    pub fn hold_shipping(&self, until: Instant) {
        self.shared.shipping.held_until.send_replace(Some(until));
    }

    /// Deliveries to other partitions that have begun and not ended.
    #[must_use]
    pub fn shipping(&self) -> usize {
        self.shared.shipping.under_way.load(Ordering::SeqCst)
    }

    /// The partition's rows, including everything acknowledged before the call. What is applied while it is being answered
    /// may be in them, entry by entry.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn pin(&self) -> Result<Box<dyn RowsView>, ReadError> {
        self.barrier().await?;
        let _turn = self.shared.checkpointing.lock().await;
        let written = checkpoint::write(&self.shared, &self.group).await;
        written.map_err(|_| ReadError::Unavailable("the partition has stopped"))??;
        let rows = self.shared.core.lock().tables.rows().clone();
        Ok(rows.view()?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    fn hold(shipping: &Shipping, time: Duration) {
        shipping
            .held_until
            .send_replace(Some(Instant::now() + time));
    }

    fn under_way(shipping: &Shipping) -> usize {
        shipping.under_way.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_while_it_is_held() {
        let shipping = Shipping::new();
        let first = shipping.begin().now_or_never().expect("nothing holds it");
        assert_eq!(under_way(&shipping), 1);
        hold(&shipping, Duration::from_secs(5));
        drop(first);
        let began = Instant::now();
        let mut second = Box::pin(shipping.begin());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(under_way(&shipping), 0);
        let _second = second.await;
        assert!(began.elapsed() >= Duration::from_secs(5));
        assert_eq!(under_way(&shipping), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_is_prolonged_and_ended() {
        let shipping = Shipping::new();
        hold(&shipping, Duration::from_secs(1));
        let began = Instant::now();
        let mut held = Box::pin(shipping.begin());
        assert!(held.as_mut().now_or_never().is_none());
        hold(&shipping, Duration::from_secs(60));
        let soon = tokio::time::timeout(Duration::from_secs(2), held.as_mut()).await;
        assert!(soon.is_err());
        hold(&shipping, Duration::ZERO);
        held.await;
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}
