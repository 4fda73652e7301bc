//! Raises one event after the other to counters, and writes down when each was acknowledged.
//!
//! An event has no id on the wire, so each attempt carries its own name: one whose outcome is in doubt may arrive or not,
//! and is raised again under another name, as an SDK's retry would.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{
    Shared,
    calls::{Attempt, Caller, Insisted},
    drivers,
    shapes::{EVENT, LAST_EVENT, Shape},
};
use crate::record::Raised;

/// Events to one counter, after which the next one begins: its history is read anew for each of them.
const EVENTS_EACH: usize = 150;
const PAUSE: Duration = Duration::from_millis(40);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// When events were acknowledged, counted from the workload's beginning, and by a client of which node.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Vec<(Duration, Option<usize>)>>);

impl Pulse {
    /// The times, in order.
    pub fn times(&self) -> Vec<Duration> {
        self.0.lock().iter().map(|(at, _)| *at).collect()
    }

    /// The node of the last acknowledgement before `at`.
    pub fn node_before(&self, at: Duration) -> Option<usize> {
        let beats = self.0.lock();
        let before = beats.iter().rev().find(|(beat, _)| *beat < at);
        before.and_then(|(_, node)| *node)
    }

    /// Whether anything was acknowledged since.
    pub fn beats_since(&self, since: Duration) -> bool {
        self.0.lock().last().is_some_and(|(at, _)| *at > since)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    pub(super) fn beat(&self, at: Duration, node: Option<usize>) {
        self.0.lock().push((at, node));
    }
}

/// One counter after the other until told to stop.
pub async fn beat(shared: Arc<Shared>, nth: usize, client: Caller, pulse: Arc<Pulse>) {
    let mut turn = 0_u64;
    while !shared.stop.is_cancelled() {
        turn += 1;
        let id = format!("{}-p{nth}-{turn}", shared.prefix);
        if !drivers::start(&shared, &client, &id, Shape::Counter).await {
            continue;
        }
        pulse.beat(shared.began.elapsed(), client.node());
        for number in 0..EVENTS_EACH {
            if shared.stop.is_cancelled() {
                break;
            }
            raise(&shared, &client, &id, Some(number), &pulse).await;
            shared.stop.run_until_cancelled(sleep(PAUSE)).await;
        }
        raise(&shared, &client, &id, None, &pulse).await;
        drivers::wait(&shared, &client, &id).await;
    }
}

/// Raises an event until an attempt is acknowledged; none is the last one.
async fn raise(shared: &Shared, client: &Caller, id: &str, number: Option<usize>, pulse: &Pulse) {
    let deadline = Instant::now() + shared.ends_within;
    let mut attempt = 0_u32;
    loop {
        attempt += 1;
        let event = match number {
            Some(number) => format!("{number}.{attempt}"),
            None => LAST_EVENT.to_owned(),
        };
        let outcome = client
            .once(|client| {
                let (id, carried) = (id.to_owned(), serde_json::json!(event).to_string());
                async move { client.raise_event(&id, EVENT, Some(carried)).await }
            })
            .await;
        let acknowledged = matches!(outcome, Attempt::Answered(()));
        let refused = matches!(outcome, Attempt::Refused(..));
        if !refused {
            shared.seen.lock().raised.push(Raised {
                instance_id: id.to_owned(),
                event,
                acknowledged,
            });
        }
        match client.counted(attempt, outcome) {
            Attempt::Answered(()) => return pulse.beat(shared.began.elapsed(), client.node()),
            Attempt::Refused(code, why) if !shared.tolerates.contains(&code) => {
                return shared.note(&format!("event to {id}"), &Insisted::Refused(code, why));
            }
            Attempt::Refused(_, why) | Attempt::Unavailable(why) | Attempt::InDoubt(why) => {
                if Instant::now() > deadline {
                    let what = format!("event to {id}");
                    return shared.note(&what, &Insisted::Unanswered(why));
                }
            }
        }
        sleep(RETRY_PAUSE).await;
    }
}
