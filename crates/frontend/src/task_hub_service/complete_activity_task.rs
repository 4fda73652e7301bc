//! CompleteActivityTask: the result of an activity.

use longhaul_engine::InstanceKey;
use longhaul_partition::{ActivityLease, LeaseId, Partition, ProposeError, WorkKind};
use longhaul_proto::sidecar::{ActivityResponse, CompleteTaskResponse};
use longhaul_routing::{AnswerKind, Home};
use longhaul_types::{HubId, InstanceId};
use tonic::{Request, Status};

use super::TaskHubService;
use super::judging::{Bench, forward, is_ours, told};
use crate::from_proto;
use crate::refusals::rows::ANSWER_ID;

/// A result that nobody waits for any more is taken without effect: the .NET worker repeats calls whose answer was
/// lost, and the Java worker tears its stream down on any error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<ActivityResponse>,
) -> Result<CompleteTaskResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let response = request.into_inner();
    if let Some((home, delivery)) = place(service, hub, &response)? {
        match home.here() {
            Some(partition)
                if is_ours(&partition, is_out(&partition, hub, delivery, &response)).await =>
            {
                told(judge(&service.bench, &partition, hub, delivery, response).await)?;
            }
            _ => forward(&home, hub, AnswerKind::Activity, &response).await?,
        }
    }
    Ok(CompleteTaskResponse {})
}

/// Workers built on the older contract do not echo the token: then the instance and the task must be enough.
fn place(
    service: &TaskHubService,
    hub: HubId,
    response: &ActivityResponse,
) -> Result<Option<(Home, Option<LeaseId>)>, Status> {
    let router = &service.dependencies.router;
    if response.completion_token.is_empty() {
        let key = ANSWER_ID.orchestration(hub, &response.instance_id)?;
        return Ok(Some((router.home(&key), None)));
    }
    let found = router.by_token(hub, WorkKind::Activity, &response.completion_token);
    Ok(found.map(|(home, delivery)| (home, Some(delivery))))
}

fn is_out(
    partition: &Partition,
    hub: HubId,
    delivery: Option<LeaseId>,
    response: &ActivityResponse,
) -> bool {
    match delivery {
        Some(delivery) => partition.knows(delivery),
        None => without_token(partition, hub, response).is_some(),
    }
}

fn without_token(
    partition: &Partition,
    hub: HubId,
    response: &ActivityResponse,
) -> Option<ActivityLease> {
    let key = InstanceKey::new(hub, InstanceId::trusted(response.instance_id.as_str()));
    partition.activity_lease_of(&key, response.task_id)
}

pub(super) async fn judge(
    bench: &Bench,
    partition: &Partition,
    hub: HubId,
    delivery: Option<LeaseId>,
    response: ActivityResponse,
) -> Result<(), ProposeError> {
    let lease = match delivery {
        Some(delivery) => partition.activity_lease(delivery),
        None => without_token(partition, hub, &response),
    };
    let Some(lease) = lease else {
        return partition.confirm().await;
    };
    let result = from_proto::activity_result(response, &bench.limits);
    partition.complete_activity(lease, result).await
}
