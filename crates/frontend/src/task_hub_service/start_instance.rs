//! StartInstance: creates an instance, answers once that is stored.

use longhaul_engine::Command;
use longhaul_proto::sidecar::{CreateInstanceRequest, CreateInstanceResponse};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto::{NewInstance, create_instance};
use crate::spans;
use crate::status::{self, Repeat};

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<CreateInstanceRequest>,
) -> Result<CreateInstanceResponse, Status> {
    let dependencies = &service.dependencies;
    let hub = service.hub(request.metadata()).await?;
    spans::caller(request.get_ref().parent_trace_context.as_ref());
    let NewInstance {
        create,
        recognisable,
    } = create_instance(
        request.into_inner(),
        hub,
        dependencies.clock.now(),
        &dependencies.config.limits,
        &mut || service.fresh_id(),
    )?;
    let key = create.key.clone();
    let home = dependencies.router.home(&key);
    // Clients call again by themselves after UNAVAILABLE; one that would start a second instance is told instead.
    let repeat = if recognisable {
        Repeat::Harmless
    } else {
        Repeat::Doubles
    };
    let reply = home
        .propose(Command::CreateInstance(Box::new(create)))
        .await
        .map_err(|error| status::of_propose_error(&error, repeat))?;
    status::of_reply(reply, &key.id)?;
    Ok(CreateInstanceResponse {
        instance_id: key.id.as_str().to_owned(),
    })
}
