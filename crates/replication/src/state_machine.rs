//! The consensus library's view of a [`Machine`].

use std::{io, thread};

use futures::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend,
    storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine},
    type_config::alias::SnapshotOf,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    codec,
    config::CheckpointThread,
    divergence::{self, Chain, Check},
    fault::{Faults, GroupFault},
    log_store::LogStore,
    machine::{Applied, Checkpoint, Machine, MachineFault, Snapshot, SnapshotContent},
    types::{Content, Entry, LogId, Position, SnapshotMeta, StoredMembership, TypeConfig},
};

/// What others may know of the machine. The channel closes when the machine and every checkpoint of
/// it are gone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MachineProgress {
    /// The last applied entry. Whoever waits is woken only when its term is a new one.
    pub(crate) applied: Option<Position>,
    /// Where the newest checkpoint stands.
    pub(crate) durable: Option<Position>,
}

/// Drives one [`Machine`]; lives in the library's apply task.
pub(crate) struct StateMachine {
    // Only ever entered through `get_mut`: it makes a `Send` machine `Sync`, as the library demands.
    machine: Mutex<Box<dyn Machine>>,
    applied: Option<LogId>,
    membership: StoredMembership,
    progress: watch::Sender<MachineProgress>,
    chain: Chain,
    /// The newest finished stretch.
    checks: watch::Sender<Option<Check>>,
    log: LogStore,
    checkpoint_thread: CheckpointThread,
    faults: Faults,
}

impl StateMachine {
    /// # Errors
    /// The membership in the machine's storage is not one.
    pub(crate) fn new(
        machine: Box<dyn Machine>,
        log: LogStore,
        checkpoint_thread: CheckpointThread,
        faults: Faults,
    ) -> Result<Self, codec::DecodeFault> {
        let Applied {
            position,
            membership,
        } = machine.applied();
        let membership = membership
            .map(codec::decode_membership)
            .transpose()?
            .unwrap_or_default();
        let progress = MachineProgress {
            applied: position,
            durable: position,
        };
        Ok(Self {
            chain: Chain::new(machine.outcome_scheme()),
            checks: watch::Sender::new(None),
            machine: Mutex::new(machine),
            applied: position.map(Position::log_id),
            membership,
            progress: watch::Sender::new(progress),
            log,
            checkpoint_thread,
            faults,
        })
    }

    pub(crate) fn progress(&self) -> watch::Receiver<MachineProgress> {
        self.progress.subscribe()
    }

    /// The digests of stretches of the log as they are finished.
    pub(crate) fn checks(&self) -> watch::Receiver<Option<Check>> {
        self.checks.subscribe()
    }

