//! StreamInstanceHistory: the committed history of the current execution.
//!
//! A turn changes the history only when it is committed, so what a worker reads for its work item and what a client
//! reads are the same.

use longhaul_proto::sidecar::StreamInstanceHistoryRequest;
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto::instance;
use crate::history_chunks::HistoryChunks;
use crate::status;

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<StreamInstanceHistoryRequest>,
) -> Result<HistoryChunks, Status> {
    let hub = service.hub(request.metadata())?;
    let request = request.into_inner();
    let key = instance(hub, &request.instance_id)?;
    let partition = service.dependencies.partitions.home(&key);
    let history = partition
        .history(&key)
        .await
        .map_err(|error| status::of_read_error(&error))?
        .ok_or_else(|| status::no_instance(&key.id))?;
    match request.execution_id.filter(|id| !id.is_empty()) {
        Some(asked_for) if asked_for != history.execution.as_str() => {
            Err(status::no_execution(&key.id, &asked_for))
        }
        Some(_) | None => Ok(HistoryChunks::new(history.runs)),
    }
}
