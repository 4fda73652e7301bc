//! Callers parked until an instance has begun or ended.

use foldhash::HashMap;
use longhaul_engine::{InstanceKey, InstanceView, Status};
use tokio::sync::oneshot;

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// A committed turn, or an end without one.
    Begun,
    /// An end.
    Ended,
}

impl WaitFor {
    pub(crate) fn is_met_by(self, status: Status) -> bool {
        match self {
            Self::Begun => status != Status::Pending,
            Self::Ended => status.is_terminal(),
        }
    }
}

/// Parked callers; a caller that has gone is found by its closed channel.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_key: HashMap<InstanceKey, Vec<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    until: WaitFor,
    answer: oneshot::Sender<InstanceView>,
}

impl Drop for Waiters {
    /// Callers hear in an order that can be repeated.
    fn drop(&mut self) {
        let mut left: Vec<(InstanceKey, Vec<Waiter>)> = self.by_key.drain().collect();
        left.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    }
}

impl Waiters {
    pub(crate) fn park(
        &mut self,
        key: InstanceKey,
        until: WaitFor,
    ) -> oneshot::Receiver<InstanceView> {
        let (answer, parked) = oneshot::channel();
        self.by_key
            .entry(key)
            .or_default()
            .push(Waiter { until, answer });
        parked
    }

    pub(crate) fn waits_for(&self, key: &InstanceKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Answers those whom this state satisfies.
    pub(crate) fn notify(&mut self, view: &InstanceView) {
        let Some(waiting) = self.by_key.get_mut(&view.key) else {
            return;
        };
        for waiter in waiting.extract_if(.., |waiter| waiter.until.is_met_by(view.status)) {
            // A caller that has gone in the meantime needs no answer.
            drop(waiter.answer.send(view.clone()));
        }
        self.sweep_key(&view.key.clone());
    }

    /// Forgets the callers of an instance that have gone.
    pub(crate) fn sweep_key(&mut self, key: &InstanceKey) {
        if let Some(waiting) = self.by_key.get_mut(key) {
            waiting.retain(|waiter| !waiter.answer.is_closed());
            if waiting.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.values().map(Vec::len).sum()
    }
}
