//! The end of a completion that has begun, however it ends.

use std::sync::Arc;

use crate::core::Shared;
use crate::dispatch::{LeaseId, Settled};

/// Held from the moment an answer is accepted for a delivery. Dropped without [`Settling::over`], because the command
/// had no outcome or whoever waited for it has gone, it leaves the delivery standing: should the command be committed
/// after all, that ends it.
pub(crate) struct Settling {
    shared: Arc<Shared>,
    lease: LeaseId,
    settled: Settled,
}

impl Settling {
    pub(crate) fn new(shared: Arc<Shared>, lease: LeaseId) -> Self {
        Self {
            shared,
            lease,
            settled: Settled::Unknown,
        }
    }

    /// The answer was committed, or found stale.
    pub(crate) fn over(mut self) {
        self.settled = Settled::Over;
    }
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "settling {:?}", self.lease)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let (lease, settled) = (self.lease, self.settled);
        self.shared.with_leader(|leader, tables, wakes| {
            let again = leader.dispatcher.settle(lease, settled);
            wakes.work.extend(leader.dispatcher.take_woken());
            again.map_or(Ok(()), |key| leader.reconsider(tables, &key, now, wakes))
        });
    }
}
