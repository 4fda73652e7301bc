//! Writing what has changed to storage, behind the partition's back.
//!
//! ```text
//!   every interval   freeze (locked, short) ─► write one batch (unlocked) ─► mark clean, evict (locked, short)
//!   every so many bytes of log, and at the end          … then make it durable, and let the log be purged
//! ```

use std::sync::Arc;

use longhaul_engine::TableFault;
use longhaul_replication::{CheckpointThread, Group};

use crate::core::Shared;

/// Writes everything applied so far, in one atomic batch. Blocks.
pub(crate) fn write(shared: &Shared) -> Result<(), TableFault> {
    let _one_at_a_time = shared.checkpointing.lock();
    write_alone(shared)
}

/// The same, and makes it survive a crash. Blocks.
pub(crate) fn write_durably(shared: &Shared) -> Result<(), TableFault> {
    let _one_at_a_time = shared.checkpointing.lock();
    let covered = shared.core.lock().bytes_since_durable;
    write_alone(shared)?;
    let durability = shared.core.lock().tables.durability();
    durability.flush()?;
    shared.core.lock().bytes_since_durable -= covered;
    Ok(())
}

fn write_alone(shared: &Shared) -> Result<(), TableFault> {
    let frozen = {
        let mut core = shared.core.lock();
        core.bytes_since_written = 0;
        core.tables.freeze()
    };
    if let Some(frozen) = frozen {
        let written = frozen.write()?;
        let replaced = shared.core.lock().tables.complete(written);
        // Not under the lock: it is much to free.
        drop(replaced);
    }
    Ok(())
}

/// Writes checkpoints until the partition stops.
pub(crate) async fn run(shared: Arc<Shared>, group: Group) {
    let interval = shared.config.checkpoint_interval;
    if interval.is_zero() {
        return;
    }
    loop {
        tokio::time::sleep(interval).await;
        let (unwritten, not_durable) = {
            let core = shared.core.lock();
            (core.bytes_since_written, core.bytes_since_durable)
        };
        if not_durable >= shared.config.durable_checkpoint_bytes {
            if group.checkpoint().await.is_err() {
                return;
            }
        } else if unwritten > 0 {
            let job = shared.clone();
            let written = match shared.config.checkpoint_thread {
                CheckpointThread::Caller => write(&job),
                // The join fails only if the runtime ends, and everything with it.
                CheckpointThread::Blocking => tokio::task::spawn_blocking(move || write(&job))
                    .await
                    .unwrap_or(Ok(())),
            };
            if let Err(fault) = written {
                (shared.on_fault)(shared.id, fault);
                return;
            }
        }
    }
}
