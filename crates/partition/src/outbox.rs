//! Ships messages to other partitions: in order, again and again until received, received once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use longhaul_engine::message::Message;
use longhaul_engine::{Command, Reply, Tables};
use longhaul_types::{PartitionId, limits};

use crate::core::Shared;
use crate::errors::ProposeError;

/// Pause before a delivery without an outcome is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The way to the leaders of other partitions.
pub(crate) trait Courier: Send + Sync + 'static {
    /// Delivers messages numbered from `first`; answers the number of the last one the target has.
    fn deliver(
        &self,
        source: PartitionId,
        target: PartitionId,
        first: u64,
        messages: Vec<Message>,
    ) -> BoxFuture<'static, Result<u64, ProposeError>>;
}

/// Ships to one partition for ever.
pub(crate) async fn run(shared: Arc<Shared>, target: PartitionId, courier: Arc<dyn Courier>) {
    let changed = shared
        .outbox_changed
        .get(&target)
        .expect("every other partition has a signal");
    loop {
        changed.notified().await;
        let mut after = 0;
        while let Some((first, messages)) = next(&shared, target, after) {
            match courier.deliver(shared.id, target, first, messages).await {
                Ok(through) if through + 1 >= first => {
                    after = through;
                    // Lost if the partition stops now; then the messages are sent, and dropped as known, once more.
                    drop(shared.queue.push(
                        Command::AckOutbox { target, through },
                        None,
                        usize::MAX,
                    ));
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
