//! Answers that go over a limit: the call is fine, and the orchestration fails and says why.

use longhaul_proto::sidecar::{OrchestrationStatus, OrchestratorAction, OrchestratorRequest};

use super::{start, state};
use crate::testing::{Node, Worker, starts_child};
use crate::{Config, Limits};

async fn node() -> Node {
    Node::start(Config {
        limits: Limits {
            actions: 3,
            name_bytes: 5,
            ..Limits::default()
        },
        ..Config::default()
    })
    .await
}

fn children(ids: std::ops::Range<i32>) -> Vec<OrchestratorAction> {
    ids.map(|id| starts_child(id, &format!("child-{id}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_does_too_much_at_once_fails_and_says_so() {
    let node = node().await;
    let mut client = node.client();
    let mut worker = Worker::connect(client.clone()).await;
    let answers = [
        ("whole", vec![children(0..4)]),
        ("in parts", vec![children(0..2), children(2..4)]),
        ("still too long", vec![children(0..5), Vec::new()]),
    ];
    for (id, parts) in answers {
        start(&mut client, id).await;
        worker.turn_in_parts(parts).await;
        let ended = state(&mut client, id).await.expect("it is kept");
        assert_eq!(ended.orchestration_status(), OrchestrationStatus::Failed);
        let failure = ended.failure_details.expect("it says why").error_message;
        assert!(failure.contains("at most 3 are allowed"), "{id}: {failure}");
        assert!(failure.contains("limits.actions"), "{id}: {failure}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_at_the_limit_goes_on() {
    let node = node().await;
    let mut client = node.client();
    let mut worker = Worker::connect(client.clone()).await;
    start(&mut client, "full").await;
    worker
        .turn_in_parts(vec![children(0..2), children(2..3)])
        .await;
    let running = state(&mut client, "full").await.expect("it is kept");
    assert_eq!(running.orchestration_status(), OrchestrationStatus::Running);
    let mut begun = Vec::new();
    for _ in 0..3 {
        let begins = |turn: &OrchestratorRequest| {
            begun.push(turn.instance_id.clone());
            Vec::new()
        };
        worker.turn(begins).await;
    }
    begun.sort_unstable();
    assert_eq!(begun, ["child-0", "child-1", "child-2"]);
    node.stop().await;
}
