//! Removes what deleted hubs held, in the background and for as long as it takes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_types::HubId;
use tokio::time::Instant;

use super::HubRegistry;

/// Between a failed attempt and the next one, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// After the first success, everything is removed once more this much later: a call that had begun before the deletion,
/// or a message between partitions, may arrive late.
const LATECOMERS: Duration = Duration::from_secs(30);

/// What is to be done about one doomed hub.
struct Attempt {
    at: Instant,
    /// Whether one succeeded before.
    emptied: bool,
    /// How long to wait if this one fails.
    pause: Duration,
}

/// Between two looks of a node on which it is not to remove anything.
const BYSTANDER_PAUSE: Duration = Duration::from_secs(2);

/// Removes the content of every doomed hub with `remove`, now and whenever one is deleted, for as long as `is_ours` says
/// that this node is to; never returns.
///
/// A hub is forgotten once `remove` has succeeded twice. After a failure, or a crash, `remove` is called again for the
/// whole hub; one that fails does not keep others from being removed.
pub(crate) async fn run<R, E>(
    hubs: Arc<HubRegistry>,
    is_ours: impl Fn() -> bool,
    remove: impl Fn(HubId) -> R,
) where
    R: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    let mut attempts: BTreeMap<HubId, Attempt> = BTreeMap::new();
    let mut changes = hubs.retention();
    loop {
        if !is_ours() {
            attempts.clear();
            tokio::time::sleep(BYSTANDER_PAUSE).await;
            continue;
        }
        changes.mark_unchanged();
        for hub in hubs.doomed() {
            attempts.entry(hub).or_insert_with(Attempt::first);
        }
        let now = Instant::now();
        let due = attempts.iter().filter(|(_, attempt)| attempt.at <= now);
        let due: Vec<HubId> = due.map(|(hub, _)| *hub).collect();
        for hub in due {
            let outcome = remove(hub).await;
            let attempt = attempts.get_mut(&hub).expect("just seen");
            match outcome {
                Err(error) => {
                    tracing::debug!(hub = hub.0, %error, "the content of a deleted task hub is removed later");
                    attempt.failed();
                }
                Ok(()) if attempt.emptied => match hubs.removed(hub).await {
                    Ok(()) => {
                        attempts.remove(&hub);
                        tracing::info!(hub = hub.0, "the content of a deleted task hub is removed");
                    }
                    Err(error) => {
                        tracing::debug!(hub = hub.0, %error, "a removal is noted later");
                        attempt.failed();
                    }
                },
                Ok(()) => attempt.succeeded(),
            }
        }
        let next = attempts.values().map(|attempt| attempt.at).min();
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = until(next) => {}
        }
    }
}

impl Attempt {
    fn first() -> Self {
        Self {
            at: Instant::now(),
            emptied: false,
            pause: PAUSE_MIN,
        }
    }

    fn failed(&mut self) {
        self.at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn succeeded(&mut self) {
        self.at = Instant::now() + LATECOMERS;
        self.emptied = true;
        self.pause = PAUSE_MIN;
    }
}

/// For ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::task::JoinHandle;

    use super::super::Creation;
    use super::super::testing::{Decided, follow, name};
    use super::*;

    /// A removal that fails as often as it was told, and when it was called for which hub.
    #[derive(Clone, Default)]
    struct Content(Arc<Mutex<Called>>);

    #[derive(Default)]
    struct Called {
        failures_left: u32,
        calls: Vec<(Instant, HubId)>,
    }

    impl Content {
        fn failing(times: u32) -> Self {
            let content = Self::default();
            content.0.lock().failures_left = times;
            content
        }

        fn start(&self, hubs: &Arc<HubRegistry>) -> JoinHandle<()> {
            let content = self.clone();
            let remove = move |hub| {
                let mut called = content.0.lock();
                called.calls.push((Instant::now(), hub));
                let fails = called.failures_left > 0;
                called.failures_left = called.failures_left.saturating_sub(1);
                std::future::ready(match fails {
                    true => Err("no leader"),
                    false => Ok(()),
                })
            };
            tokio::spawn(run(hubs.clone(), || true, remove))
        }

