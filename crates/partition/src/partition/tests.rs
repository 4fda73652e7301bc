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

fn raised(id: &str) -> Command {
    Command::RaiseEvent {
        key: key(id),
        event: event::event_raised(Timestamp::EPOCH, "Paid", None),
    }
}

fn signalled(id: &str, request_id: &str, due: Option<Timestamp>) -> Command {
    Command::SignalEntity {
        key: key(id),
        request_id: request_id.into(),
        event: Bytes::from_static(b"an operation"),
        due,
    }
}

fn sends_an_event(target: &str) -> Answer {
    let action = Action::SendEvent {
        instance: target.to_owned(),
        name: "Paid".to_owned(),
        data: None,
    };
    Answer {
        actions: vec![Decided { id: 1, action }],
        ..Answer::default()
    }
}

/// How many were taken, if all others were refused because the instance is full.
fn taken(replies: Vec<Result<Reply, ProposeError>>, max: usize) -> usize {
    let taken = |reply| match reply {
        Ok(reply) => {
            assert_eq!(reply, Reply::Done);
            1
        }
        Err(ProposeError::Full { pending, max: of }) => {
            assert_eq!((pending, of), (max, max));
            0
        }
        Err(error) => panic!("{error}"),
    };
    replies.into_iter().map(taken).sum()
}

async fn few_may_wait(max: usize) -> Node {
    Node::start(Config {
        pending_events_max: max,
        entry_commands_max: 2,
        ..Config::default()
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn clients_let_exactly_as_much_wait_as_may() {
    const MAX: usize = 5;
    let node = few_may_wait(MAX).await;
    let partition = node.partition();
    node.create("full").await;
    node.create("beside").await;
    let due = Some(Timestamp::EPOCH + Duration::from_secs(2_000_000));
    let cases = [
        (0..12).map(|_| raised("full")).collect::<Vec<_>>(),
        (0..12)
            .map(|it| signalled("@e@full", &it.to_string(), due.filter(|_| it % 2 == 0)))
            .collect(),
    ];
    for commands in cases {
        // All of them at once, over several entries: those on their way count.
        let replies = commands.into_iter().map(|it| partition.propose(it));
        let replies = futures::future::join_all(replies).await;
        assert_eq!(taken(replies, MAX), MAX);
    }
    let others = [raised("beside"), signalled("@e@beside", "0", None)];
    for command in others {
        let reply = partition.propose(command).await;
        assert_eq!(reply.expect("there is room"), Reply::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_instance_takes_more_once_a_worker_took_some() {
    let node = few_may_wait(3).await;
    let partition = node.partition();
    node.create("full").await;
    let full = async || {
        let replies = [0; 4].map(|_| partition.propose(raised("full")));
        taken(futures::future::join_all(replies).await, 3)
    };
    assert_eq!(full().await, 3);
    let mut stream = node.stream(1);
    let delivery = claim(&node, &mut stream).await;
    assert_eq!(full().await, 0, "they are out, but they still wait");
    let lease = partition.turn_lease(delivery).expect("out");
    let completed = partition.complete_turn(lease, Answer::default()).await;
    completed.expect("committed");
    assert_eq!(full().await, 3);
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_finds_room_in_a_full_instance() {
    let node = few_may_wait(1).await;
    let partition = node.partition();
    node.create("full").await;
    node.create("ended").await;
    let end = Command::Terminate {
        key: key("ended"),
        output: None,
        recurse: false,
    };
    let first = [raised("full"), signalled("@e@full", "a", None), end];
    for command in first {
        let reply = partition.propose(command).await;
        assert_eq!(reply.expect("committed"), Reply::Done);
    }
    let cases = [
        (raised("ended"), Reply::Done),
        (raised("missing"), Reply::NotFound),
        // A client that calls again because the first answer was lost.
        (signalled("@e@full", "a", None), Reply::Done),
    ];
    for (command, expected) in cases {
        let reply = partition.propose(command).await;
        assert_eq!(reply.expect("nothing is added"), expected);
    }
    for command in [raised("full"), signalled("@e@full", "b", None)] {
        assert_eq!(taken(vec![partition.propose(command).await], 1), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_instances_send_each_other_is_always_taken_and_results_do_not_count() {
    let node = few_may_wait(1).await;
    let partition = node.partition();
    node.create("sender").await;
    let mut stream = node.stream(1);
    let sending = claim(&node, &mut stream).await;
    node.create("full").await;
    assert_eq!(
        taken(vec![partition.propose(raised("full")).await], 1),
        1,
        "an ExecutionStarted is no event that waits"
    );
    let lease = partition.turn_lease(sending).expect("out");
    let sent = partition.complete_turn(lease, sends_an_event("full")).await;
    sent.expect("committed");
    let Some(Claimed::Turn { turn, .. }) = stream.next().await else {
        panic!("a turn of the receiver is ready");
    };
    assert_eq!(turn.new.len(), 3, "its start and both events");
}
