//! The contract between a group and the state it replicates.

use std::{any::Any, error::Error, fmt, io, sync::Arc};

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

    /// A digest of what came of the last commands that were applied, answers and changes, the same
    /// on every replica. Replicas whose digests differ are found out. Asked after each
    /// [`Machine::apply`], so it should cost next to nothing.
    fn outcome(&self) -> u64 {
        0
    }

    /// Names the way in which [`Machine::outcome`] is computed; only digests of one kind are
    /// compared.
    fn outcome_scheme(&self) -> u32 {
        0
    }

    /// Begins to make durable everything applied so far. What is returned does the writing, on
    /// another thread, while more is being applied; one at a time.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn checkpoint(&mut self) -> Result<Checkpoint, MachineFault>;

    /// Pins the state of the newest finished checkpoint for a replica that is too far behind for
    /// the log; `None` if there is none yet. Cheap: whoever sends it reads from it.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn export(&mut self) -> Result<Option<Snapshot>, MachineFault>;

    /// Where the chunks of other replicas' snapshots are gathered. Asked once, before anything else.
    fn staging(&self) -> Arc<dyn Staging>;

    /// Replaces all state, durably, by what has been gathered in the [`Machine::staging`]. May take
    /// as long as writing it takes.
    ///
    /// # Errors
    /// A fault stops the replica for good.
    fn install(&mut self, applied: Applied, state: StagedState) -> Result<(), MachineFault>;
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

/// State at one position, on its way to another replica.
pub struct Snapshot {
    /// The position of the state, which its chunks do not move away from.
    pub applied: Applied,
    /// The state itself.
    pub chunks: Box<dyn SnapshotReader>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// Reads an exported state, piece by piece. Dropped, it lets go of the state.
pub trait SnapshotReader: Send + 'static {
    /// The next chunk, up to about a megabyte; `None` after the last. May block.
    ///
    /// # Errors
    /// The state cannot be read. Nothing of it is installed then.
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>>;
}

/// Gathers snapshots beside the state, while it is being used.
pub trait Staging: Send + Sync + 'static {
    /// Begins with another snapshot. There may be several at a time. May block.
    ///
    /// # Errors
    /// There is no place for it, or this machine takes none.
    fn begin(&self) -> io::Result<Box<dyn Stage>>;
}

/// One snapshot as it arrives. Dropped before it is finished, it leaves nothing behind.
pub trait Stage: Send + 'static {
    /// Takes the next chunk, as [`SnapshotReader::next_chunk`] gave it. May block.
    ///
    /// # Errors
    /// It cannot be kept.
    fn write(&mut self, chunk: Bytes) -> io::Result<()>;

    /// Ends a snapshot of which every chunk has been written. May block.
    ///
    /// # Errors
    /// It cannot be kept, or is not what it should be.
    fn finish(self: Box<Self>) -> io::Result<StagedState>;
}

/// A state that has arrived as a whole, of a type that only the [`Machine`] knows. Dropped before it
/// is installed, it leaves nothing behind.
pub struct StagedState(pub Box<dyn Any + Send>);

impl fmt::Debug for StagedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StagedState")
    }
}

/// What the consensus library hands around as a snapshot.
pub(crate) enum SnapshotContent {
    /// Nothing: a checkpoint of this replica's own.
    Checkpoint,
    /// On its way out.
    Exported(Box<dyn SnapshotReader>),
    /// Arrived.
    Staged(StagedState),
}

impl SnapshotContent {
    /// The state, gathered at once if it has only been exported: for replicas that share a process.
    ///
    /// # Errors
    /// It cannot be read or kept, or there is none.
    pub(crate) fn stage(self, staging: &dyn Staging) -> io::Result<StagedState> {
        let mut chunks = match self {
            Self::Checkpoint => return Err(io::Error::other("a checkpoint has no content")),
            Self::Staged(state) => return Ok(state),
            Self::Exported(chunks) => chunks,
        };
        let mut stage = staging.begin()?;
        while let Some(chunk) = chunks.next_chunk()? {
            stage.write(chunk)?;
        }
        stage.finish()
    }
}

impl fmt::Debug for SnapshotContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "Checkpoint",
            Self::Exported(_) => "Exported",
            Self::Staged(_) => "Staged",
        })
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