        /// The hubs it was called for, and the time to the last call from the one before.
        fn calls(&self) -> (Vec<HubId>, Duration) {
            let calls = &self.0.lock().calls;
            let pause = match calls.as_slice() {
                [.., (before, _), (last, _)] => *last - *before,
                _ => Duration::ZERO,
            };
            (calls.iter().map(|(_, hub)| *hub).collect(), pause)
        }
    }

    fn hubs(decided: &Arc<Decided>) -> Arc<HubRegistry> {
        Arc::new(follow(decided, Creation::Explicit))
    }

    async fn doomed(hubs: &HubRegistry, hub: &str) -> HubId {
        let id = hubs.create(&name(hub)).await.expect("created");
        hubs.delete(&name(hub)).await.expect("deleted");
        id
    }

    /// Waits in simulated time until nothing is doomed any more.
    async fn settled(hubs: &HubRegistry) {
        for _ in 0..10_000 {
            if hubs.doomed().is_empty() {
                return;
            }
            // tidy: the clock is paused
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("still doomed: {:?}", hubs.doomed());
    }

    #[tokio::test(start_paused = true)]
    async fn deleted_hubs_are_removed_twice_and_then_forgotten() {
        let decided = Decided::new();
        let hubs = hubs(&decided);
        let before = doomed(&hubs, "before").await;
        let content = Content::default();
        let job = content.start(&hubs);
        settled(&hubs).await;
        let (calls, pause) = content.calls();
        assert_eq!(calls, [before, before]);
        assert!(pause >= LATECOMERS, "{pause:?}");

        let after = doomed(&hubs, "after").await;
        settled(&hubs).await;
        assert_eq!(content.calls().0, [before, before, after, after]);
        job.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn removal_that_fails_is_tried_again_ever_more_rarely() {
        let decided = Decided::new();
        let hubs = hubs(&decided);
        let hub = doomed(&hubs, "a").await;
        let content = Content::failing(20);
        let job = content.start(&hubs);
        // A node that is stopped goes on after its next start.
        while content.calls().0.len() < 15 {
            assert_eq!(hubs.doomed(), [hub]);
            // tidy: the clock is paused
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (calls, pause) = content.calls();
        assert!(calls.iter().all(|called| *called == hub));
        assert_eq!(pause, PAUSE_MAX);
        job.abort();
        assert!(job.await.expect_err("aborted").is_cancelled());
        drop(hubs);

        let hubs = self::hubs(&decided);
        assert_eq!(hubs.doomed(), [hub]);
        let job = content.start(&hubs);
        settled(&hubs).await;
        assert_eq!(content.calls().0.len(), 22);
        job.abort();
        assert!(self::hubs(&decided).doomed().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_node_removes() {
        let decided = Decided::new();
        let hubs = hubs(&decided);
        let hub = doomed(&hubs, "a").await;
        let turn = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (ours, content) = (turn.clone(), Content::default());
        let called = content.clone();
        let remove = move |hub| {
            called.0.lock().calls.push((Instant::now(), hub));
            std::future::ready(Ok::<(), &str>(()))
        };
        let is_ours = move || ours.load(std::sync::atomic::Ordering::Acquire);
        let job = tokio::spawn(run(hubs.clone(), is_ours, remove));
        // tidy: the clock is paused
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(content.calls().0.is_empty());
        turn.store(true, std::sync::atomic::Ordering::Release);
        settled(&hubs).await;
        assert_eq!(content.calls().0, [hub, hub]);
        job.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn hub_that_cannot_be_removed_keeps_no_other_from_it() {
        let decided = Decided::new();
        let hubs = hubs(&decided);
        let stuck = doomed(&hubs, "stuck").await;
        let other = doomed(&hubs, "other").await;
        let remove = move |hub| {
            std::future::ready(match hub == stuck {
                true => Err("too much waits"),
                false => Ok(()),
            })
        };
        let job = tokio::spawn(run(hubs.clone(), || true, remove));
        while hubs.doomed().contains(&other) {
            // tidy: the clock is paused
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(hubs.doomed(), [stuck]);
        job.abort();
    }
}
