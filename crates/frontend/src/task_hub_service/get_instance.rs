//! GetInstance: what an instance looks like now.

use longhaul_engine::InstanceView;
use longhaul_proto::sidecar::{GetInstanceRequest, GetInstanceResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::refusals::rows::INSTANCE_ID;
use crate::status;
use crate::to_proto::{Detail, orchestration_state};

/// An instance that does not exist is no error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<GetInstanceRequest>,
) -> Result<GetInstanceResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = INSTANCE_ID.instance(hub, &request.instance_id)?;
    if key.id.is_entity() {
        return Ok(missing());
    }
    let home = service.dependencies.router.home(&key);
    let view = home
        .view(&key)
        .await
        .map_err(|error| status::of_read_error(&error))?;
    match view {
        Some(view) => existing(&view, Detail::of(request.get_inputs_and_outputs)),
        None => Ok(missing()),
    }
}

pub(super) fn missing() -> GetInstanceResponse {
    GetInstanceResponse {
        exists: false,
        orchestration_state: None,
    }
}

pub(super) fn existing(view: &InstanceView, detail: Detail) -> Result<GetInstanceResponse, Status> {
    let state = orchestration_state(view, detail).map_err(status::fault)?;
    Ok(GetInstanceResponse {
        exists: true,
        orchestration_state: Some(state),
    })
}
