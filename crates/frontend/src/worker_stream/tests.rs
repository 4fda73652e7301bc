//! The stream over a scripted source, on a paused clock.

use std::collections::VecDeque;

use longhaul_engine::InstanceKey;
use longhaul_engine::dispatch::{Past, Turn, TurnContext};
use longhaul_engine::history::event;
use longhaul_engine::instance::Activity;
use longhaul_proto::sidecar::WorkItem;
use longhaul_proto::sidecar::work_item::Request;
use longhaul_types::{ExecutionId, HubId, InstanceId, Timestamp};
use prost::Message;
use tokio_stream::StreamExt;
use tonic::Code;

use super::*;

const INTERVAL: Duration = Duration::from_secs(30);

/// What the source does next.
enum Step {
    /// Hands out work.
    Claim(Claimed),
    /// Has nothing for this long.
    Nothing(Duration),
    /// Has drained.
    End,
}

struct Script {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Stream for Script {
    type Item = Claimed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Claimed>> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.steps.pop_front() {
                Some(Step::Claim(claimed)) => return Poll::Ready(Some(claimed)),
                Some(Step::Nothing(time)) => {
                    // tidy: the clock is paused.
                    self.pause = Some(Box::pin(tokio::time::sleep(time)));
                }
                Some(Step::End) => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}

fn stream(steps: Vec<Step>) -> WorkerStream<Script> {
    let script = Script {
        steps: steps.into(),
        pause: None,
    };
    WorkerStream::new(script, INTERVAL, Arc::new(Meters::register()))
}

fn key() -> InstanceKey {
    InstanceKey::new(HubId(1), InstanceId::trusted("order-1"))
}

fn activity(event: bytes::Bytes) -> Claimed {
    let activity = Activity {
        task_id: 7,
        name: "greet".into(),
        version: None,
        execution: ExecutionId::new("e"),
        awaited_by: ExecutionId::new("e"),
        event,
        scheduled_at: Timestamp::EPOCH,
    };
    Claimed::Activity {
        token: "a".into(),
        key: key(),
        activity: Box::new(activity),
    }
}

fn greet() -> Claimed {
    let tags = Default::default();
    activity(event::task_scheduled(
        7,
        Timestamp::EPOCH,
        "greet",
        None,
        None,
        None,
        &tags,
    ))
}

fn turn() -> Claimed {
    let turn = Turn {
        context: TurnContext {
            key: key(),
            execution: ExecutionId::new("e"),
            turn: 0,
            dispatched: 0,
            started_at: Timestamp::EPOCH,
            name: "Order".into(),
            version: None,
            tags: None,
            parent: None,
            history_bytes: 0,
            history_events: 0,
        },
        past: Past::Inline(vec![]),
        new: vec![],
        trace: None,
        parent_trace: None,
    };
    Claimed::Turn {
        token: "t".into(),
        turn: Box::new(turn),
    }
}

async fn next(stream: &mut WorkerStream<Script>) -> WorkItem {
    let item = stream.next().await.expect("goes on").expect("no error");
    WorkItem::decode(item.0).expect("decodes")
}

fn is_ping(item: &WorkItem) -> bool {
    matches!(item.request, Some(Request::HealthPing(_))) && item.completion_token.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_ping_comes_at_once_and_after_every_silence() {
    let began = Instant::now();
    let mut stream = stream(vec![
        Step::Nothing(Duration::from_secs(20)),
        Step::Claim(greet()),
        Step::Nothing(Duration::from_secs(3600)),
    ]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let item = next(&mut stream).await;
        seen.push((is_ping(&item), began.elapsed().as_secs()));
    }
    assert_eq!(
        seen,
        [(true, 0), (false, 20), (true, 50), (true, 80), (true, 110)]
    );
}

#[tokio::test(start_paused = true)]
async fn items_go_out_in_the_order_they_were_claimed() {
    let mut stream = stream(vec![Step::Claim(turn()), Step::Claim(greet())]);
    assert!(is_ping(&next(&mut stream).await));
    assert_eq!(next(&mut stream).await.completion_token, "t");
    assert_eq!(next(&mut stream).await.completion_token, "a");
}

#[tokio::test(start_paused = true)]
async fn a_drained_stream_ends_with_unavailable() {
    let mut stream = stream(vec![Step::End]);
    assert!(is_ping(&next(&mut stream).await));
    let end = stream.next().await.expect("says so").expect_err("an error");
    assert_eq!(end.code(), Code::Unavailable);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_built_ends_the_stream_with_a_fault() {
    let damaged = activity(bytes::Bytes::from_static(&[0xFF]));
    let mut stream = stream(vec![Step::Claim(damaged), Step::Claim(greet())]);
    assert!(is_ping(&next(&mut stream).await));
    let end = stream.next().await.expect("says so").expect_err("an error");
    assert_eq!(end.code(), Code::Internal);
    assert!(stream.next().await.is_none());
}
