//! Streams that leave work to others, which do not take it.

use futures::StreamExt;
use tokio::time::{Instant, timeout};

use super::*;
use crate::testing::{HUB, Node};
use crate::{AbandonDelay, Config, WorkKind};

/// Much longer than any pause, and shorter than anything else that wakes a stream.
const SOON: Duration = Duration::from_millis(100);

async fn next(stream: &mut Session) -> String {
    let began = Instant::now();
    let claimed = timeout(SOON, stream.next()).await;
    // The end of the time makes the stream look once more, and so it proves nothing to have an item then.
    assert!(began.elapsed() < SOON, "it comes back by itself");
    let claimed = claimed.expect("within the time");
    claimed.expect("nothing drains").token().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_what_it_left_to_others_if_they_do_not() {
    let node = Node::start(Config::default()).await;
    for id in ["a", "b", "c", "d"] {
        node.create(id).await;
    }
    let mut stream = node.stream(4);
    let _never_looks = node.stream(4);
    for _ in 0..4 {
        next(&mut stream).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_claimed_nothing_comes_back_for_what_it_abandoned() {
    let node = Node::start(Config::default()).await;
    node.create("a").await;
    let mut stream = node.stream(1);
    let _never_looks = node.stream(1);
    let token = next(&mut stream).await;
    let delivery = node
        .partitions
        .by_token(HUB, WorkKind::Orchestration, &token);
    let (partition, delivery) = delivery.expect("ours");
    partition.abandon(delivery, AbandonDelay::None);
    // That woke this very job; let it be for nothing, as when others are faster.
    tokio::task::yield_now().await;
    assert_ne!(next(&mut stream).await, token);
}
