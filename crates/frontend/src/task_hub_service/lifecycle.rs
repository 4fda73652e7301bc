//! TerminateInstance, SuspendInstance, ResumeInstance. Sent twice, each has the effect of once.

use longhaul_engine::{Command, InstanceKey};
use longhaul_proto::sidecar::{
    ResumeRequest, ResumeResponse, SuspendRequest, SuspendResponse, TerminateRequest,
    TerminateResponse,
};
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;
use crate::refusals::rows::ORCHESTRATION_ID;
use crate::status::{self, Repeat};

pub(super) async fn terminate(
    service: &TaskHubService,
    request: Request<TerminateRequest>,
) -> Result<TerminateResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ORCHESTRATION_ID.orchestration(hub, &request.instance_id)?;
    let limits = &service.dependencies.config.limits;
    propose(
        service,
        &key,
        from_proto::terminate(key.clone(), request, limits)?,
    )
    .await?;
    Ok(TerminateResponse {})
}

pub(super) async fn suspend(
    service: &TaskHubService,
    request: Request<SuspendRequest>,
) -> Result<SuspendResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ORCHESTRATION_ID.orchestration(hub, &request.instance_id)?;
    let limits = &service.dependencies.config.limits;
    propose(
        service,
        &key,
        from_proto::suspend(key.clone(), request, limits)?,
    )
    .await?;
    Ok(SuspendResponse {})
}

pub(super) async fn resume(
    service: &TaskHubService,
    request: Request<ResumeRequest>,
) -> Result<ResumeResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let key = ORCHESTRATION_ID.orchestration(hub, &request.instance_id)?;
    let limits = &service.dependencies.config.limits;
    propose(
        service,
        &key,
        from_proto::resume(key.clone(), request, limits)?,
    )
    .await?;
    Ok(ResumeResponse {})
}

async fn propose(
    service: &TaskHubService,
    key: &InstanceKey,
    command: Command,
) -> Result<(), Status> {
    let home = service.dependencies.router.home(key);
    let reply = home
        .propose(command)
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Harmless))?;
    status::of_reply(reply, &key.id)
}
