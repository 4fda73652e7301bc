//! Whether this node serves: told to probes over HTTP and to gRPC's health service alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use longhaul_partition::{Partition, Partitions};
use longhaul_proto::spliced::task_hub_sidecar_service_server::SERVICE_NAME;
use longhaul_routing::Router;
use tokio::time::Instant;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// For how long calls may have had no leader to go to; longer than they are held up, and than elections take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// The state that probes see. Clones share it; it begins as not ready.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    ready: Arc<AtomicBool>,
    grpc: HealthReporter,
}

impl Readiness {
    /// Not ready, also as far as `grpc` tells.
    pub(crate) async fn new(grpc: HealthReporter) -> Self {
        let readiness = Self {
            ready: Arc::new(AtomicBool::new(false)),
            grpc,
        };
        readiness.set(false).await;
        readiness
    }

    /// Whether this node serves.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Changes what probes see.
    pub(crate) async fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
        let status = match ready {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        // The empty name stands for the whole server.
        for service in ["", SERVICE_NAME] {
            self.grpc.set_service_status(service, status).await;
        }
    }
}

/// Keeps `readiness` to what this node can do for clients: it is not ready while it has not reached the leader of some
/// partition of its own for a while, and only ready again once it reaches all. Never returns.
pub(crate) async fn keep(readiness: Readiness, router: Router, partitions: Partitions) {
    let mut outlook = Outlook::new(readiness.is_ready());
    loop {
        tokio::time::sleep(INTERVAL).await;
        let hosted = partitions.all_hosted();
        let unreached = unreached(&router, &hosted).await;
        let ready = outlook.is_good(unreached == 0, Instant::now());
        if ready != readiness.is_ready() {
            match ready {
                true => tracing::info!("the leaders of all partitions are reached again"),
                false => tracing::warn!(
                    partitions = unreached,
                    "not ready: partitions have no leader that can be reached; are enough other nodes up?"
                ),
            }
            readiness.set(ready).await;
        }
    }
}

async fn unreached(router: &Router, hosted: &[Partition]) -> usize {
    let looks = hosted.iter().map(|it| router.reaches(it.id()));
    let reached = join_all(looks).await;
    reached.into_iter().filter(|reached| !reached).count()
}

/// Whether clients are let in, and since when something has been wrong.
struct Outlook {
    good: bool,
    wrong_since: Option<Instant>,
}

impl Outlook {
    fn new(good: bool) -> Self {
        Self {
            good,
            wrong_since: None,
        }
    }

    /// Whether clients are let in, after another look.
    fn is_good(&mut self, all_is_well: bool, now: Instant) -> bool {
        if all_is_well {
            *self = Self::new(true);
        } else {
            let since = *self.wrong_since.get_or_insert(now);
            self.good &= now - since < PATIENCE;
        }
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_makes_a_node_unready_and_nothing_delays_its_return() {
        let mut outlook = Outlook::new(true);
        let began = Instant::now();
        assert!(outlook.is_good(true, began));
        assert!(outlook.is_good(false, began + PATIENCE));
        assert!(outlook.is_good(false, began + PATIENCE * 2 - INTERVAL));
        assert!(!outlook.is_good(false, began + PATIENCE * 2));
        assert!(outlook.is_good(true, began + PATIENCE * 3));
        assert!(outlook.is_good(false, began + PATIENCE * 4));
    }

    #[test]
    fn who_never_was_ready_is_not_taken_on_trust() {
        let mut outlook = Outlook::new(false);
        let began = Instant::now();
        assert!(!outlook.is_good(false, began));
        assert!(outlook.is_good(true, began + INTERVAL));
    }
}
