//! RaiseEvent: puts an external event into an instance's inbox.

use longhaul_proto::sidecar::{RaiseEventRequest, RaiseEventResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;
use crate::refusals::rows::ORCHESTRATION_ID;
use crate::status::{self, Repeat};

/// Events have no id: one that may have arrived is never answered with UNAVAILABLE, after which clients send it again
/// by themselves.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<RaiseEventRequest>,
) -> Result<RaiseEventResponse, Status> {
    let dependencies = &service.dependencies;
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ORCHESTRATION_ID.orchestration(hub, &request.instance_id)?;
    let limits = &dependencies.config.limits;
    let command = from_proto::raise_event(key.clone(), request, dependencies.clock.now(), limits)?;
    let home = dependencies.router.home(&key);
    let reply = home
        .propose(command)
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Doubles))?;
    status::of_reply(reply, &key.id)?;
    Ok(RaiseEventResponse {})
}
