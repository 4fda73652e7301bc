//! Pages put together from all partitions.

use std::collections::BTreeSet;

use longhaul_proto::sidecar::{
    InstanceQuery, ListInstanceIdsRequest, OrchestrationState, OrchestrationStatus,
    QueryInstancesRequest,
};

use super::{start, terminate};
use crate::Config;
use crate::testing::{Client, Node};

async fn node_with(count: usize) -> (Node, Client) {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for number in 0..count {
        start(&mut client, &format!("order-{number}")).await;
    }
    (node, client)
}

async fn page(
    client: &mut Client,
    query: InstanceQuery,
) -> (Vec<OrchestrationState>, Option<String>) {
    let query = QueryInstancesRequest { query: Some(query) };
    let page = client
        .query_instances(query)
        .await
        .expect("answered")
        .into_inner();
    (page.orchestration_state, page.continuation_token)
}

fn ids(states: &[OrchestrationState]) -> BTreeSet<String> {
    states.iter().map(|it| it.instance_id.clone()).collect()
}

fn place(state: &OrchestrationState) -> (i64, i32, String) {
    let created = state.created_timestamp.expect("always");
    (created.seconds, created.nanos, state.instance_id.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_full_up_to_the_last_which_has_no_token() {
    let (node, mut client) = node_with(21).await;
    let mut sizes = Vec::new();
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let query = InstanceQuery {
            max_instance_count: 5,
            continuation_token: token,
            ..Default::default()
        };
        let (states, next) = page(&mut client, query).await;
        sizes.push(states.len());
        all.extend(states);
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [5, 5, 5, 5, 1]);
    assert_eq!(ids(&all).len(), 21);
    assert!(all.is_sorted_by_key(place), "{all:?}");
    node.stop().await;
}

/// More than the partitions are asked for at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_may_take_several_looks_at_each_partition() {
    let (node, mut client) = node_with(90).await;
    let query = |max_instance_count| InstanceQuery {
        max_instance_count,
        ..Default::default()
    };
    let (states, token) = page(&mut client, query(89)).await;
    assert_eq!((ids(&states).len(), token.is_some()), (89, true));
    assert!(states.is_sorted_by_key(place));
    for size in [90, 1000] {
        let (states, token) = page(&mut client, query(size)).await;
        assert_eq!((ids(&states).len(), token), (90, None));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_page_may_be_larger_and_show_more() {
    let (node, mut client) = node_with(8).await;
    let small = InstanceQuery {
        max_instance_count: 2,
        ..Default::default()
    };
    let (first, token) = page(&mut client, small).await;
    assert!(first.iter().all(|state| state.input.is_none()));
    let large = InstanceQuery {
        max_instance_count: 100,
        fetch_inputs_and_outputs: true,
        continuation_token: token,
        ..Default::default()
    };
    let (rest, token) = page(&mut client, large).await;
    assert_eq!(token, None);
    assert!(
        rest.iter()
            .all(|state| state.input.as_deref() == Some(&state.instance_id))
    );
    assert!(ids(&first).is_disjoint(&ids(&rest)));
    assert_eq!(first.len() + rest.len(), 8);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_never_exceeds_what_clients_accept() {
    let node = Node::start(Config::default()).await;
    let mut client = node.client();
    for number in 0..6 {
        let request = longhaul_proto::sidecar::CreateInstanceRequest {
            instance_id: format!("large-{number}"),
            name: "Order".to_owned(),
            input: Some("x".repeat(1 << 20)),
            ..Default::default()
        };
        client.start_instance(request).await.expect("started");
    }
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let query = InstanceQuery {
            fetch_inputs_and_outputs: true,
            continuation_token: token,
            ..Default::default()
        };
        // The client refuses more than 4 MiB.
        let (states, next) = page(&mut client, query).await;
        assert_eq!(states.len(), 3);
        all.extend(states);
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(ids(&all).len(), 6);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_combined() {
    let (node, mut client) = node_with(12).await;
    for number in [1, 3, 10, 11] {
        terminate(&mut client, &format!("order-{number}")).await;
    }
    let found = |query: InstanceQuery| {
        let mut client = client.clone();
        async move { ids(&page(&mut client, query).await.0) }
    };
    let set = |numbers: &[usize]| -> BTreeSet<String> {
        numbers.iter().map(|it| format!("order-{it}")).collect()
    };
    let terminated = vec![OrchestrationStatus::Terminated as i32];
    let query = InstanceQuery {
        runtime_status: terminated.clone(),
        ..Default::default()
    };
    assert_eq!(found(query).await, set(&[1, 3, 10, 11]));
    let query = InstanceQuery {
        instance_id_prefix: Some("order-1".into()),
        ..Default::default()
    };
    assert_eq!(found(query).await, set(&[1, 10, 11]));
    let query = InstanceQuery {
        runtime_status: terminated,
        instance_id_prefix: Some("order-1".into()),
        task_hub_names: vec!["DEFAULT".into()],
        ..Default::default()
    };
    assert_eq!(found(query).await, set(&[1, 10, 11]));
    let query = InstanceQuery {
        task_hub_names: vec!["other".into()],
        ..Default::default()
    };
    assert!(found(query).await.is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_instances_are_listed_page_by_page() {
    let (node, mut client) = node_with(9).await;
    for number in 0..7 {
        terminate(&mut client, &format!("order-{number}")).await;
    }
    let mut sizes = Vec::new();
    let mut all = BTreeSet::new();
    let mut key = Some(String::new());
    while let Some(after) = key {
        let request = ListInstanceIdsRequest {
            page_size: 3,
            last_instance_key: Some(after),
            ..Default::default()
        };
        let page = client.list_instance_ids(request).await.expect("answered");
        let page = page.into_inner();
        sizes.push(page.instance_ids.len());
        all.extend(page.instance_ids);
        key = page.last_instance_key;
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(all, (0..7).map(|it| format!("order-{it}")).collect());
    node.stop().await;
}
