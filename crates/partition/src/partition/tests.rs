//! Deliveries and completions of a whole node, over a log that can be stalled.

use futures::{FutureExt, StreamExt};
use longhaul_engine::turn::{Action, Decided};

use super::*;
use crate::testing::{HUB, Node, key, until};
use crate::{Config, Session};

/// The next item out on the stream, by its token.
async fn claim(node: &Node, stream: &mut Session) -> LeaseId {
    let claimed = stream.next().await.expect("nothing drains");
    let delivery = node
        .partitions
        .by_token(HUB, claimed.kind(), claimed.token());
    delivery.expect("ours").1
}

fn schedules_an_activity() -> Answer {
    let action = Action::ScheduleTask {
        name: "X".to_owned(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    };
    Answer {
        actions: vec![Decided { id: 1, action }],
        ..Answer::default()
    }
}

/// Begins a call and gives it up before it has an outcome.
fn give_up<T>(call: impl Future<Output = T>) {
    let outcome = Box::pin(call).now_or_never();
    assert!(outcome.is_none(), "the log is stalled");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_known_in_its_hub_for_its_kind_only() {
    let node = Node::start(Config::default()).await;
    node.create("a").await;
    let mut stream = node.stream(1);
    let Some(Claimed::Turn { token, .. }) = stream.next().await else {
        panic!("a turn is ready");
    };
    let known = |hub, kind| node.partitions.by_token(hub, kind, &token).is_some();
    assert!(known(HUB, WorkKind::Orchestration));
    assert!(!known(HUB, WorkKind::Activity));
    assert!(!known(HUB, WorkKind::Entity));
    assert!(!known(longhaul_types::HubId(2), WorkKind::Orchestration));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_never_sent_does_not_hold_the_turn() {
    let node = Node::start(Config::default()).await;
    let partition = node.partition();
    node.create("a").await;
    let mut first = node.stream(1);
    let delivery = claim(&node, &mut first).await;
    drop(partition.turn_lease(delivery).expect("out"));
    let lease = partition.turn_lease(delivery).expect("still out");
    drop(partition.complete_turn(lease, Answer::default()));
    drop(first);
    let mut second = node.stream(1);
    claim(&node, &mut second).await;
    assert!(partition.turn_lease(delivery).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_caller_gave_up_is_over_once_it_is_committed() {
    let node = Node::start(Config::default()).await;
    let partition = node.partition();
    node.create("a").await;
    let mut stream = node.stream(1);
    let delivery = claim(&node, &mut stream).await;
    node.stall(true);
    let lease = partition.turn_lease(delivery).expect("out");
    give_up(partition.complete_turn(lease, schedules_an_activity()));
    drop(partition.turn_lease(delivery).expect("the delivery stands"));
    node.stall(false);
    claim(&node, &mut stream).await;
    assert!(partition.turn_lease(delivery).is_none());
    assert_eq!(partition.turn_lease_of(&key("a")).map(drop), None);
}

#[tokio::test(start_paused = true)]
async fn an_activity_whose_caller_gave_up_is_over_once_it_is_committed() {
    let node = Node::start(Config::default()).await;
    let partition = node.partition();
    node.create("a").await;
    let mut stream = node.stream(1);
    let turn = claim(&node, &mut stream).await;
    let lease = partition.turn_lease(turn).expect("out");
    let completed = partition.complete_turn(lease, schedules_an_activity());
    completed.await.expect("committed");
    let delivery = claim(&node, &mut stream).await;
    node.stall(true);
    let lease = partition.activity_lease(delivery).expect("out");
    give_up(partition.complete_activity(lease, ActivityResult::Completed(None)));
    drop(partition.activity_lease(delivery).expect("it stands"));
    assert_eq!(node.partitions.sessions().out(), 1);
    node.stall(false);
    claim(&node, &mut stream).await;
    assert!(partition.activity_lease(delivery).is_none());
    assert_eq!(node.partitions.sessions().out(), 1, "the next turn only");
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_caller_gave_up_is_out_again_when_the_stream_is_lost() {
    let node = Node::start(Config::default()).await;
    let partition = node.partition();
    node.create("a").await;
    let mut first = node.stream(1);
    let delivery = claim(&node, &mut first).await;
    node.stall(true);
    let lease = partition.turn_lease(delivery).expect("out");
    let committing = Box::pin(partition.complete_turn(lease, schedules_an_activity()));
    let committing = {
        let mut committing = committing;
        assert!((&mut committing).now_or_never().is_none());
        committing
    };
    drop(first);
    assert_eq!(partition.figures().queued, 0, "it is being committed");
    drop(committing);
    assert_eq!(partition.figures().queued, 1, "its outcome is unknown");
    let mut second = node.stream(1);
    let again = claim(&node, &mut second).await;
    node.stall(false);
    until(|| partition.turn_lease(again).is_none()).await;
    assert_eq!(
        node.partitions.sessions().out(),
        0,
        "the first answer counted, and ended the second delivery"
    );
    claim(&node, &mut second).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_out_for_too_long_is_offered_again() {
    let node = Node::start(Config {
        turn_lease_max: Duration::from_secs(30),
        ..Config::default()
    })
    .await;
    node.create("a").await;
    let mut stream = node.stream(1);
    let forgotten = claim(&node, &mut stream).await;
    let again = tokio::time::timeout(Duration::from_secs(60), claim(&node, &mut stream));
    let again = again.await.expect("offered again");
    assert!(node.partition().turn_lease(forgotten).is_none());
    assert!(node.partition().turn_lease(again).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_completes_is_parked_and_counted() {
    let node = Node::start(Config {
        park_after: 2,
        park_retry: Duration::from_secs(900),
        ..Config::default()
    })
    .await;
    node.create("a").await;
    let partition = node.partition();
    let mut stream = node.stream(1);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let delivery = claim(&node, &mut stream).await;
        partition.abandon(delivery, AbandonDelay::Backoff);
        let since = tokio::time::Instant::now();
        until(|| partition.figures().queued == 1 || since.elapsed().as_secs() >= 55).await;
        waits.push(since.elapsed().as_secs());
    }
    assert_eq!(waits, [1, 2, 55, 55]);
    assert_eq!(partition.figures().parked, [1, 0, 0]);
}
