//! CompleteEntityTask: the answer to a batch of operations.

use longhaul_partition::{LeaseId, Partition, ProposeError, WorkKind};
use longhaul_proto::sidecar::{CompleteTaskResponse, EntityBatchResult};
use longhaul_routing::AnswerKind;
use tonic::{Request, Status};

use super::TaskHubService;
use super::judging::{Bench, forward, is_ours, told};
use crate::from_proto;
use crate::refusals::rows::BATCH_TOKEN;

/// An answer that is not wanted any more is taken without effect: the .NET worker repeats calls whose answer was lost,
/// and the Java worker tears its stream down on any error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<EntityBatchResult>,
) -> Result<CompleteTaskResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let result = request.into_inner();
    let token = result.completion_token.as_str();
    BATCH_TOKEN.required(token)?;
    let router = &service.dependencies.router;
    if let Some((home, delivery)) = router.by_token(hub, WorkKind::Entity, token) {
        match home.here() {
            Some(partition) if is_ours(&partition, partition.knows(delivery)).await => {
                told(judge(&service.bench, &partition, delivery, result).await)?;
            }
            _ => forward(&home, hub, AnswerKind::Batch, &result).await?,
        }
    }
    Ok(CompleteTaskResponse {})
}

pub(super) async fn judge(
    bench: &Bench,
    partition: &Partition,
    delivery: LeaseId,
    result: EntityBatchResult,
) -> Result<(), ProposeError> {
    let Some(lease) = partition.batch_lease(delivery) else {
        return partition.confirm().await;
    };
    let answer = from_proto::batch_answer(result, &bench.limits);
    partition.complete_batch(lease, answer).await
}
