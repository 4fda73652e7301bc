//! RewindInstance: a failed instance goes on from before its failures.

use longhaul_engine::Command;
use longhaul_proto::sidecar::{RewindInstanceRequest, RewindInstanceResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;
use crate::refusals::rows::ORCHESTRATION_ID;
use crate::status::{self, Repeat};

/// A repetition finds the instance running, which would look like a mistake of the caller's.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<RewindInstanceRequest>,
) -> Result<RewindInstanceResponse, Status> {
    let dependencies = &service.dependencies;
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ORCHESTRATION_ID.orchestration(hub, &request.instance_id)?;
    let rewind = Command::Rewind {
        key: key.clone(),
        execution: service.fresh_id(),
        reason: from_proto::rewind_reason(request, &dependencies.config.limits)?,
    };
    let reply = dependencies
        .router
        .home(&key)
        .propose(rewind)
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Doubles))?;
    status::of_reply(reply, &key.id)?;
    Ok(RewindInstanceResponse {})
}