    fn apply_entry(&mut self, entry: Entry) -> Result<(), MachineFault> {
        let machine = self.machine.get_mut();
        let id = entry.log_id;
        let position = Position::of(id);
        let content = divergence::digest_of(&entry.payload);
        let mut outcome = 0;
        match entry.payload {
            EntryPayload::Blank | EntryPayload::Normal(Content::Check(_)) => {
                machine.advance(position)?;
            }
            EntryPayload::Normal(Content::Commands(commands)) => {
                machine.apply(position, commands)?;
                outcome = machine.outcome();
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(id), membership);
                machine.apply_membership(position, codec::encode_membership(&self.membership))?;
            }
        }
        if let Some(check) = self.chain.add(position, content, outcome) {
            self.checks.send_replace(Some(check));
        }
        self.applied = Some(id);
        self.progress.send_if_modified(|progress| {
            let before = progress.applied.replace(position);
            before.is_none_or(|before| before.term != position.term)
        });
        Ok(())
    }

    /// # Errors
    /// The leader made something else of these entries. That this is so is durable.
    async fn compare(&self, entry: &Entry) -> io::Result<()> {
        let EntryPayload::Normal(Content::Check(theirs)) = &entry.payload else {
            return Ok(());
        };
        let Some(diverged) = self.chain.compare(*theirs) else {
            return Ok(());
        };
        self.log.condemn(diverged).await?;
        self.faults
            .report(GroupFault::Diverged(diverged.to_string()));
        Err(io::Error::other(diverged.to_string()))
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotContent;
    type SnapshotBuilder = CheckpointWriter;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.compare(&entry).await?;
            self.apply_entry(entry)
                .map_err(|fault| self.faults.report_machine(fault))?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> CheckpointWriter {
        CheckpointWriter {
            checkpoint: Mutex::new(Some(self.machine.get_mut().checkpoint())),
            meta: self.meta(),
            progress: self.progress.clone(),
            log: self.log.clone(),
            thread: self.checkpoint_thread,
            faults: self.faults.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        content: SnapshotContent,
    ) -> io::Result<()> {
        let applied = Applied {
            position: meta.last_log_id.map(Position::of),
            membership: meta
                .last_membership
                .log_id()
                .map(|_| codec::encode_membership(&meta.last_membership)),
        };
        let position = applied.position;
        // What of the log contradicts the new state has been removed. That must not come back after a
        // crash that finds the new state.
        self.log.flush().await?;
        let machine = self.machine.get_mut();
        let state = content
            .stage(&*machine.staging())
            .map_err(MachineFault::new);
        let installed = state.and_then(|state| machine.install(applied, state));
        installed.map_err(|fault| self.faults.report_machine(fault))?;
        self.chain.restart();
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.progress.send_replace(MachineProgress {
            applied: position,
            durable: position,
        });
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotContent>>> {
        let exported = self
            .machine
            .get_mut()
            .export()
            .map_err(|fault| self.faults.report_machine(fault))?;
        let Some(Snapshot { applied, chunks }) = exported else {
            return Ok(None);
        };
        let membership = applied.membership.map(codec::decode_membership).transpose();
        let last_membership = membership
            .map_err(|fault| self.faults.report_machine(MachineFault::new(fault)))?
            .unwrap_or_default();
        let meta = SnapshotMeta {
            last_log_id: applied.position.map(Position::log_id),
            last_membership,
        };
        Ok(Some(SnapshotOf::<TypeConfig, _> {
            meta,
            snapshot: SnapshotContent::Exported(chunks),
        }))
    }
}

impl Drop for StateMachine {
    fn drop(&mut self) {
        // The library notices a dead apply task only with the next entry.
        if thread::panicking() {
            self.faults.report(GroupFault::MachinePanicked);
        }
    }
}

/// Writes one checkpoint. To the library it is a snapshot without content: it lets the log be
/// purged, and what a follower may need later is exported then.
pub(crate) struct CheckpointWriter {
    checkpoint: Mutex<Option<Result<Checkpoint, MachineFault>>>,
    meta: SnapshotMeta,
    progress: watch::Sender<MachineProgress>,
    log: LogStore,
    thread: CheckpointThread,
    faults: Faults,
}

impl CheckpointWriter {
    async fn write(&mut self) -> Result<(), MachineFault> {
        let Some(checkpoint) = self.checkpoint.get_mut().take() else {
            return Ok(());
        };
        let checkpoint = checkpoint?;
        match self.thread {
            CheckpointThread::Caller => checkpoint(),
            CheckpointThread::Blocking => {
                let written = tokio::task::spawn_blocking(checkpoint).await;
                written.unwrap_or_else(|failed| Err(MachineFault::new(failed)))
            }
        }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for CheckpointWriter {
    type SnapshotData = SnapshotContent;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotContent>> {
        // A majority without this node may have committed what is not yet durable here. State must
        // never be ahead of the log it came from.
        if self
            .meta
            .last_log_id
            .is_some_and(|last| !self.log.is_durable(last.index()))
        {
            self.log.flush().await?;
        }
        self.write()
            .await
            .map_err(|fault| self.faults.report_machine(fault))?;
        let durable = self.meta.last_log_id.map(Position::of);
        self.progress
            .send_modify(|progress| progress.durable = progress.durable.max(durable));
        Ok(SnapshotOf::<TypeConfig, _> {
            meta: self.meta.clone(),
            snapshot: SnapshotContent::Checkpoint,
        })
    }
}
