//! DeleteTaskHub: forgets the hub of the call; one that does not exist is no error.

use longhaul_proto::sidecar::{DeleteTaskHubRequest, DeleteTaskHubResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::metadata;

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<DeleteTaskHubRequest>,
) -> Result<DeleteTaskHubResponse, Status> {
    let dependencies = &service.dependencies;
    let named = metadata::task_hub(request.metadata())?;
    let name = named.unwrap_or_else(|| dependencies.config.default_hub.clone());
    dependencies.hubs.delete(name).await?;
    Ok(DeleteTaskHubResponse {})
}
