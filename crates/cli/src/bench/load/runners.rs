//! A fixed number of runners, each doing one thing at a time, until the window ends.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout_at},
};

use super::{
    pace::Pace,
    tally::{Failure, Recorder, Tally},
};

/// Keeps a failing server from being hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// How to drive.
#[derive(Debug)]
pub(in crate::bench) struct Load {
    pub(in crate::bench) pace: Pace,
    /// At most this many at a time, in an open loop too: never an unbounded number of jobs.
    pub(in crate::bench) runners: NonZeroUsize,
    /// After the window, how long those under way may take to finish; a fixed number is waited for however long it takes.
    pub(in crate::bench) drain_max: Duration,
}

/// What was counted, and two readings of something else at the edges of the window.
#[derive(Debug)]
pub(in crate::bench) struct Readings<R> {
    pub(in crate::bench) tally: Tally,
    pub(in crate::bench) before: R,
    pub(in crate::bench) after: R,
    /// Between the two.
    pub(in crate::bench) elapsed: Duration,
}

/// Drives the load. `runner` makes each runner's operation; `read` is called when the window begins and when it ends: at
/// its time, or when the last of a fixed number is done.
pub(in crate::bench) async fn drive<R, O, F>(
    load: Load,
    mut runner: impl FnMut() -> O,
    read: impl Fn() -> R,
) -> Readings<R>
where
    O: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let window = load.pace.window();
    let pace = Arc::new(load.pace);
    let recorder = Arc::new(Recorder::new(window));
    let mut runners = JoinSet::new();
    let mut spawn_all = |runners: &mut JoinSet<()>| {
        for _ in 0..load.runners.get() {
            runners.spawn(run(Arc::clone(&pace), Arc::clone(&recorder), runner()));
        }
    };
    let (before, after, elapsed) = match window.end {
        None => {
            let (before, begun) = (read(), Instant::now());
            spawn_all(&mut runners);
            while runners.join_next().await.is_some() {}
            (before, read(), begun.elapsed())
        }
        Some(end) => {
            spawn_all(&mut runners);
            sleep_until(window.start.into()).await;
            let before = read();
            sleep_until(end.into()).await;
            let after = read();
            let drained = async { while runners.join_next().await.is_some() {} };
            // Whoever is still under way afterwards is counted as unfinished and ended with the set.
            let _ = timeout_at((end + load.drain_max).into(), drained).await;
            runners.shutdown().await;
            (before, after, end - window.start)
        }
    };
    Readings {
        tally: recorder.finish(pace.untaken()),
        before,
        after,
        elapsed,
    }
}

async fn run<F>(pace: Arc<Pace>, recorder: Arc<Recorder>, operation: impl Fn() -> F)
where
    F: Future<Output = Result<(), Failure>>,
{
    while let Some(intended) = pace.next(Instant::now()) {
        sleep_until(intended.into()).await;
        recorder.begun();
        match operation().await {
            Ok(()) => recorder.succeeded(intended, Instant::now()),
            Err(failure) => {
                recorder.failed(failure);
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::bench::load::Window;

    #[tokio::test]
    async fn every_arrival_is_accounted_for() {
        let window = Window::starting_now(Duration::ZERO, Duration::from_millis(50));
        let pace = Pace::open(window, 400.0);
        let load = Load {
            pace,
            runners: NonZeroUsize::MIN,
            drain_max: Duration::from_secs(60),
        };
        let operations = Arc::new(AtomicU64::new(0));
        let runner = || {
            let operations = Arc::clone(&operations);
            move || {
                let nth = operations.fetch_add(1, Ordering::SeqCst);
                async move {
                    if nth == 3 {
                        Err(Failure {
                            kind: "third".to_owned(),
                        })
                    } else {
                        Ok(())
                    }
                }
            }
        };
        let readings = drive(load, runner, || operations.load(Ordering::SeqCst)).await;
        let tally = readings.tally;
        assert_eq!(operations.load(Ordering::SeqCst), 20);
        assert_eq!(
            (
                tally.latency_us.len(),
                tally.failures["third"],
                tally.unfinished
            ),
            (19, 1, 0)
        );
    }

    #[tokio::test]
    async fn a_fixed_number_is_run_to_its_end() {
        let done = Arc::new(AtomicU64::new(0));
        let load = Load {
            pace: Pace::counted(10),
            runners: NonZeroUsize::new(4).expect("four is not zero"),
            drain_max: Duration::ZERO,
        };
        let runner = || {
            let done = Arc::clone(&done);
            move || {
                let done = Arc::clone(&done);
                async move {
                    tokio::task::yield_now().await;
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
            }
        };
        let readings = drive(load, runner, || done.load(Ordering::SeqCst)).await;
        assert_eq!((readings.before, readings.after), (0, 10));
        assert_eq!(
            (
                readings.tally.completed,
                readings.tally.latency_us.len(),
                readings.tally.unfinished
            ),
            (10, 10, 0)
        );
        assert!(readings.elapsed > Duration::ZERO);
    }

    #[tokio::test]
    async fn what_never_ends_is_unfinished() {
        let window = Window::starting_now(Duration::ZERO, Duration::from_millis(1));
        let runners = NonZeroUsize::new(3).expect("three is not zero");
        let load = Load {
            pace: Pace::closed(window),
            runners,
            drain_max: Duration::from_millis(1),
        };
        let readings = drive(
            load,
            || || std::future::pending::<Result<(), Failure>>(),
            || (),
        )
        .await;
        assert!(
            readings.tally.unfinished <= 3,
            "{:?}",
            readings.tally.unfinished
        );
        assert_eq!(readings.tally.completed, 0);
    }
}
