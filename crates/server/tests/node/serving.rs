//! What a node answers, and to whom.

use http::StatusCode;
use longhaul_server::node::Node;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{
    Http, channel, check_metrics_page, connect_to, dashboard_port, get, new_dir, start, start_in,
};

#[tokio::test(flavor = "multi_thread")]
async fn node_serves_sdks_probes_and_tools() {
    let dir = new_dir();
    let node = start_in(&dir).await;

    connect_to(&node, "default")
        .await
        .hello()
        .await
        .expect("an answer");

    let grpc_port = node.ports().grpc.port;
    for version in [Http::One, Http::Two] {
        assert_eq!(get(grpc_port, version, "/healthz").await.0, StatusCode::OK);
    }
    let health = HealthClient::new(channel(&node).await);
    for service in ["", "TaskHubSidecarService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let response = health.clone().check(request).await.expect("known");
        assert_eq!(
            response.into_inner().status(),
            ServingStatus::Serving,
            "{service:?}"
        );
    }
    let expected = [
        "TaskHubSidecarService",
        "durabletask.protos.backend.v1.BackendService",
        "grpc.health.v1.Health",
    ];
    for services in [reflected(&node).await, reflected_alpha(&node).await] {
        for service in expected {
            assert!(
                services.iter().any(|found| found == service),
                "{service} in {services:?}"
            );
        }
    }

    let ports = node.ports().clone();
    for port in [ports.dashboard, ports.metrics].into_iter().flatten() {
        assert_eq!(
            get(port.port, Http::One, "/readyz").await,
            (StatusCode::OK, "ready\n".to_owned())
        );
        let (status, page) = get(port.port, Http::One, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        check_metrics_page(&page);
    }
    let (status, page) = get(dashboard_port(&node), Http::One, "/").await;
    assert_eq!(status, StatusCode::OK);
    let connection_string =
        format!("Endpoint=http://localhost:{grpc_port};TaskHub=default;Authentication=None");
    assert!(page.contains(&connection_string), "{page}");
    node.stop().await;
}

/// Asks either version of the reflection service, which are alike, for all services.
macro_rules! list_services {
    ($version:ident, $node:expr) => {{
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let channel = channel($node).await;
        let mut client = $version::server_reflection_client::ServerReflectionClient::new(channel);
        let request = $version::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answers = client
            .server_reflection_info(futures::stream::iter([request]))
            .await;
        let answer = answers.expect("an answer").into_inner().message().await;
        match answer
            .expect("an answer")
            .expect("one for one")
            .message_response
        {
            Some(MessageResponse::ListServicesResponse(list)) => list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect(),
            other => panic!("{other:?}"),
        }
    }};
}

async fn reflected(node: &Node) -> Vec<String> {
    list_services!(v1, node)
}

async fn reflected_alpha(node: &Node) -> Vec<String> {
    list_services!(v1alpha, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_hubs_are_refused_where_they_are_not_made() {
    let dir = new_dir();
    let node = start(&dir, |config| config.hubs.dynamic = false)
        .await
        .expect("starts");
    let error = connect_to(&node, "nobodys")
        .await
        .hello()
        .await
        .expect_err("there is no such hub");
    assert!(error.to_string().contains("nobodys"), "{error}");
    connect_to(&node, "default")
        .await
        .hello()
        .await
        .expect("the default hub exists");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_run_in_one_process() {
    let dirs = [new_dir(), new_dir()];
    let (one, other) = (start_in(&dirs[0]).await, start_in(&dirs[1]).await);
    let cluster = |node: &Node| node.about().formed.get().map(|it| it.cluster.clone());
    assert_ne!(cluster(&one), cluster(&other));
    one.stop().await;
    connect_to(&other, "default")
        .await
        .hello()
        .await
        .expect("an answer");
    other.stop().await;
}
