//! StreamInstanceHistory: the committed history of the current execution.
//!
//! A turn changes the history only when it is committed, so a worker reads for its work item what a client reads; all but
//! the rewinds, which workers must not be shown.

use longhaul_engine::dispatch::without_rewinds;
use longhaul_proto::sidecar::StreamInstanceHistoryRequest;
use tonic::{Request, Status};

use super::TaskHubService;
use crate::history_chunks::HistoryChunks;
use crate::refusals::rows::{HISTORY_EXECUTION, HISTORY_ID};
use crate::refusals::rules::{NO_EXECUTION, NO_INSTANCE};
use crate::status;

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<StreamInstanceHistoryRequest>,
) -> Result<HistoryChunks, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = HISTORY_ID.instance(hub, &request.instance_id)?;
    let home = service.dependencies.router.home(&key);
    let history = home
        .history(&key)
        .await
        .map_err(|error| status::of_read_error(&error))?
        .ok_or_else(|| HISTORY_ID.refuse(&NO_INSTANCE, &key.id))?;
    match request.execution_id.filter(|id| !id.is_empty()) {
        Some(asked_for) if asked_for != history.execution.as_str() => {
            let refusal = HISTORY_EXECUTION.refuse(&NO_EXECUTION, format_args!("{asked_for:?}"));
            Err(refusal.into())
        }
        Some(_) | None if request.for_work_item_processing => {
            let past = without_rewinds(history.runs).map_err(status::fault)?;
            Ok(HistoryChunks::new(past))
        }
        Some(_) | None => Ok(HistoryChunks::new(history.runs)),
    }
}
