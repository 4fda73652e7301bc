//! Clients and workers on a node that leads nothing.

use longhaul_proto::sidecar::operation_result::ResultType;
use longhaul_proto::sidecar::purge_instances_request::Request;
use longhaul_proto::sidecar::{
    CompleteTaskResponse, EntityBatchResult, GetEntityRequest, GetInstanceRequest, InstanceBatch,
    InstanceQuery, OperationResult, OperationResultSuccess, OrchestrationStatus,
    OrchestratorResponse, PurgeInstancesRequest, QueryInstancesRequest, RaiseEventRequest,
    SignalEntityRequest, StreamInstanceHistoryRequest,
};
use tonic::Code;

use super::{start, state, status, terminate};
use crate::Config;
use crate::testing::{Node, Worker, completes, schedules};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_lives_through_another_node() {
    let (node, neighbour) = Node::start_beside(Config::default()).await;
    let mut client = neighbour.client();
    let mut worker = Worker::connect(neighbour.client()).await;
    start(&mut client, "a").await;
    worker.turn(|_| vec![schedules(1, "Charge")]).await;
    worker.activity(|it| format!("\"{}\"", it.name)).await;
    let first = vec![schedules(2, "Ship")];
    worker
        .turn_in_parts(vec![first, vec![schedules(3, "Bill")]])
        .await;
    let mut names = Vec::new();
    for _ in 0..2 {
        worker
            .activity(|it| {
                names.push(it.name.clone());
                "1".to_owned()
            })
            .await;
    }
    names.sort();
    assert_eq!(names, ["Bill", "Ship"]);
    worker.turn(|_| vec![completes("done")]).await;
    let waited = client.wait_for_instance_completion(GetInstanceRequest {
        instance_id: "a".to_owned(),
        get_inputs_and_outputs: true,
    });
    let ended = waited.await.expect("ended").into_inner();
    let ended = ended.orchestration_state.expect("there");
    assert_eq!(ended.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!(ended.output.as_deref(), Some("done"));
    assert_eq!(state(&mut node.client(), "a").await, Some(ended));

    let read = async |mut client: crate::testing::Client| {
        let request = StreamInstanceHistoryRequest {
            instance_id: "a".to_owned(),
            ..Default::default()
        };
        let chunks = client.stream_instance_history(request).await;
        let mut chunks = chunks.expect("there").into_inner();
        let mut events = Vec::new();
        while let Some(chunk) = chunks.message().await.expect("goes on") {
            events.extend(chunk.events);
        }
        events
    };
    let history = read(neighbour.client()).await;
    assert!(history.len() > 8, "{history:?}");
    assert_eq!(history, read(node.client()).await);
    node.stop().await;
}

fn success() -> OperationResult {
    OperationResult {
        result_type: Some(ResultType::Success(OperationResultSuccess::default())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_lives_through_another_node() {
    let (node, neighbour) = Node::start_beside(Config::default()).await;
    let mut client = neighbour.client();
    let mut worker = Worker::connect(neighbour.client()).await;
    let signal = SignalEntityRequest {
        instance_id: "@counter@a".to_owned(),
        name: "Add".to_owned(),
        request_id: "once".to_owned(),
        ..Default::default()
    };
    client.signal_entity(signal.clone()).await.expect("taken");
    client.signal_entity(signal).await.expect("taken");
    worker
        .batch(|batch| EntityBatchResult {
            entity_state: Some(batch.operation_requests.len().to_string()),
            results: vec![success(); batch.operation_requests.len()],
            ..Default::default()
        })
        .await;
    let entity = client.get_entity(GetEntityRequest {
        instance_id: "@counter@a".to_owned(),
        include_state: true,
    });
    let entity = entity.await.expect("read").into_inner().entity;
    assert_eq!(
        entity.expect("there").serialized_state.as_deref(),
        Some("1")
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_there_is_refused_here() {
    let (node, neighbour) = Node::start_beside(Config::default()).await;
    let mut client = neighbour.client();
    let raise = |id: &str| RaiseEventRequest {
        instance_id: id.to_owned(),
        name: "Go".to_owned(),
        input: None,
    };
    let missing = client.raise_event(raise("missing")).await;
    assert_eq!(missing.expect_err("missing").code(), Code::NotFound);
    start(&mut client, "a").await;
    for _ in 0..crate::testing::PENDING_EVENTS_MAX {
        client.raise_event(raise("a")).await.expect("there is room");
    }
    let full = client.raise_event(raise("a")).await.expect_err("full");
    assert_eq!(full.code(), Code::ResourceExhausted);
    let stale = OrchestratorResponse {
        instance_id: "b".to_owned(),
        ..Default::default()
    };
    let stale = client.complete_orchestrator_task(stale).await;
    let stale = stale.expect("without effect").into_inner();
    assert_eq!(stale, CompleteTaskResponse {});
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_gives_back_is_offered_again_and_all_can_be_listed_and_purged() {
    let (node, neighbour) = Node::start_beside(Config::default()).await;
    let mut client = neighbour.client();
    start(&mut client, "0").await;
    let mut worker = Worker::connect(neighbour.client()).await;
    worker.forget_history().await;
    worker.turn(|_| vec![completes("1")]).await;
    start(&mut client, "later").await;
    worker.abandon_turn().await;
    let delayed = node.partitions.iter().map(|it| it.figures().timers);
    assert_eq!(delayed.sum::<u64>(), 1);
    drop(worker);
    let ids: Vec<String> = (1..8).map(|number| number.to_string()).collect();
    for id in &ids {
        start(&mut client, id).await;
        terminate(&mut client, id).await;
    }
    assert_eq!(
        status(&mut client, "0").await,
        Some(OrchestrationStatus::Completed)
    );
    let listed = client
        .query_instances(QueryInstancesRequest {
            query: Some(InstanceQuery::default()),
        })
        .await;
    let listed = listed.expect("read").into_inner().orchestration_state;
    assert_eq!(listed.len(), 9);
    let purged = client.purge_instances(PurgeInstancesRequest {
        request: Some(Request::InstanceBatch(InstanceBatch { instance_ids: ids })),
        ..Default::default()
    });
    let purged = purged.await.expect("purged").into_inner();
    assert_eq!(purged.deleted_instance_count, 7);
    node.stop().await;
}
