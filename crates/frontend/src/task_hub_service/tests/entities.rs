//! Entities as clients and workers see them.

use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::operation_result::ResultType;
use longhaul_proto::sidecar::purge_instances_request::Request;
use longhaul_proto::sidecar::{
    CleanEntityStorageRequest, CleanEntityStorageResponse, EntityBatchResult, EntityMetadata,
    EntityQuery, EntityRequest, GetEntityRequest, OperationResult, OperationResultSuccess,
    PurgeInstancesRequest, QueryEntitiesRequest, SignalEntityRequest,
};

use crate::Config;
use crate::testing::{Client, Node, Worker};

async fn signal(client: &mut Client, id: &str, request_id: &str) {
    let request = SignalEntityRequest {
        instance_id: id.to_owned(),
        name: "Add".to_owned(),
        input: Some("1".to_owned()),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    client.signal_entity(request).await.expect("taken");
}

async fn entity(client: &mut Client, id: &str, include_state: bool) -> Option<EntityMetadata> {
    let request = GetEntityRequest {
        instance_id: id.to_owned(),
        include_state,
    };
    let response = client
        .get_entity(request)
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(response.exists, response.entity.is_some());
    response.entity
}

/// Those without a state as well.
async fn with_transient(client: &mut Client, prefix: &str) -> Vec<EntityMetadata> {
    let query = EntityQuery {
        instance_id_starts_with: Some(prefix.to_owned()),
        include_transient: true,
        ..Default::default()
    };
    let request = QueryEntitiesRequest { query: Some(query) };
    let page = client.query_entities(request).await.expect("answered");
    page.into_inner().entities
}

/// Every operation succeeds, and the state counts them.
fn counted(batch: &EntityRequest) -> EntityBatchResult {
    let before: usize = batch
        .entity_state
        .as_deref()
        .map_or(0, |it| it.parse().expect("a number"));
    let results = batch.operation_requests.iter().map(|_| OperationResult {
        result_type: Some(ResultType::Success(OperationResultSuccess::default())),
    });
    EntityBatchResult {
        results: results.collect(),
        entity_state: Some((before + batch.operation_requests.len()).to_string()),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signalled_entity_gets_a_state_from_its_worker() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    signal(&mut client, "@Counter@A", "").await;
    assert_eq!(
        entity(&mut client, "@counter@A", true).await,
        None,
        "it has no state yet"
    );
    let waiting = with_transient(&mut client, "").await;
    let [waiting] = &waiting[..] else {
        panic!("{waiting:?}")
    };
    assert_eq!(
        (waiting.instance_id.as_str(), waiting.backlog_queue_size),
        ("@counter@A", 1)
    );
    let mut worker = Worker::connect(client.clone()).await;
    worker
        .batch(|batch| {
            assert_eq!(batch.instance_id, "@counter@A");
            assert_eq!(batch.entity_state, None);
            let [operation] = &batch.operation_requests[..] else {
                panic!("{batch:?}")
            };
            let Some(EventType::EntityOperationSignaled(signaled)) = &operation.event_type else {
                panic!("{operation:?}")
            };
            assert_eq!(
                (signaled.operation.as_str(), signaled.input.as_deref()),
                ("Add", Some("1"))
            );
            assert_eq!(
                signaled.request_id.len(),
                36,
                "a GUID: {}",
                signaled.request_id
            );
            counted(batch)
        })
        .await;
    let whole = entity(&mut client, "@COUNTER@A", true)
        .await
        .expect("it has a state");
    assert_eq!(whole.instance_id, "@counter@A");
    assert_eq!(whole.serialized_state.as_deref(), Some("1"));
    assert_eq!((whole.backlog_queue_size, whole.locked_by), (0, None));
    let part = entity(&mut client, "@counter@A", false)
        .await
        .expect("it has a state");
    assert_eq!(part.serialized_state, None);
    assert_eq!(
        entity(&mut client, "@counter@a", true).await,
        None,
        "keys have case"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_counts_once() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for _ in 0..3 {
        signal(
            &mut client,
            "@counter@a",
            "9e6a3a3c-6f4c-4e0a-8d6c-3c1f5d3b7a21",
        )
        .await;
    }
    signal(
        &mut client,
        "@counter@a",
        "0b6dcf5a-0f5d-4b0e-b0b5-6b2b6f0b7c11",
    )
    .await;
    let mut worker = Worker::connect(client.clone()).await;
    worker.batch(counted).await;
    let state = entity(&mut client, "@counter@a", true)
        .await
        .expect("it has a state");
    assert_eq!(state.serialized_state.as_deref(), Some("2"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_are_found_by_prefix_page_by_page_and_purged() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    let mut worker = Worker::connect(client.clone()).await;
    for id in [
        "@counter@a",
        "@counter@b",
        "@counter@c",
        "@counters@d",
        "@list@a",
    ] {
        signal(&mut client, id, "").await;
        worker.batch(counted).await;
    }
    signal(&mut client, "@counter@queued", "").await;

    let mut found = Vec::new();
    let mut sizes = Vec::new();
    let mut token = None;
    loop {
        let query = EntityQuery {
            instance_id_starts_with: Some("@Counter@".to_owned()),
            include_state: true,
            page_size: Some(2),
            continuation_token: token,
            ..Default::default()
        };
        let request = QueryEntitiesRequest { query: Some(query) };
        let page = client
            .query_entities(request)
            .await
            .expect("answered")
            .into_inner();
        sizes.push(page.entities.len());
        found.extend(page.entities);
        token = page.continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 1]);
    let ids: Vec<_> = found.iter().map(|it| it.instance_id.as_str()).collect();
    assert_eq!(ids, ["@counter@a", "@counter@b", "@counter@c"]);
    assert!(
        found
            .iter()
            .all(|it| it.serialized_state.as_deref() == Some("1"))
    );

    assert_eq!(with_transient(&mut client, "@counter@").await.len(), 4);

    for expected in [1, 0] {
        let request = PurgeInstancesRequest {
            request: Some(Request::InstanceId("@Counter@a".to_owned())),
            ..Default::default()
        };
        let purged = client
            .purge_instances(request)
            .await
            .expect("answered")
            .into_inner();
        assert_eq!(purged.deleted_instance_count, expected);
    }
    assert_eq!(entity(&mut client, "@counter@a", true).await, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_has_nothing_to_do() {
    let node = Node::start(Config::default()).await;
    let request = CleanEntityStorageRequest {
        remove_empty_entities: true,
        release_orphaned_locks: true,
        ..Default::default()
    };
    let swept = node.client().clean_entity_storage(request).await;
    let swept = swept.expect("answered").into_inner();
    assert_eq!(swept, CleanEntityStorageResponse::default());
    node.stop().await;
}
