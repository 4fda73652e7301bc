//! RestartInstance: an instance begins again with the input it has, under its own id or a new one.

use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::message::Creation;
use longhaul_engine::{Command, InstanceKey, InstanceView};
use longhaul_proto::sidecar::{RestartInstanceRequest, RestartInstanceResponse};
use longhaul_types::{ExecutionId, InstanceId};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::refusals::rows::ORCHESTRATION_ID;
use crate::status::{self, Repeat};

/// Under its own id, the instance must have ended; a copy with an id of its own can be made at any time.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<RestartInstanceRequest>,
) -> Result<RestartInstanceResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ORCHESTRATION_ID.orchestration(hub, &request.instance_id)?;
    let id = match request.restart_with_new_instance_id {
        true => copy(service, &key).await?,
        false => again(service, key).await?,
    };
    Ok(RestartInstanceResponse {
        instance_id: id.as_str().to_owned(),
    })
}

/// A repetition would start it once more, or find it running.
async fn again(service: &TaskHubService, key: InstanceKey) -> Result<InstanceId, Status> {
    let id = key.id.clone();
    let home = service.dependencies.router.home(&key);
    let restart = Command::Restart {
        key,
        execution: service.fresh_id(),
    };
    let reply = home
        .propose(restart)
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Doubles))?;
    status::of_reply(reply, &id)?;
    Ok(id)
}

async fn copy(service: &TaskHubService, key: &InstanceKey) -> Result<InstanceId, Status> {
    let router = &service.dependencies.router;
    let view = router
        .home(key)
        .view(key)
        .await
        .map_err(|error| status::of_read_error(&error))?
        .ok_or_else(|| status::no_instance(&key.id))?;
    let id = InstanceId::trusted(service.fresh_id().as_str());
    let key = InstanceKey::new(key.hub, id.clone());
    let create = CreateInstance {
        key: key.clone(),
        creation: creation(view, service.fresh_id()),
        reuse: ReusePolicy::Default,
    };
    let reply = router
        .home(&key)
        .propose(Command::CreateInstance(Box::new(create)))
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Doubles))?;
    status::of_reply(reply, &id)?;
    Ok(id)
}

/// Neither parent nor traces are taken over: nobody waits for a copy.
fn creation(view: InstanceView, execution: ExecutionId) -> Creation {
    Creation {
        execution,
        name: view.name,
        version: view.version,
        input: view.input,
        scheduled_start: None,
        tags: view.tags,
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    }
}
