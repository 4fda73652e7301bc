//! AbandonTask*WorkItem: a worker hands an item back.

use longhaul_partition::AbandonDelay;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::TaskHubService;

/// The item is offered again after a growing delay. An unknown token is fine: the item is not out any more.
pub(super) fn call(
    service: &TaskHubService,
    metadata: &MetadataMap,
    token: &str,
) -> Result<(), Status> {
    service.hub(metadata)?;
    if let Some((partition, lease)) = service.dependencies.partitions.by_token(token) {
        partition.abandon(lease, AbandonDelay::Backoff);
    }
    Ok(())
}
