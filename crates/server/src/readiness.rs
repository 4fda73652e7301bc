//! Whether this node serves: told to probes over HTTP and to gRPC's health service alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longhaul_proto::spliced::task_hub_sidecar_service_server::SERVICE_NAME;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

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
