//! The contract between a group and the state it replicates.

use std::{any::Any, error::Error, fmt};

use bytes::Bytes;

use crate::types::Position;

/// The state a group replicates; every replica owns one.
///
/// Called from one task, in log order, never twice for one position. The calls must not wait for
/// anything slower than memory, except where it says so.
///
/// State may be kept in memory and made durable by checkpoints: what was applied after the last one
/// is applied again when the replica starts.
pub trait Machine: Send + 'static {
    /// What storage holds, so what need not be applied again. Asked once, before anything else.
    fn applied(&self) -> Applied;

    /// Applies the commands of one committed entry.
    ///
    /// # Errors
    /// A fault stops the replica for good; a refused command is not a fault.
    fn apply(&mut self, position: Position, commands: Bytes) -> Result<(), MachineFault>;

    /// Notes that the group's members have changed. `membership` is opaque and goes into storage
    /// with `position`, so that [`Machine::applied`] can answer with it.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn apply_membership(
        &mut self,
        position: Position,
        membership: Bytes,
    ) -> Result<(), MachineFault>;

    /// Notes an entry that carries nothing: a leader's first of its term.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn advance(&mut self, position: Position) -> Result<(), MachineFault>;

    /// Begins to make durable everything applied so far. What is returned does the writing, on
    /// another thread, while more is being applied; one at a time.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn checkpoint(&mut self) -> Result<Checkpoint, MachineFault>;

    /// Pins the state of the newest finished checkpoint for a replica that is too far behind for
    /// the log; `None` if there is none yet. Cheap: whoever receives the content reads from it.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn export(&mut self) -> Result<Option<Snapshot>, MachineFault>;

    /// Replaces all state, durably, by what another replica's [`Machine::export`] answered. May
    /// take as long as writing it takes.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn install(&mut self, snapshot: Snapshot) -> Result<(), MachineFault>;
}

/// Writes a checkpoint. May block; its end means that the state is durable.
pub type Checkpoint = Box<dyn FnOnce() -> Result<(), MachineFault> + Send>;

/// How far state has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry applied, of any kind.
    pub position: Option<Position>,
    /// The last membership given to [`Machine::apply_membership`].
    pub membership: Option<Bytes>,
}

/// State at one position, on its way from one replica to another.
#[derive(Debug)]
pub struct Snapshot {
    /// The position of the state, which its content does not move away from.
    pub applied: Applied,
    /// The state itself.
    pub content: SnapshotContent,
}

/// An exported state, of a type that only the [`Machine`] knows.
pub struct SnapshotContent(pub Box<dyn Any + Send>);

impl fmt::Debug for SnapshotContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotContent")
    }
}

/// A [`Machine`] that cannot go on: its storage is broken, or an entry cannot be what it is.
#[derive(Debug, thiserror::Error)]
#[error("the replicated state is broken: {0}")]
pub struct MachineFault(#[source] Box<dyn Error + Send + Sync>);

impl MachineFault {
    /// Wraps the reason.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}
