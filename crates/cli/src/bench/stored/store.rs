//! The stored instances: which there are, and how they come to be.

use std::{
    num::NonZeroU32,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use longhaul_client::{Client, Worker};
use longhaul_proto::sidecar::{CreateInstanceRequest, InstanceQuery, OrchestrationStatus};
use prost_types::Timestamp;
use tokio::time::sleep;

use crate::bench::{
    load::run_prefix,
    orchestrators::{self, Plan},
};

const IN_FLIGHT: usize = 256;
/// Starts that may be ahead of the worker.
const BACKLOG_MAX: u64 = 20_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// The worker's slots while storing, and for the load of the bench.
pub(super) const WORKER_SLOTS: NonZeroU32 = NonZeroU32::new(256).expect("so many are not zero");
/// The most that a page can hold.
const COUNTED_PAGE_SIZE: i32 = 1_000;

/// Instances of which some wait for ever and the others have ended with their first turn.
#[derive(Debug, Clone)]
pub(super) struct Store {
    prefix: String,
    count: usize,
    live: usize,
    payload_bytes: usize,
}

/// Those stored so far, and when.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) store: Store,
    /// How many; the first ones.
    pub(super) count: usize,
    /// Since the epoch, before the first was stored.
    pub(super) from: Duration,
    /// Since the epoch, after the last was.
    pub(super) to: Duration,
}

/// Instances listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) live: usize,
    pub(super) ended: usize,
    pub(super) elapsed: Duration,
}

