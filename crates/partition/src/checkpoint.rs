//! Writing what has changed to storage, behind the partition's back.
//!
//! ```text
//!   every interval   freeze (locked, short) ─► wait for the log ─► write one batch (unlocked) ─► mark clean, evict
//!   every so many bytes of log, and at the end              … then make it durable, and let the log be purged
//! ```
//!
//! Rows must never be ahead of the log of this node: what a majority of other nodes has is applied here before it is
//! durable here. So what is frozen is written only when the log has it.
//!
//! The tables may be replaced by those of another replica while a checkpoint of the old ones is written. What became of
//! that is nobody's business any more.

use std::sync::Arc;
use std::time::Duration;

use longhaul_engine::TableFault;
use longhaul_replication::{CheckpointThread, Group, Stopped};
use longhaul_storage::tables::{Checkpoint, Durability};
use tokio::sync::watch;

use crate::core::{Core, Shared};

/// How often a partition that writes through looks whether the log can be purged.
const WRITE_THROUGH_LOOK: Duration = Duration::from_secs(1);

/// What changed up to one entry, on its way to storage.
pub(crate) struct Frozen {
    checkpoint: Option<Checkpoint>,
    durability: Durability,
    /// Which tables it is of.
    generation: u64,
    /// The entry's index.
    index: Option<u64>,
    /// Bytes of log that are durable in storage once this is.
    covered: u64,
}

impl Frozen {
    /// Sets aside what changed so far. To be called between two entries, with no other one on its way.
    pub(crate) fn of(core: &mut Core) -> Self {
        core.bytes_since_written = 0;
        Self {
            checkpoint: core.tables.freeze(),
            durability: core.tables.durability(),
            generation: core.generation,
            index: core.tables.applied().map(|it| it.index),
            covered: core.bytes_since_durable,
        }
    }

    /// Writes it, in one atomic batch; the log must hold the entry durably. Blocks.
    pub(crate) fn write(mut self, shared: &Shared) -> Result<(), TableFault> {
        let written = self.write_rows(shared);
        self.unless_replaced(shared, written)
    }

    /// The same, and makes it survive a crash. Blocks.
    pub(crate) fn write_durably(mut self, shared: &Shared) -> Result<(), TableFault> {
        let written = self
            .write_rows(shared)
            .and_then(|()| self.durability.flush().map(|_| ()));
        self.unless_replaced(shared, written)?;
        let mut core = shared.core.lock();
        if core.generation == self.generation {
            core.bytes_since_durable -= self.covered;
        }
        Ok(())
    }

    fn write_rows(&mut self, shared: &Shared) -> Result<(), TableFault> {
        let Some(checkpoint) = self.checkpoint.take() else {
            return Ok(());
        };
        let written = checkpoint.write()?;
        let replaced = {
            let mut core = shared.core.lock();
            (core.generation == self.generation).then(|| core.tables.complete(written))
        };
        // Not under the lock: it is much to free.
        drop(replaced);
        Ok(())
    }

    /// Rows that others were put in place of can fail in any way.
    fn unless_replaced(
        &self,
        shared: &Shared,
        outcome: Result<(), TableFault>,
    ) -> Result<(), TableFault> {
        match outcome {
            Err(_) if shared.core.lock().generation != self.generation => Ok(()),
            outcome => outcome,
        }
    }
}

/// Writes checkpoints until it is told to end.
pub(crate) async fn run(shared: Arc<Shared>, group: Group, mut end: watch::Receiver<bool>) {
    let interval = match shared.config.checkpoint_interval {
        Duration::ZERO => WRITE_THROUGH_LOOK,
        interval => interval,
    };
    loop {
        tokio::select! {
            biased;
            _ = end.wait_for(|end| *end) => return,
            () = tokio::time::sleep(interval) => {}
        }
        let turn = shared.checkpointing.lock().await;
        let (unwritten, not_durable) = {
            let core = shared.core.lock();
            (core.bytes_since_written, core.bytes_since_durable)
        };
        if not_durable >= shared.config.durable_checkpoint_bytes {
            if group.checkpoint().await.is_err() {
                return;
            }
        } else if unwritten > 0 {
            match write(&shared, &group).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => {
                    (shared.on_fault)(shared.id, fault);
                    return;
                }
                Err(Stopped) => return,
            }
        }
        drop(turn);
    }
}

/// Writes what is applied so far; to be called by whoever makes checkpoints.
pub(crate) async fn write(
    shared: &Arc<Shared>,
    group: &Group,
) -> Result<Result<(), TableFault>, Stopped> {
    let frozen = Frozen::of(&mut shared.core.lock());
    if let Some(index) = frozen.index {
        group.flush_log(index).await?;
    }
    let job = shared.clone();
    Ok(match shared.config.checkpoint_thread {
        CheckpointThread::Caller => frozen.write(&job),
        // The join fails only if the runtime ends, and everything with it.
        CheckpointThread::Blocking => tokio::task::spawn_blocking(move || frozen.write(&job))
            .await
            .unwrap_or(Ok(())),
    })
}
