//! The partition's state as the replicated log sees it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::apply;
use longhaul_replication::{
    Applied, Checkpoint, Machine, MachineFault, Position, Snapshot, Stage, StagedState, Staging,
};
use longhaul_storage::records::decode_batch;

use crate::checkpoint;
use crate::core::{Core, Shared};
use crate::leader::{Subject, Wakes};

pub(crate) struct PartitionMachine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: ApplyMetrics,
}

pub(crate) struct ApplyMetrics {
    pub(crate) commands: metrics::Counter,
    pub(crate) entries: metrics::Counter,
}

impl Machine for PartitionMachine {
    fn applied(&self) -> Applied {
        let core = self.shared.core.lock();
        Applied {
            position: core.tables.applied().map(|it| Position {
                term: it.term,
                index: it.index,
            }),
            membership: core.tables.membership().cloned(),
        }
    }

    fn apply(&mut self, position: Position, commands: Bytes) -> Result<(), MachineFault> {
        let bytes = commands.len() as u64;
        let batch = decode_batch(commands).map_err(MachineFault::new)?;
        let count = batch.commands.len() as u64;
        let mut wakes = Wakes::default();
        let mut answers = Vec::new();
        {
            let mut core = self.shared.core.lock();
            let Core {
                tables,
                leader,
                calls,
                bytes_since_durable,
                bytes_since_written,
            } = &mut *core;
            let mine = batch.proposer == self.shared.proposer;
            let mut callers = mine
                .then(|| calls.remove(&batch.number))
                .flatten()
                .unwrap_or_default()
                .into_iter();
            for command in batch.commands {
                let subject = Subject::of(&command)
                    .before(tables)
                    .map_err(MachineFault::new)?;
                let outcome = apply(tables, batch.at, command).map_err(MachineFault::new)?;
                if let Some(leader) = leader {
                    leader
                        .observe(
                            tables,
                            &subject,
                            &outcome.reply,
                            outcome.effects,
                            batch.at,
                            &mut wakes,
                        )
                        .map_err(MachineFault::new)?;
                }
                if let Some(Some(caller)) = callers.next() {
                    answers.push((caller, outcome.reply));
                }
            }
            tables.set_applied(storage_position(position));
            *bytes_since_durable += bytes;
            *bytes_since_written += bytes;
        }
        if self.shared.config.checkpoint_interval.is_zero() {
            checkpoint::write(&self.shared).map_err(MachineFault::new)?;
        }
        self.metrics.entries.increment(1);
        self.metrics.commands.increment(count);
        for (caller, reply) in answers {
            // A caller that has gone in the meantime needs no answer.
            drop(caller.send(Ok(reply)));
        }
        self.shared.wake(wakes);
        Ok(())
    }

    fn apply_membership(
        &mut self,
        position: Position,
        membership: Bytes,
    ) -> Result<(), MachineFault> {
        let mut core = self.shared.core.lock();
        core.tables.set_membership(&membership);
        core.tables.set_applied(storage_position(position));
        Ok(())
    }

    fn advance(&mut self, position: Position) -> Result<(), MachineFault> {
        self.shared
            .core
            .lock()
            .tables
            .set_applied(storage_position(position));
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, MachineFault> {
        let shared = self.shared.clone();
        Ok(Box::new(move || {
            checkpoint::write_durably(&shared).map_err(MachineFault::new)
        }))
    }

    fn export(&mut self) -> Result<Option<Snapshot>, MachineFault> {
        Ok(None)
    }

    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(NoStaging)
    }

    fn install(&mut self, _applied: Applied, _state: StagedState) -> Result<(), MachineFault> {
        Err(MachineFault::new(NO_SNAPSHOTS))
    }
}

const NO_SNAPSHOTS: &str = "a group of one replica has nobody to install a snapshot from";

/// Takes no snapshots.
struct NoStaging;

impl Staging for NoStaging {
    fn begin(&self) -> io::Result<Box<dyn Stage>> {
        Err(io::Error::other(NO_SNAPSHOTS))
    }
}

fn storage_position(position: Position) -> longhaul_storage::records::Position {
    longhaul_storage::records::Position {
        term: position.term,
        index: position.index,
    }
}
