//! GetWorkItems: opens a worker's stream.

use std::sync::Arc;

use longhaul_proto::sidecar::GetWorkItemsRequest;
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto::session_spec;
use crate::metadata;
use crate::worker_stream::WorkerStream;

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<GetWorkItemsRequest>,
) -> Result<WorkerStream, Status> {
    let hub = service.hub(request.metadata()).await?;
    service.check_not_draining()?;
    let config = &service.dependencies.config;
    let worker_id = metadata::worker_id(request.metadata());
    tracing::debug!(
        worker_id,
        sdk = metadata::user_agent(request.metadata()),
        request = ?request.get_ref(),
        "a worker connects"
    );
    let spec = session_spec(
        request.into_inner(),
        hub,
        worker_id,
        config.work_items_per_stream,
        &config.limits,
    )?;
    let session = service.dependencies.router.sessions().open(spec);
    Ok(WorkerStream::new(
        session,
        config.health_ping_interval,
        Arc::clone(&service.meters),
    ))
}
