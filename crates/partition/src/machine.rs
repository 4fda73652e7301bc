//! The partition's state as the replicated log sees it.

mod outcome;

use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::{Tables, apply};
use longhaul_replication::{
    Applied, Checkpoint, GroupLog, Machine, MachineFault, Position, Snapshot, StagedState, Staging,
};
use longhaul_storage::Store;
use longhaul_storage::records::decode_batch;
use longhaul_types::PartitionId;

use crate::checkpoint::Frozen;
use crate::core::{Core, Shared};
use crate::leader::{Subject, Wakes};
use crate::transfer;

pub(crate) struct PartitionMachine {
    shared: Arc<Shared>,
    log: GroupLog,
    store: Option<Arc<dyn Store>>,
    metrics: ApplyMetrics,
    /// What became of the last entry.
    outcome: u64,
}

struct ApplyMetrics {
    commands: metrics::Counter,
    entries: metrics::Counter,
    installed: metrics::Counter,
}

impl PartitionMachine {
    /// `log` is the replica's; `store` takes over what other replicas send, if any may.
    pub(crate) fn new(shared: Arc<Shared>, log: GroupLog, store: Option<Arc<dyn Store>>) -> Self {
        Self {
            metrics: ApplyMetrics::register(shared.id),
            shared,
            log,
            store,
            outcome: 0,
        }
    }

    /// Writes what the entry at this position changed, if the log has it: rows must not be ahead of the log. What is not
    /// written now is written with a later entry.
    fn write_through(&self, position: Position) -> Result<(), MachineFault> {
        let durable = self.log.durable_index();
        if durable.is_none_or(|durable| durable < position.index) {
            return Ok(());
        }
        let frozen = {
            let mut core = self.shared.core.lock();
            if core.tables.is_checkpointing() {
                return Ok(());
            }
            Frozen::of(&mut core)
        };
        frozen.write(&self.shared).map_err(MachineFault::new)
    }
}

impl ApplyMetrics {
    fn register(id: PartitionId) -> Self {
        const COMMANDS: &str = "longhaul_partition_commands_applied_total";
        const ENTRIES: &str = "longhaul_partition_entries_applied_total";
        const INSTALLED: &str = "longhaul_partition_snapshots_installed_total";
        metrics::describe_counter!(COMMANDS, "Commands applied.");
        metrics::describe_counter!(
            ENTRIES,
            "Log entries applied; each holds a batch of commands."
        );
        metrics::describe_counter!(
            INSTALLED,
            "States of other replicas that were taken over, because the log did not go back far enough."
        );
        let partition = id.to_string();
        Self {
            commands: metrics::counter!(COMMANDS, "partition" => partition.clone()),
            entries: metrics::counter!(ENTRIES, "partition" => partition.clone()),
            installed: metrics::counter!(INSTALLED, "partition" => partition),
        }
    }
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
        let mut trace = outcome::Trace::default();
        {
            let mut core = self.shared.core.lock();
            let Core {
                tables,
                leader,
                calls,
                bytes_since_durable,
                bytes_since_written,
                ..
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
                trace
                    .add(&subject, &outcome, tables)
                    .map_err(MachineFault::new)?;
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
            self.outcome = trace.finish(tables.partition());
            tables.set_applied(storage_position(position));
            *bytes_since_durable += bytes;
            *bytes_since_written += bytes;
        }
        if self.shared.config.checkpoint_interval.is_zero() {
            self.write_through(position)?;
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

    fn outcome(&self) -> u64 {
        self.outcome
    }

    fn outcome_scheme(&self) -> u32 {
        outcome::SCHEME
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, MachineFault> {
        let shared = self.shared.clone();
        let frozen = {
            let mut core = shared.core.lock();
            if core.tables.is_checkpointing() {
                return Err(MachineFault::new(
                    "a checkpoint was asked for while another one is being written",
                ));
            }
            Frozen::of(&mut core)
        };
        Ok(Box::new(move || {
            frozen.write_durably(&shared).map_err(MachineFault::new)
        }))
    }

    fn export(&mut self) -> Result<Option<Snapshot>, MachineFault> {
        let rows = self.shared.core.lock().tables.rows().clone();
        transfer::export(&*rows).map_err(MachineFault::new)
    }

    fn staging(&self) -> Arc<dyn Staging> {
        transfer::staging(self.shared.id, self.store.clone())
    }

    fn install(&mut self, applied: Applied, state: StagedState) -> Result<(), MachineFault> {
        let arrived = transfer::arrived(&applied, state).map_err(MachineFault::new)?;
        let leader = {
            let mut core = self.shared.core.lock();
            // From now on, whoever writes the old rows does so in vain.
            core.generation += 1;
            core.leader.take()
        };
        if let Some(mut leader) = leader {
            leader.dispatcher.release_all();
        }
        let rows = arrived.install().map_err(MachineFault::new)?;
        let replaced = {
            let mut core = self.shared.core.lock();
            let tables = core.tables.reopen(rows).map_err(MachineFault::new)?;
            core.bytes_since_durable = 0;
            core.bytes_since_written = 0;
            std::mem::replace(&mut core.tables, tables)
        };
        // Not under the lock: it is much to free.
        drop(replaced);
        self.metrics.installed.increment(1);
        tracing::info!(
            partition = %self.shared.id,
            position = ?applied.position,
            "took over the state of another replica"
        );
        Ok(())
    }
}

fn storage_position(position: Position) -> longhaul_storage::records::Position {
    longhaul_storage::records::Position {
        term: position.term,
        index: position.index,
    }
}
