//! CompleteActivityTask: the result of an activity.

use longhaul_partition::{ActivityLease, Partition, WorkKind};
use longhaul_proto::sidecar::{ActivityResponse, CompleteTaskResponse};
use longhaul_types::HubId;
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;
use crate::refusals::rows::ANSWER_ID;
use crate::status::{self, Repeat};

/// A result that nobody waits for any more is taken without effect: the .NET worker repeats calls whose answer was
/// lost, and the Java worker tears its stream down on any error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<ActivityResponse>,
) -> Result<CompleteTaskResponse, Status> {
    let hub = service.hub(request.metadata())?;
    let response = request.into_inner();
    let Some((partition, lease)) = lease(service, hub, &response)? else {
        return Ok(CompleteTaskResponse {});
    };
    let limits = &service.dependencies.config.limits;
    partition
        .complete_activity(lease, from_proto::activity_result(response, limits))
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Harmless))?;
    Ok(CompleteTaskResponse {})
}

/// Workers built on the older contract do not echo the token: then the instance and the task must be enough.
fn lease<'a>(
    service: &'a TaskHubService,
    hub: HubId,
    response: &ActivityResponse,
) -> Result<Option<(&'a Partition, ActivityLease)>, Status> {
    let partitions = &service.dependencies.partitions;
    if response.completion_token.is_empty() {
        let key = ANSWER_ID.orchestration(hub, &response.instance_id)?;
        let partition = partitions.home(&key);
        let lease = partition.activity_lease_of(&key, response.task_id);
        return Ok(lease.map(|lease| (partition, lease)));
    }
    Ok(partitions
        .by_token(hub, WorkKind::Activity, &response.completion_token)
        .and_then(|(partition, id)| {
            let lease = partition.activity_lease(id)?;
            Some((partition, lease))
        }))
}
