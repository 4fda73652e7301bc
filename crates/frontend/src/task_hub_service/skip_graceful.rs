//! SkipGracefulOrchestrationTerminations: instances end on the spot, without their orchestrators.

use bytes::Bytes;
use futures::future::try_join_all;
use longhaul_engine::{Command, InstanceKey, Reply};
use longhaul_proto::sidecar::{
    SkipGracefulOrchestrationTerminationsRequest, SkipGracefulOrchestrationTerminationsResponse,
};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto::{self, Skip};
use crate::status::{self, Repeat};

/// Whoever cannot be ended is named in the answer: missing, ended already (so also the second of two equal ids), an
/// entity, or holding locks of entities.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<SkipGracefulOrchestrationTerminationsRequest>,
) -> Result<SkipGracefulOrchestrationTerminationsResponse, Status> {
    let dependencies = &service.dependencies;
    let hub = service.hub(request.metadata()).await?;
    let limits = &dependencies.config.limits;
    let Skip { instances, reason } = from_proto::skip(request.into_inner(), hub, limits)?;
    // All at once, yet in order: each is queued where it belongs before the next one is looked at.
    let ended = instances.iter().map(|(_, key)| end(service, key, &reason));
    let ended = try_join_all(ended).await?;
    let left = instances.into_iter().zip(ended);
    let left = left.filter(|(_, ended)| *ended == Ended::No);
    Ok(SkipGracefulOrchestrationTerminationsResponse {
        unterminated_instance_ids: left.map(|((id, _), _)| id).collect(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Yes,
    No,
}

async fn end(
    service: &TaskHubService,
    key: &Option<InstanceKey>,
    reason: &Option<Bytes>,
) -> Result<Ended, Status> {
    let Some(key) = key else {
        return Ok(Ended::No);
    };
    let home = service.dependencies.router.home(key);
    let terminate = Command::ForceTerminate {
        key: key.clone(),
        reason: reason.clone(),
    };
    let reply = home
        .propose(terminate)
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Harmless))?;
    Ok(match reply {
        Reply::Done => Ended::Yes,
        _ => Ended::No,
    })
}
