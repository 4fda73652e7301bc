//! CleanEntityStorage: a sweep that never finds anything.
//!
//! An entity in which nothing is left goes by itself, and a lock whose owner is gone is released when that is noticed.
//! Source: Azure's scheduler answers with zeros too, and an SDK suite expects them.

use longhaul_proto::sidecar::{CleanEntityStorageRequest, CleanEntityStorageResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;

pub(super) async fn call(
    service: &TaskHubService,
    request: &Request<CleanEntityStorageRequest>,
) -> Result<CleanEntityStorageResponse, Status> {
    service.hub(request.metadata()).await?;
    from_proto::clean_entity_storage(request.get_ref())?;
    Ok(CleanEntityStorageResponse::default())
}
