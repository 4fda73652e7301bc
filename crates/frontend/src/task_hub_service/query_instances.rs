//! QueryInstances: the instances of the hub that match, page by page, oldest first.

use longhaul_engine::InstanceView;
use longhaul_proto::sidecar::{QueryInstancesRequest, QueryInstancesResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use super::pages::next_page;
use crate::from_proto::{InstancePage, instance_query};
use crate::status;
use crate::to_proto::orchestration_state;

/// The last page has no token: the .NET SDK goes on until there is none.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<QueryInstancesRequest>,
) -> Result<QueryInstancesResponse, Status> {
    let (hub_name, hub) = service.named_hub(request.metadata()).await?;
    let key = service.dependencies.router.token_key();
    let Some(page) = instance_query(request.into_inner(), hub, &hub_name, key)? else {
        return Ok(QueryInstancesResponse::default());
    };
    let InstancePage {
        filter,
        after,
        size,
        detail,
        listing,
    } = page;
    let (states, last) = next_page(
        service,
        size,
        after,
        |home, after, limit| {
            let filter = filter.clone();
            async move { home.query_instances(filter, after, limit).await }
        },
        |view: &InstanceView| orchestration_state(view, detail).map_err(status::fault),
    )
    .await?;
    Ok(QueryInstancesResponse {
        orchestration_state: states,
        continuation_token: last.map(|last| listing.token(&last, key)),
    })
}
