//! AbandonTask*WorkItem: a worker hands an item back.

use longhaul_partition::{AbandonDelay, WorkKind};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::TaskHubService;
use crate::refusals::rows::ABANDON_TOKEN;

/// The item is offered again after a growing delay. An unknown token is fine: the item is not out any more.
pub(super) fn call(
    service: &TaskHubService,
    metadata: &MetadataMap,
    kind: WorkKind,
    token: &str,
) -> Result<(), Status> {
    let hub = service.hub(metadata)?;
    ABANDON_TOKEN.required(token)?;
    let partitions = &service.dependencies.partitions;
    if let Some((partition, lease)) = partitions.by_token(hub, kind, token) {
        partition.abandon(lease, AbandonDelay::Backoff);
    }
    Ok(())
}
