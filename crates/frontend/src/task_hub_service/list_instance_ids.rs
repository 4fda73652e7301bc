//! ListInstanceIds: the ids of ended instances, page by page, in the order in which they ended.

use longhaul_engine::query::TimePosition;
use longhaul_proto::sidecar::{ListInstanceIdsRequest, ListInstanceIdsResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use super::pages::next_page;
use crate::from_proto::{EndedPage, list_ids};

/// The last page has no key.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<ListInstanceIdsRequest>,
) -> Result<ListInstanceIdsResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let key = service.dependencies.router.token_key();
    let EndedPage {
        filter,
        after,
        size,
        listing,
    } = list_ids(request.into_inner(), hub, key)?;
    let (instance_ids, last) = next_page(
        service,
        size,
        after,
        |home, after, limit| {
            let filter = filter.clone();
            async move { home.query_ended(filter, after, limit).await }
        },
        |ended: &TimePosition| Ok(ended.id.as_str().to_owned()),
    )
    .await?;
    Ok(ListInstanceIdsResponse {
        instance_ids,
        last_instance_key: last.map(|last| listing.token(&last, key)),
    })
}
