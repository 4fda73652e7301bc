//! Deletes what has been ended for long enough.

use longhaul_engine::Status;
use longhaul_engine::query::{EndedFilter, Span, StatusSet};
use longhaul_types::HubId;

use super::RetentionPolicy;
use crate::errors::ProposeError;
use crate::partitions::Partitions;

impl Partitions {
    /// Deletes the ended instances of a task hub whose time has come, in the partitions that are led here; answers how
    /// many there were.
    ///
    /// # Errors
    /// [`ProposeError`]: what was not deleted is found again the next time.
    pub async fn purge_aged(
        &self,
        hub: HubId,
        policy: &RetentionPolicy,
    ) -> Result<u64, ProposeError> {
        let mut deleted = 0;
        for status in StatusSet::ALL.terminal().iter() {
            let Some(age) = policy.age(hub, status) else {
                continue;
            };
            for partition in self.all_hosted() {
                if !partition.leadership().borrow().is_leader {
                    continue;
                }
                let before = partition.shared.clock.now() - age;
                let filter = aged(hub, status, before);
                deleted += partition.purge_ended(&filter, || true).await?;
            }
        }
        Ok(deleted)
    }
}

fn aged(hub: HubId, status: Status, before: longhaul_types::Timestamp) -> EndedFilter {
    EndedFilter {
        hub,
        statuses: StatusSet::NONE.with(status),
        completed: Span {
            from: None,
            to: Some(before),
        },
    }
}
