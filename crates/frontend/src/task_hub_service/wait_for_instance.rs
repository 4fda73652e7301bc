//! WaitForInstanceStart and WaitForInstanceCompletion: parked until the instance is as far, or the caller goes.
//!
//! The server sets no limit of its own, and waits for instances that do not exist yet.

use std::time::Duration;

use longhaul_partition::WaitFor;
use longhaul_proto::sidecar::{GetInstanceRequest, GetInstanceResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use super::get_instance::{existing, missing};
use crate::refusals::rows::INSTANCE_ID;
use crate::to_proto::Detail;
use crate::{metadata, status};

/// The answer to an expired call leaves this much before the caller's deadline.
///
/// The transport ends expired calls with CANCELLED; only DEADLINE_EXCEEDED becomes a timeout in the SDKs.
const ANSWER_MARGIN: Duration = Duration::from_millis(5);

pub(super) async fn start(
    service: &TaskHubService,
    request: Request<GetInstanceRequest>,
) -> Result<GetInstanceResponse, Status> {
    wait(service, request, WaitFor::Begun).await
}

pub(super) async fn completion(
    service: &TaskHubService,
    request: Request<GetInstanceRequest>,
) -> Result<GetInstanceResponse, Status> {
    wait(service, request, WaitFor::Ended).await
}

async fn wait(
    service: &TaskHubService,
    request: Request<GetInstanceRequest>,
    until: WaitFor,
) -> Result<GetInstanceResponse, Status> {
    let dependencies = &service.dependencies;
    let timeout = metadata::timeout(request.metadata());
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = INSTANCE_ID.instance(hub, &request.instance_id)?;
    if key.id.is_entity() {
        return Ok(missing());
    }
    let home = dependencies.router.home(&key);
    tokio::select! {
        biased;
        view = home.wait(&key, until) => {
            let view = view.map_err(|error| status::of_read_error(&error))?;
            existing(&view, Detail::of(request.get_inputs_and_outputs))
        }
        () = dependencies.draining.cancelled() => Err(status::draining()),
        () = expiry(timeout) => Err(Status::deadline_exceeded(match until {
            WaitFor::Begun => "the instance has not started in time",
            WaitFor::Ended => "the instance has not ended in time",
        })),
    }
}

async fn expiry(timeout: Option<Duration>) {
    match timeout.map(|timeout| timeout.saturating_sub(ANSWER_MARGIN)) {
        // The shortest sleep lasts until the clock's next tick.
        Some(Duration::ZERO) => {}
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}
