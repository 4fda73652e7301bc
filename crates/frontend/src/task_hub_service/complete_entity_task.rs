//! CompleteEntityTask: the answer to a batch of operations.

use longhaul_partition::WorkKind;
use longhaul_proto::sidecar::{CompleteTaskResponse, EntityBatchResult};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;
use crate::refusals::rows::BATCH_TOKEN;
use crate::status::{self, Repeat};

/// An answer that is not wanted any more is taken without effect: the .NET worker repeats calls whose answer was lost,
/// and the Java worker tears its stream down on any error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<EntityBatchResult>,
) -> Result<CompleteTaskResponse, Status> {
    let dependencies = &service.dependencies;
    let hub = service.hub(request.metadata())?;
    let result = request.into_inner();
    let token = result.completion_token.as_str();
    BATCH_TOKEN.required(token)?;
    let Some((partition, id)) = dependencies
        .partitions
        .by_token(hub, WorkKind::Entity, token)
    else {
        return Ok(CompleteTaskResponse {});
    };
    if let Some(lease) = partition.batch_lease(id) {
        let answer = from_proto::batch_answer(result, &dependencies.config.limits);
        partition
            .complete_batch(lease, answer)
            .await
            .map_err(|error| status::of_propose_error(&error, Repeat::Harmless))?;
    }
    Ok(CompleteTaskResponse {})
}
