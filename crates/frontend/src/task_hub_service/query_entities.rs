//! QueryEntities: the entities of the hub that match, page by page, by id.

use longhaul_engine::query::EntityView;
use longhaul_proto::sidecar::{QueryEntitiesRequest, QueryEntitiesResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use super::pages::next_page;
use crate::from_proto::{EntityPage, entity_query};
use crate::to_proto::entity_metadata;

/// The last page has no token.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<QueryEntitiesRequest>,
) -> Result<QueryEntitiesResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let key = service.dependencies.router.token_key();
    let EntityPage {
        query,
        after,
        size,
        detail,
        listing,
    } = entity_query(request.into_inner(), hub, key)?;
    let (entities, last) = next_page(
        service,
        size,
        after,
        |home, after, limit| {
            let query = query.clone();
            async move { home.query_entities(query, after, limit).await }
        },
        |view: &EntityView| Ok(entity_metadata(view, detail)),
    )
    .await?;
    Ok(QueryEntitiesResponse {
        entities,
        continuation_token: last.map(|last| listing.token(&last, key)),
    })
}