impl Store {
    pub(super) fn new(count: usize, live: usize, payload_bytes: usize) -> Self {
        Self {
            prefix: run_prefix("stored"),
            count,
            live,
            payload_bytes,
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn id(&self, nth: usize) -> String {
        format!("{}-{nth}", self.prefix)
    }

    /// Whether that one waits. Those that do are spread evenly among the others.
    pub(super) fn is_live(&self, nth: usize) -> bool {
        self.live_below(nth + 1) > self.live_below(nth)
    }

    /// How many of the first `count` wait.
    pub(super) fn live_below(&self, count: usize) -> usize {
        (count as u128 * self.live as u128 / self.count as u128) as usize
    }

    /// Stores those instances and sees each through its first turn, which for most is also the last.
    pub(super) async fn fill(
        &self,
        range: Range<usize>,
        client: &Client,
        worker: &Worker,
        patience: Duration,
    ) -> anyhow::Result<Stored> {
        let from = since_epoch();
        let (started, turns_before) = (AtomicU64::new(0), worker.totals().turns);
        let backlog = || {
            let turns = worker.totals().turns - turns_before;
            started.load(Ordering::Relaxed).saturating_sub(turns)
        };
        let count = range.end;
        stream::iter(range)
            .map(|nth| async move { self.request(nth) })
            .map(|request| async {
                while backlog() > BACKLOG_MAX {
                    sleep(LOOK_INTERVAL).await;
                }
                client.start(request.await).await?;
                started.fetch_add(1, Ordering::Relaxed);
                anyhow::Ok(())
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        self.await_turns(client, patience).await?;
        Ok(Stored {
            store: self.clone(),
            count,
            from,
            to: since_epoch(),
        })
    }

    fn request(&self, nth: usize) -> CreateInstanceRequest {
        let (name, count) = match self.is_live(nth) {
            true => (orchestrators::EVENTS, 1),
            false => (orchestrators::SEQUENCE, 0),
        };
        let plan = Plan {
            count,
            payload: ".".repeat(self.payload_bytes).into(),
            ..Plan::default()
        };
        CreateInstanceRequest {
            instance_id: self.id(nth),
            name: name.to_owned(),
            input: Some(plan.to_json()),
            ..CreateInstanceRequest::default()
        }
    }

    /// Waits until none is left that had no turn yet.
    async fn await_turns(&self, client: &Client, patience: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let pending = InstanceQuery {
            runtime_status: vec![OrchestrationStatus::Pending.into()],
            instance_id_prefix: Some(self.prefix.clone()),
            max_instance_count: 1,
            ..InstanceQuery::default()
        };
        while let Some(state) = client
            .query_instances(pending.clone())
            .await?
            .instances
            .first()
        {
            ensure!(
                begun.elapsed() < patience,
                "{} had no turn within {patience:?}",
                state.instance_id
            );
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}

impl Stored {
    /// Lists them all, page by page, and fails unless each is there once and as it should be.
    pub(super) async fn count(&self, client: &Client) -> anyhow::Result<Counted> {
        let begun = Instant::now();
        let mut query = InstanceQuery {
            instance_id_prefix: Some(self.store.prefix.clone()),
            max_instance_count: COUNTED_PAGE_SIZE,
            ..InstanceQuery::default()
        };
        let mut seen = vec![false; self.count];
        let (mut live, mut ended) = (0, 0);
        loop {
            let page = client.query_instances(query.clone()).await?;
            for state in page.instances {
                let nth = self.check(&state.instance_id, state.orchestration_status())?;
                ensure!(
                    !std::mem::replace(&mut seen[nth], true),
                    "{} is listed twice",
                    state.instance_id
                );
                match self.store.is_live(nth) {
                    true => live += 1,
                    false => ended += 1,
                }
            }
            query.continuation_token = page.next;
            if query.continuation_token.is_none() {
                break;
            }
        }
        ensure!(
            live + ended == self.count,
            "{} of {} instances are not listed",
            self.count - live - ended,
            self.count
        );
        Ok(Counted {
            live,
            ended,
            elapsed: begun.elapsed(),
        })
    }

    /// Which one has that id.
    pub(super) fn nth(&self, instance_id: &str) -> Option<usize> {
        let digits = instance_id
            .strip_prefix(&self.store.prefix)?
            .strip_prefix('-')?;
        digits.parse().ok().filter(|nth| *nth < self.count)
    }

    /// What its status must be.
    pub(super) fn status(&self, nth: usize) -> OrchestrationStatus {
        match self.store.is_live(nth) {
            true => OrchestrationStatus::Running,
            false => OrchestrationStatus::Completed,
        }
    }

    fn check(&self, instance_id: &str, status: OrchestrationStatus) -> anyhow::Result<usize> {
        let nth = self
            .nth(instance_id)
            .with_context(|| format!("{instance_id} was never stored"))?;
        ensure!(
            status == self.status(nth),
            "{instance_id} is {}",
            status.as_str_name()
        );
        Ok(nth)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A time since the epoch, as the protocol has it.
pub(super) fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since_epoch.subsec_nanos()).expect("below a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_ones_are_spread_evenly() {
        for (count, live) in [(10, 3), (1_000, 100), (7, 7), (7, 0), (1, 1)] {
            let store = Store::new(count, live, 0);
            let live_nths = (0..count).filter(|nth| store.is_live(*nth)).count();
            assert_eq!(live_nths, live, "{live} of {count}");
            assert_eq!(store.live_below(count), live, "{live} of {count}");
        }
        let store = Store::new(1_000_000, 100_000, 0);
        assert_eq!(store.live_below(1_000), 100);
    }

    #[test]
    fn requests_and_states_agree() {
        let store = Store::new(4, 2, 3);
        let stored = Stored {
            store: store.clone(),
            count: 4,
            from: Duration::ZERO,
            to: Duration::ZERO,
        };
        for nth in 0..4 {
            let request = store.request(nth);
            let (name, status) = match store.is_live(nth) {
                true => (orchestrators::EVENTS, OrchestrationStatus::Running),
                false => (orchestrators::SEQUENCE, OrchestrationStatus::Completed),
            };
            assert_eq!((request.name.as_str(), stored.status(nth)), (name, status));
            assert!(request.input.is_some_and(|input| input.contains("\"...\"")));
            assert_eq!(stored.nth(&request.instance_id), Some(nth));
            assert_eq!(stored.check(&request.instance_id, status).ok(), Some(nth));
            let wrong = OrchestrationStatus::Failed;
            assert!(stored.check(&request.instance_id, wrong).is_err());
        }
        for foreign in [store.id(4), store.id(0) + "x", "other-1".to_owned()] {
            assert_eq!(stored.nth(&foreign), None, "{foreign}");
        }
    }

    #[test]
    fn times() {
        let time = timestamp(Duration::new(5, 7));
        assert_eq!((time.seconds, time.nanos), (5, 7));
    }
}
