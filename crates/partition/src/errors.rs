//! Failures of calls to a partition. Refusals are [`longhaul_engine::Reply`] values, not errors.

use longhaul_engine::TableFault;
use longhaul_types::NodeId;

/// A command without an outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// Certainly without effect: this replica does not lead.
    #[error("not applied: this node does not lead the partition")]
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<NodeId>,
    },
    /// Certainly without effect; try again, here or elsewhere.
    #[error("not applied: {0}")]
    NotApplied(&'static str),
    /// Certainly without effect: too much is waiting already.
    #[error("not applied: the partition has too much work waiting")]
    Overloaded,
    /// Certainly without effect: clients may let no more wait for this instance.
    #[error("not applied: {pending} events or operations wait for the instance, {max} may")]
    Full {
        /// So many wait.
        pending: usize,
        /// So many may: [`crate::Config::pending_events_max`].
        max: usize,
    },
    /// It may have been applied, or may yet be.
    #[error("the outcome is unknown: {0}")]
    Unknown(&'static str),
}

/// A read without an answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// This replica does not lead.
    #[error("cannot be read now: this node does not lead the partition")]
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<NodeId>,
    },
    /// Nobody here can answer now; try again.
    #[error("cannot be read now: {0}")]
    Unavailable(&'static str),
    /// Storage is broken; the node is about to stop.
    #[error(transparent)]
    Fault(#[from] TableFault),
}
