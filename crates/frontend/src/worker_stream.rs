//! What a worker receives: work items as they become ready, a HealthPing whenever there is silence.
//!
//! ```text
//!   Opening ──HealthPing──► Open ──drained, nothing out any more──► Ended, with UNAVAILABLE
//! ```
//!
//! The stream claims work only when the transport has room for another message: a slow reader holds nothing back from
//! other workers. It never ends with OK, which makes the Java and Python workers connect again in a tight loop.
//! Dropping it, for whatever reason, gives back what is out on it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use longhaul_partition::{Claimed, Session, WorkKind};
use longhaul_proto::raw::EncodedWorkItem;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;
use tonic::Status;

use crate::meters::Meters;
use crate::status;
use crate::work_item::{encode, health_ping};

/// The response stream of GetWorkItems, over a source of claimed work.
pub struct WorkerStream<S = Session> {
    source: S,
    stage: Stage,
    silence: Silence,
    meters: Arc<Meters>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    Ended,
}

impl<S> WorkerStream<S> {
    pub(crate) fn new(source: S, health_ping_interval: Duration, meters: Arc<Meters>) -> Self {
        meters.worker_streams.increment(1);
        Self {
            source,
            stage: Stage::Opening,
            silence: Silence::new(health_ping_interval),
            meters,
        }
    }

    fn encode(&self, claimed: &Claimed) -> Result<EncodedWorkItem, Status> {
        let delivered = match claimed.kind() {
            WorkKind::Orchestration => &self.meters.turns,
            WorkKind::Activity => &self.meters.activities,
            WorkKind::Entity => &self.meters.batches,
        };
        delivered.increment(1);
        Ok(encode(claimed)?)
    }

    fn end(&mut self, status: Status) -> Poll<Option<Result<EncodedWorkItem, Status>>> {
        self.stage = Stage::Ended;
        Poll::Ready(Some(Err(status)))
    }
}

impl<S: Stream<Item = Claimed> + Unpin> Stream for WorkerStream<S> {
    type Item = Result<EncodedWorkItem, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.stage {
            Stage::Ended => return Poll::Ready(None),
            // Workers reset their reconnect backoff on the first message.
            Stage::Opening => {
                self.stage = Stage::Open;
                self.silence.broken();
                return Poll::Ready(Some(Ok(health_ping())));
            }
            Stage::Open => {}
        }
        match Pin::new(&mut self.source).poll_next(cx) {
            Poll::Ready(Some(claimed)) => {
                self.silence.broken();
                match self.encode(&claimed) {
                    Ok(item) => Poll::Ready(Some(Ok(item))),
                    Err(status) => {
                        tracing::error!(error = status.message(), "a work item cannot be built");
                        self.end(status)
                    }
                }
            }
            Poll::Ready(None) => self.end(status::draining()),
            Poll::Pending => self
                .silence
                .poll_too_long(cx)
                .map(|()| Some(Ok(health_ping()))),
        }
    }
}

impl<S> Drop for WorkerStream<S> {
    fn drop(&mut self) {
        self.meters.worker_streams.decrement(1);
    }
}

/// How long nothing was sent. A message only notes the time: the timer is moved when it fires.
struct Silence {
    max: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(max: Duration) -> Self {
        let since = Instant::now();
        Self {
            max,
            since,
            timer: Box::pin(sleep_until(since + max)),
        }
    }

    fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// Ready when it has lasted too long; begins anew then.
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let too_long = now >= self.since + self.max;
            if too_long {
                self.since = now;
            }
            let next = self.since + self.max;
            self.timer.as_mut().reset(next);
            if too_long {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
