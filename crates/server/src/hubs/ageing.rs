//! Purges ended instances when their time has come: a pass over every task hub, again and again.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_partition::RetentionPolicy;
use longhaul_types::HubId;
use tokio::sync::watch;

use super::HubRegistry;

/// Between two passes: what "as soon as possible" means. A pass that finds nothing reads one index entry per final
/// status and partition.
const PASS_INTERVAL: Duration = Duration::from_secs(5);

/// Calls `purge` for every task hub, with the ages that hold then; never returns.
pub(crate) async fn run<P, E>(hubs: Arc<HubRegistry>, purge: impl Fn(HubId, RetentionPolicy) -> P)
where
    P: Future<Output = Result<u64, E>>,
    E: fmt::Display,
{
    let policies: watch::Receiver<RetentionPolicy> = hubs.retention();
    loop {
        tokio::time::sleep(PASS_INTERVAL).await;
        for (hub, name) in hubs.list() {
            let policy = policies.borrow().clone();
            match purge(hub, policy).await {
                Ok(0) => {}
                Ok(count) => {
                    tracing::debug!(
                        hub = name.as_str(),
                        count,
                        "purged instances past their age"
                    );
                }
                Err(error) => {
                    tracing::debug!(hub = name.as_str(), %error, "ageing instances are purged later");
                }
            }
        }
    }
}
