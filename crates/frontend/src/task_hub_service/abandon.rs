//! AbandonTask*WorkItem: a worker hands an item back.

use longhaul_partition::{AbandonDelay, LeaseId, Partition, ProposeError, WorkKind};
use longhaul_routing::AnswerKind;
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::TaskHubService;
use super::judging::{forward, is_ours, told};
use crate::refusals::rows::ABANDON_TOKEN;

/// The item is offered again after a growing delay. An unknown token is fine: the item is not out any more.
pub(super) async fn call(
    service: &TaskHubService,
    metadata: &MetadataMap,
    kind: WorkKind,
    token: &str,
    message: &impl Message,
) -> Result<(), Status> {
    let hub = service.hub(metadata).await?;
    ABANDON_TOKEN.required(token)?;
    let Some((home, delivery)) = service.dependencies.router.by_token(hub, kind, token) else {
        return Ok(());
    };
    match home.here() {
        Some(partition) if is_ours(&partition, partition.knows(delivery)).await => {
            told(judge(&partition, delivery).await)?;
        }
        _ => forward(&home, hub, answer_kind(kind), message).await?,
    }
    Ok(())
}

pub(super) async fn judge(partition: &Partition, delivery: LeaseId) -> Result<(), ProposeError> {
    if !partition.knows(delivery) {
        return partition.confirm().await;
    }
    partition.abandon(delivery, AbandonDelay::Backoff);
    Ok(())
}

fn answer_kind(kind: WorkKind) -> AnswerKind {
    match kind {
        WorkKind::Orchestration => AnswerKind::AbandonTurn,
        WorkKind::Activity => AnswerKind::AbandonActivity,
        WorkKind::Entity => AnswerKind::AbandonBatch,
    }
}
