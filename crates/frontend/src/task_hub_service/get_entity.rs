//! GetEntity: what an entity looks like after its last committed batch.

use longhaul_proto::sidecar::{GetEntityRequest, GetEntityResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::refusals::rows::ENTITY_ID;
use crate::status;
use crate::to_proto::{EntityDetail, entity_metadata};

/// Only an entity with a state exists; one that is merely locked or has a queue does not.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<GetEntityRequest>,
) -> Result<GetEntityResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ENTITY_ID.entity(hub, &request.instance_id)?;
    let home = service.dependencies.router.home(&key);
    let view = home
        .entity(&key, false)
        .await
        .map_err(|error| status::of_read_error(&error))?;
    let detail = EntityDetail::of(request.include_state);
    Ok(GetEntityResponse {
        exists: view.is_some(),
        entity: view.map(|view| entity_metadata(&view, detail)),
    })
}
