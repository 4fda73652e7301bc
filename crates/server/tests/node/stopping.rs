//! How a node ends: what workers may finish, who is sent elsewhere, and what is left for the next start.

use std::pin::pin;
use std::time::Duration;

use futures::poll;
use http::StatusCode;
use longhaul_proto::sidecar::orchestrator_action::OrchestratorActionType;
use longhaul_proto::sidecar::task_hub_sidecar_service_client::TaskHubSidecarServiceClient as Stub;
use longhaul_proto::sidecar::work_item::Request;
use longhaul_proto::sidecar::{
    CompleteOrchestrationAction, CreateInstanceRequest, GetInstanceRequest, GetWorkItemsRequest,
    OrchestrationStatus, OrchestratorAction, OrchestratorResponse, WorkItem,
};
use longhaul_server::config::Config;
use longhaul_server::data_dir::{DataDir, Fresh};
use longhaul_server::node::Node;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::{Http, channel, connect_to, dashboard_port, get, new_dir, start, start_in};

async fn open_stream(stub: &mut Stub<Channel>) -> Streaming<WorkItem> {
    let opened = stub.get_work_items(GetWorkItemsRequest::default()).await;
    let mut stream = opened.expect("served").into_inner();
    let first = next(&mut stream).await.expect("the stream is open");
    assert!(matches!(first.request, Some(Request::HealthPing(_))));
    stream
}

async fn next(stream: &mut Streaming<WorkItem>) -> Result<WorkItem, Status> {
    let item = stream.message().await?;
    Ok(item.expect("a stream of work items never ends well"))
}

/// Starts an instance and receives its first turn.
async fn begin(stub: &mut Stub<Channel>, stream: &mut Streaming<WorkItem>, id: &str) -> WorkItem {
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: "Wait".to_owned(),
        ..CreateInstanceRequest::default()
    };
    stub.start_instance(request).await.expect("started");
    let item = next(stream).await.expect("the stream is open");
    assert!(is_turn_of(&item, id));
    item
}

fn is_turn_of(item: &WorkItem, id: &str) -> bool {
    matches!(&item.request, Some(Request::OrchestratorRequest(turn)) if turn.instance_id == id)
}

/// The answer by which an orchestration ends.
fn completion(item: &WorkItem, id: &str) -> OrchestratorResponse {
    let complete = CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Completed.into(),
        result: Some("1".to_owned()),
        ..CompleteOrchestrationAction::default()
    };
    OrchestratorResponse {
        instance_id: id.to_owned(),
        completion_token: item.completion_token.clone(),
        actions: vec![OrchestratorAction {
            id: 0,
            orchestrator_action_type: Some(OrchestratorActionType::CompleteOrchestration(complete)),
        }],
        ..OrchestratorResponse::default()
    }
}

/// Returns once the node tells probes that it does not serve.
async fn wait_until_not_ready(dashboard_port: u16) {
    for _ in 0..100_000 {
        if get(dashboard_port, Http::One, "/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("still ready");
}

async fn stub(node: &Node) -> Stub<Channel> {
    Stub::new(channel(node).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_may_finish_what_they_hold() {
    let dir = new_dir();
    let node = start(&dir, |config| {
        config.node.shutdown_grace = Duration::from_secs(8)
    })
    .await
    .expect("starts");
    let mut stub = stub(&node).await;
    let mut stream = open_stream(&mut stub).await;
    let item = begin(&mut stub, &mut stream, "a").await;

    let port = dashboard_port(&node);
    let stopping = tokio::spawn(node.stop());
    wait_until_not_ready(port).await;
    stub.complete_orchestrator_task(completion(&item, "a"))
        .await
        .expect("still served");
    let end = next(&mut stream).await.expect_err("the node stops");
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    stopping.await.expect("no panic");

    let node = start_in(&dir).await;
    let request = GetInstanceRequest {
        instance_id: "a".to_owned(),
        get_inputs_and_outputs: true,
    };
    let state = self::stub(&node)
        .await
        .get_instance(request)
        .await
        .expect("an answer")
        .into_inner();
    let state = state.orchestration_state.expect("it is still there");
    assert_eq!(state.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!(state.output.as_deref(), Some("1"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_nobody_finished_in_time_is_offered_after_the_next_start() {
    let dir = new_dir();
    let impatient = |config: &mut Config| config.node.shutdown_grace = Duration::ZERO;
    let node = start(&dir, impatient).await.expect("starts");
    let mut stub = stub(&node).await;
    let mut stream = open_stream(&mut stub).await;
    begin(&mut stub, &mut stream, "a").await;
    node.stop().await;
    let end = next(&mut stream).await.expect_err("the node has stopped");
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert!(end.message().contains("waited long enough"), "{end}");

    let node = start(&dir, impatient).await.expect("starts");
    let mut stub = self::stub(&node).await;
    let mut stream = open_stream(&mut stub).await;
    let item = next(&mut stream).await.expect("the stream is open");
    assert!(is_turn_of(&item, "a"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_and_parked_callers_are_sent_elsewhere() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let mut stub = stub(&node).await;
    let mut stream = open_stream(&mut stub).await;
    let mut caller = stub.clone();
    let mut parked = pin!(caller.wait_for_instance_completion(GetInstanceRequest {
        instance_id: "nobody".to_owned(),
        get_inputs_and_outputs: false,
    }));
    assert!(poll!(&mut parked).is_pending());
    // Calls of one connection are accepted in order: once a later one is answered, this one is parked.
    let hello = stub.hello(()).await;
    hello.expect("an answer");
    assert!(poll!(&mut parked).is_pending());
    node.stop().await;
    let end = next(&mut stream).await.expect_err("the node has stopped");
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    let end = parked.await.expect_err("the node has stopped");
    assert_eq!(end.code(), Code::Unavailable, "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_node_leaves_nothing_in_use() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let client = connect_to(&node, "default").await;
    client.hello().await.expect("an answer");
    let ports = node.ports().clone();
    node.stop().await;
    let http = [ports.dashboard, ports.metrics].map(|address| address.expect("it was on").port);
    for port in [ports.grpc.port, http[0], http[1]] {
        TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("free again");
    }
    client.hello().await.expect_err("nobody is there");
    let data = dir.path().join("data");
    let fresh = Fresh {
        directory: [0; 16],
        now: std::time::SystemTime::UNIX_EPOCH,
    };
    let data = DataDir::open(&data, fresh);
    assert!(data.expect("free again").identity().has_log);
}
