//! Removes what deleted hubs held, in the background and for as long as it takes.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_partition::ProposeError;
use longhaul_types::HubId;
use tokio::time::Instant;

use super::{HubRegistry, RegistryError};
use crate::fault::FaultHandler;

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

/// Removes the content of every doomed hub with `remove`, now and whenever one is deleted. Returns only after a fault.
///
/// A hub is forgotten once `remove` has succeeded twice. After a failure, or a crash, `remove` is called again for the
/// whole hub; one that fails does not keep others from being removed.
pub(crate) async fn run<R>(
    hubs: Arc<HubRegistry>,
    on_fault: FaultHandler,
    remove: impl Fn(HubId) -> R,
) where
    R: Future<Output = Result<(), ProposeError>>,
{
    let mut attempts: BTreeMap<HubId, Attempt> = BTreeMap::new();
    loop {
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
                Ok(()) if attempt.emptied => {
                    attempts.remove(&hub);
                    if let Err(error) = note_removed(&hubs, hub).await {
                        return on_fault.raise(&error);
                    }
                    tracing::info!(hub = hub.0, "the content of a deleted task hub is removed");
                }
                Ok(()) => attempt.succeeded(),
            }
        }
        let next = attempts.values().map(|attempt| attempt.at).min();
        tokio::select! {
            () = hubs.doomed_changed() => {}
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

async fn note_removed(hubs: &Arc<HubRegistry>, hub: HubId) -> Result<(), RegistryError> {
    let hubs = hubs.clone();
    let noted = tokio::task::spawn_blocking(move || hubs.removed(hub)).await;
    noted.expect("a note does not panic")
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::task::JoinHandle;

    use super::super::Creation;
    use super::super::testing::{name, new_dir, open};
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
                    true => Err(ProposeError::NotApplied("no leader")),
                    false => Ok(()),
                })
            };
            let on_fault = FaultHandler::new(|cause| panic!("{cause}"));
            tokio::spawn(run(hubs.clone(), on_fault, remove))
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

    fn hubs(dir: &tempfile::TempDir) -> Arc<HubRegistry> {
        Arc::new(open(dir, Creation::Explicit).expect("ours"))
    }

    fn doomed(hubs: &HubRegistry, hub: &str) -> HubId {
        let id = hubs.create(&name(hub)).expect("created");
        hubs.delete(&name(hub)).expect("deleted");
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
        let dir = new_dir();
        let hubs = hubs(&dir);
        let before = doomed(&hubs, "before");
        let content = Content::default();
        let job = content.start(&hubs);
        settled(&hubs).await;
        let (calls, pause) = content.calls();
        assert_eq!(calls, [before, before]);
        assert!(pause >= LATECOMERS, "{pause:?}");

        let after = doomed(&hubs, "after");
        settled(&hubs).await;
        assert_eq!(content.calls().0, [before, before, after, after]);
        job.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn removal_that_fails_is_tried_again_ever_more_rarely() {
        let dir = new_dir();
        let hubs = hubs(&dir);
        let hub = doomed(&hubs, "a");
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

        let hubs = self::hubs(&dir);
        assert_eq!(hubs.doomed(), [hub]);
        let job = content.start(&hubs);
        settled(&hubs).await;
        assert_eq!(content.calls().0.len(), 22);
        job.abort();
        assert!(job.await.expect_err("aborted").is_cancelled());
        drop(hubs);
        assert!(self::hubs(&dir).doomed().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn hub_that_cannot_be_removed_keeps_no_other_from_it() {
        let dir = new_dir();
        let hubs = hubs(&dir);
        let (stuck, other) = (doomed(&hubs, "stuck"), doomed(&hubs, "other"));
        let on_fault = FaultHandler::new(|cause| panic!("{cause}"));
        let remove = move |hub| {
            std::future::ready(match hub == stuck {
                true => Err(ProposeError::Overloaded),
                false => Ok(()),
            })
        };
        let job = tokio::spawn(run(hubs.clone(), on_fault, remove));
        while hubs.doomed().contains(&other) {
            // tidy: the clock is paused
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(hubs.doomed(), [stuck]);
        job.abort();
    }
}
