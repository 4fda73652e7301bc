//! What workers do with batches of entity operations.

use std::sync::Arc;

use longhaul_engine::batch::{BatchAnswer, Verdict, decide, give_up, unexplained_failure};
use longhaul_engine::{Command, TableFault};

use crate::clock::fresh_execution;
use crate::dispatch::{AbandonDelay, BatchLease, LeaseId};
use crate::errors::ProposeError;
use crate::partition::Partition;
use crate::settling::Settling;

impl Partition {
    /// The batch that is out under a delivery; it counts as being committed for as long as the answer lives.
    #[must_use]
    pub fn batch_lease(&self, lease: LeaseId) -> Option<BatchLease> {
        let context = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.begin_batch(lease)))??;
        Some(BatchLease {
            context,
            id: lease,
            settling: Settling::new(self.shared.clone(), lease),
        })
    }

    /// Commits a worker's answer to a batch. An answer that is not wanted any more changes nothing; one by which nothing
    /// was done gives the batch back, and too many in a row that say a worker could not run it fail the operations.
    ///
    /// # Errors
    /// [`ProposeError`]: the delivery stands, and the same answer may be sent again.
    pub async fn complete_batch(
        &self,
        lease: BatchLease,
        answer: BatchAnswer,
    ) -> Result<(), ProposeError> {
        let at = self.shared.clock.now();
        let randomness = self.shared.randomness.clone();
        let verdict = decide(&lease.context, answer, at, &mut || {
            fresh_execution(&*randomness)
        });
        let batch = match verdict {
            Verdict::Commit(batch) => batch,
            Verdict::Again => return self.give_back(lease, AbandonDelay::None),
            Verdict::Later(failure) => {
                if !self.is_hopeless(&lease) {
                    return self.give_back(lease, AbandonDelay::Backoff);
                }
                let failure = failure.unwrap_or_else(unexplained_failure);
                Box::new(give_up(&lease.context, &failure, at))
            }
        };
        self.propose(Command::CompleteBatch(batch)).await?;
        lease.settling.over();
        Ok(())
    }

    fn give_back(&self, lease: BatchLease, delay: AbandonDelay) -> Result<(), ProposeError> {
        let id = lease.id;
        drop(lease);
        self.abandon(id, delay);
        Ok(())
    }

    /// Counts the failure; answers whether it was one too many.
    fn is_hopeless(&self, lease: &BatchLease) -> bool {
        let context = Arc::clone(&lease.context);
        let failures = self.shared.with_leader(|leader, _, _| {
            Ok::<_, TableFault>(leader.dispatcher.count_failure(&context.key))
        });
        failures.is_some_and(|failures| failures >= self.shared.config.batch_failures_max)
    }
}
