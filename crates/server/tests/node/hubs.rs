//! Task hubs that come and go while the node runs.

use std::pin::pin;

use futures::poll;
use longhaul_proto::sidecar::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use longhaul_proto::sidecar::work_item::Request;
use longhaul_proto::sidecar::{
    CreateInstanceRequest, CreateTaskHubRequest, DeleteTaskHubRequest, GetInstanceRequest,
    GetWorkItemsRequest,
};
use longhaul_server::config::Config;
use longhaul_server::node::Node;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{channel, new_dir, start, start_in};

/// Names a hub on every call.
#[derive(Clone)]
struct OfHub(&'static str);

impl Interceptor for OfHub {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let name = self.0.parse().expect("a header value");
        request.metadata_mut().insert("taskhub", name);
        Ok(request)
    }
}

type Stub = TaskHubSidecarServiceClient<InterceptedService<Channel, OfHub>>;

async fn stub(node: &Node, hub: &'static str) -> Stub {
    TaskHubSidecarServiceClient::with_interceptor(channel(node).await, OfHub(hub))
}

async fn create(stub: &mut Stub, recreate_if_exists: bool) -> Result<(), Status> {
    let request = CreateTaskHubRequest { recreate_if_exists };
    stub.create_task_hub(request).await.map(drop)
}

async fn delete(stub: &mut Stub) -> Result<(), Status> {
    stub.delete_task_hub(DeleteTaskHubRequest {})
        .await
        .map(drop)
}

async fn start_instance(stub: &mut Stub, id: &str) {
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: "Wait".to_owned(),
        ..CreateInstanceRequest::default()
    };
    stub.start_instance(request).await.expect("started");
}

async fn exists(stub: &mut Stub, id: &str) -> bool {
    let request = GetInstanceRequest {
        instance_id: id.to_owned(),
        get_inputs_and_outputs: false,
    };
    let answer = stub.get_instance(request).await.expect("an answer");
    answer.into_inner().exists
}

fn names(node: &Node) -> Vec<String> {
    node.hubs().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_refused(outcome: Result<impl std::fmt::Debug, Status>, code: Code, parts: &[&str]) {
    let status = outcome.expect_err("refused");
    assert_eq!(status.code(), code, "{status}");
    for part in parts {
        assert!(status.message().contains(part), "{part:?} in {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_are_created_and_deleted_for_good() {
    let dir = new_dir();
    let explicit = |config: &mut Config| config.hubs.dynamic = false;
    let node = start(&dir, explicit).await.expect("starts");
    let mut orders = stub(&node, "Orders").await;
    check_refused(orders.hello(()).await, Code::NotFound, &["Orders"]);
    delete(&mut orders).await.expect("nothing to delete");

    create(&mut orders, false).await.expect("created");
    start_instance(&mut orders, "a").await;
    create(&mut orders, false).await.expect("it exists already");
    assert!(exists(&mut orders, "a").await);
    assert_eq!(names(&node), ["default", "Orders"]);

    create(&mut orders, true).await.expect("created anew");
    assert!(!exists(&mut orders, "a").await);
    start_instance(&mut orders, "b").await;

    delete(&mut orders).await.expect("deleted");
    check_refused(orders.hello(()).await, Code::NotFound, &["Orders"]);
    let request = GetInstanceRequest {
        instance_id: "b".to_owned(),
        get_inputs_and_outputs: false,
    };
    let answer = orders.get_instance(request).await;
    check_refused(answer, Code::NotFound, &["Task hub not found: Orders"]);
    let mut default = stub(&node, "default").await;
    default.hello(()).await.expect("others stay");
    node.stop().await;

    let node = start(&dir, explicit).await.expect("starts");
    assert_eq!(names(&node), ["default"]);
    let mut orders = stub(&node, "orders").await;
    create(&mut orders, true).await.expect("created");
    for id in ["a", "b"] {
        assert!(!exists(&mut orders, id).await, "{id}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_streams_and_parked_callers_end_with_their_hub() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let (mut kept, mut orders) = (stub(&node, "kept").await, stub(&node, "orders").await);
    for recreate in [false, true] {
        let mut streams = Vec::new();
        for stub in [&mut kept, &mut orders] {
            create(stub, false).await.expect("created");
            let opened = stub.get_work_items(GetWorkItemsRequest::default()).await;
            let mut stream = opened.expect("served").into_inner();
            let ping = stream.message().await.expect("open").expect("a message");
            assert!(matches!(ping.request, Some(Request::HealthPing(_))));
            streams.push(stream);
        }
        // Work that is out when its hub goes, and a caller that waits for its end.
        start_instance(&mut orders, "a").await;
        let turn = streams[1].message().await.expect("open").expect("a turn");
        assert!(matches!(
            turn.request,
            Some(Request::OrchestratorRequest(_))
        ));
        let mut caller = orders.clone();
        let mut parked = pin!(caller.wait_for_instance_completion(GetInstanceRequest {
            instance_id: "a".to_owned(),
            get_inputs_and_outputs: false,
        }));
        assert!(poll!(&mut parked).is_pending());
        // Calls of one connection are accepted in order: once a later one is answered, this one is parked.
        orders.hello(()).await.expect("an answer");
        assert!(poll!(&mut parked).is_pending());

        match recreate {
            true => create(&mut orders, true).await.expect("created anew"),
            false => delete(&mut orders).await.expect("deleted"),
        }
        let text = ["Task hub not found: orders"];
        check_refused(streams[1].message().await, Code::NotFound, &text);
        check_refused(parked.await, Code::NotFound, &text);
        let outcome = orders.hello(()).await;
        if recreate {
            outcome.expect("the new one is there");
        } else {
            // It is not made by its next use, or a worker that connects again would undo the deletion.
            check_refused(outcome, Code::NotFound, &text);
        }

        start_instance(&mut kept, if recreate { "b" } else { "a" }).await;
        let turn = streams[0].message().await.expect("open").expect("a turn");
        assert!(matches!(
            turn.request,
            Some(Request::OrchestratorRequest(_))
        ));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_change_no_hubs_where_that_is_not_allowed() {
    let dir = new_dir();
    let node = start(&dir, |config| {
        config.hubs.dynamic = false;
        config.hubs.manage_over_rpc = false;
    })
    .await
    .expect("starts");
    let mut default = stub(&node, "default").await;
    start_instance(&mut default, "a").await;
    let mut orders = stub(&node, "orders").await;
    let settings = ["hubs.manage_over_rpc = true", "hubs.create"];
    for outcome in [
        create(&mut orders, false).await,
        create(&mut default, false).await,
        create(&mut default, true).await,
        delete(&mut default).await,
        delete(&mut orders).await,
    ] {
        check_refused(outcome, Code::PermissionDenied, &settings);
    }
    assert_eq!(names(&node), ["default"]);
    assert!(exists(&mut default, "a").await);
    node.stop().await;
}
