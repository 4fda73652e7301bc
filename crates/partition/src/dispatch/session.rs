//! One worker stream: what it takes, how much it may still take, and the items on their way to it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use longhaul_types::HubId;
use tokio::time::Sleep;

use super::{Claimed, Filters, Outlook, SessionState, Sessions, WorkKind};
use crate::partition::Partition;

/// How long a stream leaves to others what it did not take for their sake. Long enough for each to have its turn, and
/// not noticed by those who wait.
const SHARE_PAUSE: Duration = Duration::from_millis(1);

/// What a worker stream asks for.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// Its task hub.
    pub hub: HubId,
    /// The worker's name for itself.
    pub worker_id: Option<String>,
    /// How many items of each [`WorkKind`] may be out at once.
    pub limits: [u32; 3],
    /// What it takes; `None` takes everything.
    pub filters: Option<Filters>,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What a worker can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It fetches a long history by itself.
    pub history_streaming: bool,
}

/// A worker stream. Dropping it is losing the stream: everything out on it can be dispatched again at once.
pub struct Session {
    /// The way to work of other nodes, if there are any.
    pub(super) outlook: Option<Box<dyn Outlook>>,
    pub(super) state: Arc<SessionState>,
    pub(super) sessions: Sessions,
    pub(super) claimed: VecDeque<Claimed>,
    /// Runs after something was left for other streams.
    pub(super) pause: Option<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

impl Session {
    /// What the stream asked for.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        &self.state.spec
    }

    /// The next item; waits for work and a free slot. `None` once the node drains and nothing is out any more.
    pub fn poll_claim(&mut self, cx: &mut Context<'_>) -> Poll<Option<Claimed>> {
        if let Some(claimed) = self.claimed.pop_front() {
            return Poll::Ready(Some(claimed));
        }
        // Registered before looking, so that nothing that becomes ready in between is missed.
        self.state.waker.register(cx.waker());
        self.state.look();
        if let Some(item) = self.state.inbox.take() {
            return Poll::Ready(Some(Claimed::Encoded(item)));
        }
        if self.sessions.is_draining() {
            return if self.state.out() == 0 {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let partitions = self.sessions.partitions();
        let mut left_for_others = false;
        for kind in WorkKind::ALL {
            left_for_others |= self.claim(kind, &partitions);
        }
        if let Some(outlook) = &mut self.outlook
            && WorkKind::ALL.iter().any(|kind| self.state.free(*kind) > 0)
        {
            outlook.look();
        }
        if left_for_others {
            let mut pause = Box::pin(tokio::time::sleep(SHARE_PAUSE));
            // Polled at once: if nothing was claimed, only its end brings this stream back.
            let _ = pause.as_mut().poll(cx);
            self.pause = Some(pause);
        }
        self.claimed
            .pop_front()
            .map_or(Poll::Pending, |claimed| Poll::Ready(Some(claimed)))
    }

    /// Takes this stream's share of what is ready in every partition; answers whether anything was left to others.
    fn claim(&mut self, kind: WorkKind, partitions: &[Partition]) -> bool {
        let mut left_for_others = false;
        let offset = self.state.next_partition();
        for turn in 0..partitions.len() {
            let free = self.state.free(kind);
            if free == 0 {
                break;
            }
            let partition = &partitions[(offset + turn) % partitions.len()];
            if !partition.has_ready(kind) {
                continue;
            }
            let takers = self.sessions.takers(self.state.spec.hub, kind);
            let limit = Share { free, takers };
            left_for_others |= partition.claim(&self.state, kind, limit, &mut self.claimed);
        }
        left_for_others
    }
}

/// How much of what is ready a stream may take at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Its free slots.
    pub(crate) free: u32,
    /// Streams that what is ready is shared among, itself included.
    pub(crate) takers: u32,
}

impl Share {
    /// Of so many ready items.
    pub(crate) fn of(self, ready: usize) -> u32 {
        let share = ready.div_ceil(self.takers as usize);
        self.free.min(u32::try_from(share).unwrap_or(u32::MAX))
    }
}

impl Stream for Session {
    type Item = Claimed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Claimed>> {
        self.poll_claim(cx)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.close(&self.state);
    }
}

#[cfg(test)]
mod tests;
