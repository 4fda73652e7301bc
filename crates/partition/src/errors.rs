//! Failures of calls to a partition. Refusals are [`longhaul_engine::Reply`] values, not errors.

use longhaul_engine::TableFault;

/// A command without an outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
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
    /// Nobody here can answer now; try again.
    #[error("cannot be read now: {0}")]
    Unavailable(&'static str),
    /// Storage is broken; the node is about to stop.
    #[error(transparent)]
    Fault(#[from] TableFault),
}
