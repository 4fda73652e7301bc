//! Ships messages to other partitions: in order, again and again until received, received once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use longhaul_engine::message::Message;
use longhaul_engine::{Command, Reply, Tables};
use longhaul_types::{PartitionId, limits};
use tokio::sync::oneshot;

use crate::core::Shared;
use crate::errors::ProposeError;

/// Pause before a delivery without an outcome is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The way to the leaders of other partitions.
pub trait Courier: Send + Sync + 'static {
    /// Delivers messages numbered from `first`; answers the number of the last one the target has.
    fn deliver(
        &self,
        source: PartitionId,
        target: PartitionId,
        first: u64,
        messages: Vec<Message>,
    ) -> BoxFuture<'static, Result<u64, ProposeError>>;
}

/// The outcome of a proposed acknowledgement.
type Acknowledged = oneshot::Receiver<Result<Reply, ProposeError>>;

/// Ships to one partition for ever.
pub(crate) async fn run(shared: Arc<Shared>, target: PartitionId, courier: Arc<dyn Courier>) {
    let changed = shared
        .outbox_changed
        .get(&target)
        .expect("every other partition has a signal");
    // Of the newest one, which stands for all before it.
    let mut acknowledged = None;
    loop {
        tokio::select! {
            biased;
            () = changed.notified() => {}
            // What was delivered is still there, and would be for as long as nothing else is sent.
            () = lost(&mut acknowledged) => {}
        }
        let mut after = 0;
        while let Some((first, messages)) = next(&shared, target, after) {
            let _under_way = shared.shipping.begin().await;
            match courier.deliver(shared.id, target, first, messages).await {
                Ok(through) if through + 1 >= first => {
                    after = through;
                    acknowledged = Some(acknowledge(&shared, target, through));
                }
                Ok(through) => {
                    tracing::error!(source = %shared.id, %target, first, through, "messages are missing at the target");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(error) => {
                    tracing::debug!(source = %shared.id, %target, %error, "a delivery will be repeated");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

fn acknowledge(shared: &Shared, target: PartitionId, through: u64) -> Acknowledged {
    let (caller, outcome) = oneshot::channel();
    let command = Command::AckOutbox { target, through };
    // A refusal drops the caller, and looks like any other lost outcome.
    drop(shared.queue.push(command, Some(caller), usize::MAX));
    outcome
}

/// Returns a while after an acknowledgement turned out not to be committed, as far as is known.
async fn lost(acknowledged: &mut Option<Acknowledged>) {
    let committed = match acknowledged {
        Some(outcome) => matches!(outcome.await, Ok(Ok(_))),
        None => true,
    };
    *acknowledged = None;
    if committed {
        std::future::pending().await
    }
    tokio::time::sleep(RETRY_DELAY).await;
}

/// The next messages to ship; `None` if there are none, or this replica does not lead.
fn next(shared: &Shared, target: PartitionId, after: u64) -> Option<(u64, Vec<Message>)> {
    shared.with_leader(|leader, tables, _| {
        let rows = tables.outbox(target, after, limits::DELIVERY_MESSAGES_MAX)?;
        let Some((first, _)) = rows.first() else {
            leader.outbox.remove(&target);
            return Ok(None);
        };
        let first = *first;
        Ok(Some((
            first,
            rows.into_iter().map(|(_, message)| message).collect(),
        )))
    })?
}

/// Turns the answer of a [`Command::Deliver`] into the number of the last message received.
pub(crate) fn received(reply: &Reply) -> u64 {
    match reply {
        Reply::Received { through } => *through,
        Reply::Done
        | Reply::NotFound
        | Reply::AlreadyExists(_)
        | Reply::ContradictoryReuse
        | Reply::Stale
        | Reply::NotEnded(_)
        | Reply::NotFailed(_)
        | Reply::Refused
        | Reply::Purged { .. } => unreachable!("a delivery answers what was received"),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_acknowledgement_that_is_not_known_to_be_committed_is_made_again() {
        let refused: Result<Reply, ProposeError> = Err(ProposeError::Unknown("leadership is lost"));
        for outcome in [Some(refused), None] {
            let (caller, acknowledged) = oneshot::channel();
            let mut acknowledged = Some(acknowledged);
            assert!(lost(&mut acknowledged).now_or_never().is_none());
            assert!(acknowledged.is_some(), "there is no outcome yet");
            match outcome {
                Some(outcome) => drop(caller.send(outcome)),
                None => drop(caller),
            }
            lost(&mut acknowledged).await;
            assert!(acknowledged.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_committed_is_not() {
        let (caller, acknowledged) = oneshot::channel();
        drop(caller.send(Ok(Reply::Done)));
        for mut acknowledged in [Some(acknowledged), None] {
            let again = tokio::time::timeout(100 * RETRY_DELAY, lost(&mut acknowledged));
            again.await.expect_err("nothing to be done");
            assert!(acknowledged.is_none());
        }
    }
}
