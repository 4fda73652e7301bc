//! SignalEntity: puts an operation that nobody waits for into an entity's queue.

use longhaul_engine::Command;
use longhaul_proto::sidecar::{SignalEntityRequest, SignalEntityResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto::{self, Signal};
use crate::spans;
use crate::status::{self, Repeat};

/// A repetition is recognised by the id of the request. One without an id would be a second signal, so it is never
/// answered with UNAVAILABLE once it may have arrived.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<SignalEntityRequest>,
) -> Result<SignalEntityResponse, Status> {
    let dependencies = &service.dependencies;
    let hub = service.hub(request.metadata()).await?;
    spans::caller(request.get_ref().parent_trace_context.as_ref());
    let request = request.into_inner();
    let repeat = match request.request_id.is_empty() {
        true => Repeat::Doubles,
        false => Repeat::Harmless,
    };
    let Signal {
        key,
        request_id,
        operation,
        due,
    } = from_proto::signal(
        request,
        hub,
        dependencies.clock.now(),
        &dependencies.config.limits,
        || service.random_bytes(),
    )?;
    let reply = dependencies
        .router
        .home(&key)
        .propose(Command::SignalEntity {
            key: key.clone(),
            request_id,
            event: operation,
            due,
        })
        .await
        .map_err(|error| status::of_propose_error(&error, repeat))?;
    status::of_reply(reply, &key.id)?;
    Ok(SignalEntityResponse {})
}
