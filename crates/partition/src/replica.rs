//! A partition as whoever places replicas sees it.

use longhaul_engine::Command;
use longhaul_engine::message::Message;
use longhaul_replication::{Group, Leadership, Position, Stopped};
use longhaul_types::PartitionId;
use tokio::sync::watch;

use crate::errors::ProposeError;
use crate::outbox;
use crate::partition::Partition;

impl Partition {
    /// The replica's group. Checkpoints are made with [`Partition::checkpoint`] only.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Who leads, and every change of it. What says that this replica leads comes after the leader's soft state was built,
    /// and closes when the replica has been stopped.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Makes durable everything applied before the call, and lets the log be purged up to there. Answers how far the
    /// durable state reaches.
    ///
    /// # Errors
    /// The replica has stopped.
    pub async fn checkpoint(&self) -> Result<Option<Position>, Stopped> {
        let _turn = self.shared.checkpointing.lock().await;
        self.group.checkpoint().await
    }

    /// Takes messages of another partition's outbox, numbered from `first`; answers the number of the last one it has.
    ///
    /// # Errors
    /// [`ProposeError`]; sending the same again does no harm.
    pub async fn deliver(
        &self,
        source: PartitionId,
        first: u64,
        messages: Vec<Message>,
    ) -> Result<u64, ProposeError> {
        let command = Command::Deliver {
            source,
            first,
            messages,
        };
        let reply = self.propose(command).await?;
        Ok(outbox::received(&reply))
    }
}
