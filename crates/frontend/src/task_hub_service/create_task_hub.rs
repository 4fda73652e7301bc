//! CreateTaskHub: makes sure that the hub of the call exists, empty if that is asked for.

use longhaul_proto::sidecar::{CreateTaskHubRequest, CreateTaskHubResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::hubs::Existing;
use crate::metadata;

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<CreateTaskHubRequest>,
) -> Result<CreateTaskHubResponse, Status> {
    let dependencies = &service.dependencies;
    let named = metadata::task_hub(request.metadata())?;
    let name = named.unwrap_or_else(|| dependencies.config.default_hub.clone());
    let existing = match request.get_ref().recreate_if_exists {
        true => Existing::Replaced,
        false => Existing::Kept,
    };
    dependencies.hubs.create(name, existing).await?;
    Ok(CreateTaskHubResponse {})
}
