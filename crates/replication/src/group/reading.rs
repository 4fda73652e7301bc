//! Read barriers that share their rounds: one is under way, and whoever comes meanwhile waits for
//! the next one together with all others.

use std::sync::Arc;

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use openraft::{
    ReadPolicy,
    errors::{LinearizableReadError, RaftError},
};
use parking_lot::Mutex;

use super::{ReadError, Stopped, not_here};
use crate::types::Raft;

type Round = Shared<BoxFuture<'static, Result<(), ReadError>>>;

/// The rounds of one replica.
#[derive(Default)]
pub(super) struct Rounds(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The one that has begun; perhaps over.
    begun: Option<Round>,
    /// The one that has not begun, and so serves whoever comes now.
    next: Option<Round>,
}

impl Rounds {
    /// Waits for a round that begins after this call.
    pub(super) async fn wait(&self, raft: &Raft) -> Result<(), ReadError> {
        let round = self.join(|| {
            let raft = raft.clone();
            async move { confirm(&raft).await }.boxed()
        });
        round.await
    }

    /// The round that has not begun. It is driven by those who wait for it.
    fn join(&self, make: impl FnOnce() -> BoxFuture<'static, Result<(), ReadError>>) -> Round {
        let mut state = self.0.lock();
        if let Some(next) = &state.next {
            return next.clone();
        }
        let before = state.begun.clone();
        let (work, rounds) = (make(), Arc::downgrade(&self.0));
        let round = async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            // From here on it is too late to join.
            if let Some(rounds) = rounds.upgrade() {
                let mut state = rounds.lock();
                state.begun = state.next.take();
            }
            work.await
        };
        let round = round.boxed().shared();
        state.next = Some(round.clone());
        round
    }
}

async fn confirm(raft: &Raft) -> Result<(), ReadError> {
    let current = raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
    current.map(|_| ()).map_err(|error| match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => not_here(&forward)
            .map_or(ReadError::RetryHere, |leader| ReadError::NotLeader {
                leader,
            }),
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadError::RetryHere,
        RaftError::Fatal(_) => Stopped.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Rounds that end when they are let.
    struct Bench {
        rounds: Rounds,
        begun: Arc<AtomicUsize>,
        ends: Arc<Semaphore>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                rounds: Rounds::default(),
                begun: Arc::default(),
                ends: Arc::new(Semaphore::new(0)),
            }
        }

        fn join(&self) -> Round {
            let (begun, ends) = (self.begun.clone(), self.ends.clone());
            self.rounds.join(|| {
                async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    ends.acquire().await.expect("open").forget();
                    Ok(())
                }
                .boxed()
            })
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn whoever_comes_during_a_round_shares_the_next_one() {
        let bench = Bench::new();
        let mut first = bench.join();
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(bench.begun(), 1);

        let mut later: Vec<Round> = (0..5).map(|_| bench.join()).collect();
        for round in &mut later {
            assert!(round.now_or_never().is_none());
        }
        assert_eq!(bench.begun(), 1, "one at a time");

        bench.ends.add_permits(1);
        assert_eq!(first.now_or_never(), Some(Ok(())));
        for round in &mut later {
            assert!(round.now_or_never().is_none(), "the first was too early");
        }
        assert_eq!(bench.begun(), 2, "one for all of them");
        let mut last = bench.join();
        assert!((&mut last).now_or_never().is_none());

        bench.ends.add_permits(1);
        for round in later {
            assert_eq!(round.now_or_never(), Some(Ok(())));
        }
        assert!((&mut last).now_or_never().is_none());
        assert_eq!(bench.begun(), 3, "it came after the second had begun");
        bench.ends.add_permits(1);
        assert_eq!(last.now_or_never(), Some(Ok(())));
    }

    #[tokio::test]
    async fn a_round_goes_on_when_those_who_began_it_have_gone() {
        let bench = Bench::new();
        let mut first = bench.join();
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        let mut second = bench.join();
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(bench.begun(), 1);
        bench.ends.add_permits(2);
        assert_eq!(second.now_or_never(), Some(Ok(())));
        assert_eq!(bench.begun(), 2);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_freed_with_the_rounds() {
        let bench = Bench::new();
        drop(bench.join());
        let ends = Arc::downgrade(&bench.ends);
        drop(bench);
        assert_eq!(ends.strong_count(), 0);
    }
}
