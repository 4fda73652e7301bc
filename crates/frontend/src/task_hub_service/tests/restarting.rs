//! Instances that begin again, or go on from where they failed.

use longhaul_proto::sidecar::{OrchestrationStatus, RestartInstanceRequest, RewindInstanceRequest};
use tonic::Code;

use super::{start, state, status, terminate};
use crate::Config;
use crate::testing::{Node, Worker, completes, fails};

fn restart(id: &str, restart_with_new_instance_id: bool) -> RestartInstanceRequest {
    RestartInstanceRequest {
        instance_id: id.to_owned(),
        restart_with_new_instance_id,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_instance_begins_again_under_its_id() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    start(&mut client, "a").await;
    let refused = client.restart_instance(restart("a", false)).await;
    let refused = refused.expect_err("it is live");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("is pending"), "{refused:?}");

    let before = state(&mut client, "a").await.expect("there");
    terminate(&mut client, "a").await;
    let again = client.restart_instance(restart("a", false)).await;
    assert_eq!(again.expect("restarted").into_inner().instance_id, "a");
    let after = state(&mut client, "a").await.expect("there");
    assert_eq!(after.orchestration_status(), OrchestrationStatus::Pending);
    assert_ne!(after.execution_id, before.execution_id);
    assert_eq!((&after.input, &after.tags), (&before.input, &before.tags));
    assert_eq!(after.output, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_can_be_made_of_a_live_instance() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    start(&mut client, "a").await;
    let copy = client.restart_instance(restart("a", true)).await;
    let id = copy.expect("copied").into_inner().instance_id;
    assert!(
        id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()),
        "{id}"
    );
    let copy = state(&mut client, &id).await.expect("there");
    assert_eq!(copy.name, "Order");
    assert_eq!(copy.input.as_deref(), Some("a"));
    assert_eq!(copy.tags.get("of").map(String::as_str), Some("a"));
    assert_eq!(
        status(&mut client, "a").await,
        Some(OrchestrationStatus::Pending)
    );
    for new_id in [true, false] {
        let missing = client.restart_instance(restart("missing", new_id)).await;
        assert_eq!(missing.expect_err("missing").code(), Code::NotFound);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_instance_is_rewound_and_goes_on() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    start(&mut client, "a").await;
    let rewind = || RewindInstanceRequest {
        instance_id: "a".to_owned(),
        reason: Some("fixed".to_owned()),
    };
    let refused = client
        .rewind_instance(rewind())
        .await
        .expect_err("it is live");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("not allowed"), "{refused:?}");

    let mut worker = Worker::connect(client.clone()).await;
    worker.turn(|_| vec![fails("Broken")]).await;
    assert_eq!(
        status(&mut client, "a").await,
        Some(OrchestrationStatus::Failed)
    );
    client.rewind_instance(rewind()).await.expect("rewound");
    assert_eq!(
        status(&mut client, "a").await,
        Some(OrchestrationStatus::Running)
    );
    worker
        .turn(|turn| {
            assert!(!turn.past_events.is_empty());
            vec![completes("done")]
        })
        .await;
    let state = state(&mut client, "a").await.expect("there");
    assert_eq!(state.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!(state.failure_details, None);
    node.stop().await;
}
