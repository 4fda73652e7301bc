//! What goes for good, and what stays.

use longhaul_proto::sidecar::purge_instances_request::Request;
use longhaul_proto::sidecar::{
    InstanceBatch, OrchestrationStatus, PurgeInstanceFilter, PurgeInstancesRequest,
    PurgeInstancesResponse, SkipGracefulOrchestrationTerminationsRequest,
};
use tonic::{Code, Status};

use super::{start, status, terminate};
use crate::Config;
use crate::testing::{Client, Node, Worker, completes, starts_child};

async fn purge(
    client: &mut Client,
    request: PurgeInstancesRequest,
) -> Result<PurgeInstancesResponse, Status> {
    let purged = client.purge_instances(request).await?;
    Ok(purged.into_inner())
}

fn one(id: &str) -> PurgeInstancesRequest {
    PurgeInstancesRequest {
        request: Some(Request::InstanceId(id.to_owned())),
        ..Default::default()
    }
}

fn all_ended() -> PurgeInstancesRequest {
    PurgeInstancesRequest {
        request: Some(Request::PurgeInstanceFilter(PurgeInstanceFilter::default())),
        ..Default::default()
    }
}

fn complete(count: i32) -> PurgeInstancesResponse {
    PurgeInstancesResponse {
        deleted_instance_count: count,
        is_complete: Some(true),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_purged_once_it_has_ended() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    start(&mut client, "a").await;
    assert_eq!(
        purge(&mut client, one("a")).await.expect("answered"),
        complete(0)
    );
    let insisting = PurgeInstancesRequest {
        is_orchestration: true,
        ..one("a")
    };
    let refused = purge(&mut client, insisting).await.expect_err("it is live");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        status(&mut client, "a").await,
        Some(OrchestrationStatus::Pending)
    );

    terminate(&mut client, "a").await;
    assert_eq!(
        purge(&mut client, one("a")).await.expect("answered"),
        complete(1)
    );
    assert_eq!(status(&mut client, "a").await, None);
    assert_eq!(
        purge(&mut client, one("a")).await.expect("answered"),
        complete(0)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_leaves_the_live_ones() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for id in ["a", "b", "c"] {
        start(&mut client, id).await;
    }
    terminate(&mut client, "a").await;
    terminate(&mut client, "c").await;
    let ids = ["a", "b", "a", "missing", "c"].map(str::to_owned);
    let batch = PurgeInstancesRequest {
        request: Some(Request::InstanceBatch(InstanceBatch {
            instance_ids: ids.into(),
        })),
        ..Default::default()
    };
    assert_eq!(
        purge(&mut client, batch).await.expect("answered"),
        complete(2)
    );
    assert_eq!(
        status(&mut client, "b").await,
        Some(OrchestrationStatus::Pending)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_takes_all_that_match_however_many() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for number in 0..300 {
        start(&mut client, &number.to_string()).await;
    }
    let batch = SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(InstanceBatch {
            instance_ids: (0..299).map(|number| number.to_string()).collect(),
        }),
        reason: Some("enough".to_owned()),
    };
    let left = client.skip_graceful_orchestration_terminations(batch).await;
    let left = left.expect("answered").into_inner();
    assert!(left.unterminated_instance_ids.is_empty(), "{left:?}");
    assert_eq!(
        purge(&mut client, all_ended()).await.expect("answered"),
        complete(299)
    );
    assert_eq!(status(&mut client, "0").await, None);
    assert_eq!(
        status(&mut client, "299").await,
        Some(OrchestrationStatus::Pending)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_without_time_says_that_it_is_not_complete() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for id in ["a", "b"] {
        start(&mut client, id).await;
        terminate(&mut client, id).await;
    }
    let hurried = PurgeInstancesRequest {
        request: Some(Request::PurgeInstanceFilter(PurgeInstanceFilter {
            timeout: Some(prost_types::Duration {
                seconds: 0,
                nanos: 1,
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let mut deleted = 0;
    // Each call gets on, if only by one.
    for _ in 0..2 {
        let purged = purge(&mut client, hurried.clone()).await.expect("answered");
        assert_eq!(purged.is_complete, Some(false), "{purged:?}");
        deleted += purged.deleted_instance_count;
    }
    assert_eq!(deleted, 2);
    node.stop().await;
}

/// `parent` completes with three children: `live` goes on, `done` has a child of its own, which is done as well.
async fn family(node: &Node) -> Client {
    let mut client = node.client();
    start(&mut client, "parent").await;
    let mut worker = Worker::connect(client.clone()).await;
    worker
        .turn(|_| {
            vec![
                starts_child(1, "live"),
                starts_child(2, "done"),
                completes("parent"),
            ]
        })
        .await;
    for _ in 0..3 {
        worker
            .turn(|turn| match turn.instance_id.as_str() {
                "done" => vec![starts_child(1, "below"), completes("done")],
                "below" => vec![completes("below")],
                "live" => vec![],
                other => panic!("a turn of {other}"),
            })
            .await;
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_go_with_their_parent_if_they_have_ended() {
    let node = Node::start(Config::default()).await;
    let mut client = family(&node).await;
    let recursive = PurgeInstancesRequest {
        recursive: true,
        ..one("parent")
    };
    assert_eq!(
        purge(&mut client, recursive).await.expect("answered"),
        complete(3)
    );
    for id in ["parent", "done", "below"] {
        assert_eq!(status(&mut client, id).await, None, "{id}");
    }
    assert_eq!(
        status(&mut client, "live").await,
        Some(OrchestrationStatus::Running)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_stay_unless_they_are_meant() {
    let node = Node::start(Config::default()).await;
    let mut client = family(&node).await;
    assert_eq!(
        purge(&mut client, one("parent")).await.expect("answered"),
        complete(1)
    );
    let done = Some(OrchestrationStatus::Completed);
    assert_eq!(status(&mut client, "done").await, done);
    assert_eq!(status(&mut client, "below").await, done);
    let recursive = PurgeInstancesRequest {
        recursive: true,
        ..all_ended()
    };
    assert_eq!(
        purge(&mut client, recursive).await.expect("answered"),
        complete(2)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_ended_without_its_worker_is_named() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for id in ["a", "b"] {
        start(&mut client, id).await;
    }
    let ids = ["a", "missing", "a", "@counter@x", "", "b"].map(str::to_owned);
    let batch = SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(InstanceBatch {
            instance_ids: ids.into(),
        }),
        reason: Some("enough".to_owned()),
    };
    let left = client.skip_graceful_orchestration_terminations(batch).await;
    let left = left
        .expect("answered")
        .into_inner()
        .unterminated_instance_ids;
    assert_eq!(left, ["missing", "a", "@counter@x", ""]);
    for id in ["a", "b"] {
        let state = super::state(&mut client, id).await.expect("there");
        assert_eq!(
            state.orchestration_status(),
            OrchestrationStatus::Terminated
        );
        assert_eq!(state.output.as_deref(), Some("enough"));
    }
    node.stop().await;
}
