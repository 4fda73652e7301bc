//! Calls that concern many instances, or entities, on a node in memory with a scripted worker.

mod elsewhere;
mod entities;
mod limits;
mod purging;
mod queries;
mod restarting;

use longhaul_proto::sidecar::{
    CreateInstanceRequest, GetInstanceRequest, OrchestrationState, OrchestrationStatus,
    TerminateRequest,
};

use crate::testing::Client;

/// Starts an instance that has its id as its input.
async fn start(client: &mut Client, id: &str) {
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: "Order".to_owned(),
        input: Some(id.to_owned()),
        tags: [("of".to_owned(), id.to_owned())].into(),
        ..Default::default()
    };
    client.start_instance(request).await.expect("started");
}

/// Ends one that has not begun.
async fn terminate(client: &mut Client, id: &str) {
    let request = TerminateRequest {
        instance_id: id.to_owned(),
        output: Some("enough".to_owned()),
        recursive: false,
    };
    client.terminate_instance(request).await.expect("ended");
}

async fn state(client: &mut Client, id: &str) -> Option<OrchestrationState> {
    let request = GetInstanceRequest {
        instance_id: id.to_owned(),
        get_inputs_and_outputs: true,
    };
    let response = client.get_instance(request).await.expect("answered");
    response.into_inner().orchestration_state
}

async fn status(client: &mut Client, id: &str) -> Option<OrchestrationStatus> {
    state(client, id).await.map(|it| it.orchestration_status())
}
