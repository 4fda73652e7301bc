//! Why a call has no answer, after its leader was looked for.

use std::borrow::Cow;

use longhaul_types::NodeId;

/// A command without an outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Certainly without effect; try again.
    #[error("not applied: {0}")]
    NotApplied(Cow<'static, str>),
    /// Certainly without effect: too much is waiting already.
    #[error("not applied: the partition has too much work waiting")]
    Overloaded,
    /// Certainly without effect: clients may let no more wait for this instance.
    #[error("not applied: {pending} events or operations wait for the instance, {max} may")]
    Full {
        /// So many wait.
        pending: usize,
        /// So many may.
        max: usize,
    },
    /// It may have been applied, or may yet be.
    #[error("the outcome is unknown: {0}")]
    Unknown(Cow<'static, str>),
}

/// A read without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody can answer now; try again.
    #[error("cannot be read now: {0}")]
    Unavailable(Cow<'static, str>),
    /// Storage is broken; the node that has it is about to stop.
    #[error("{0}")]
    Fault(Cow<'static, str>),
}

const NOT_LED: &str = "no leader of the partition was found";

/// Why one attempt has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Without effect: whoever was asked does not lead.
    NotLeader {
        /// Who does, if known there.
        leader: Option<NodeId>,
    },
    /// Without effect; later it may be different.
    NotNow(Cow<'static, str>),
    /// Without effect: too much is waiting.
    Overloaded,
    /// Without effect: too much waits for the instance.
    Full { pending: usize, max: usize },
    /// Perhaps with effect.
    Unknown(Cow<'static, str>),
    /// For good.
    Fault(Cow<'static, str>),
}

impl From<longhaul_partition::ProposeError> for Failure {
    fn from(error: longhaul_partition::ProposeError) -> Self {
        use longhaul_partition::ProposeError as Local;
        match error {
            Local::NotLeader { leader } => Self::NotLeader { leader },
            Local::NotApplied(why) => Self::NotNow(why.into()),
            Local::Overloaded => Self::Overloaded,
            Local::Full { pending, max } => Self::Full { pending, max },
            Local::Unknown(why) => Self::Unknown(why.into()),
        }
    }
}

impl From<longhaul_partition::ReadError> for Failure {
    fn from(error: longhaul_partition::ReadError) -> Self {
        use longhaul_partition::ReadError as Local;
        match error {
            Local::NotLeader { leader } => Self::NotLeader { leader },
            Local::Unavailable(why) => Self::NotNow(why.into()),
            Local::Fault(fault) => Self::Fault(fault.to_string().into()),
        }
    }
}

impl From<Failure> for ProposeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotLeader { .. } => Self::NotApplied(NOT_LED.into()),
            Failure::NotNow(why) => Self::NotApplied(why),
            Failure::Overloaded => Self::Overloaded,
            Failure::Full { pending, max } => Self::Full { pending, max },
            Failure::Unknown(why) | Failure::Fault(why) => Self::Unknown(why),
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotLeader { .. } => Self::Unavailable(NOT_LED.into()),
            Failure::NotNow(why) | Failure::Unknown(why) => Self::Unavailable(why),
            Failure::Overloaded | Failure::Full { .. } => {
                Self::Unavailable("the partition has too much work waiting".into())
            }
            Failure::Fault(why) => Self::Fault(why),
        }
    }
}

impl From<longhaul_partition::ProposeError> for ProposeError {
    fn from(error: longhaul_partition::ProposeError) -> Self {
        Failure::from(error).into()
    }
}

impl From<longhaul_partition::ReadError> for ReadError {
    fn from(error: longhaul_partition::ReadError) -> Self {
        Failure::from(error).into()
    }
}

impl From<ReadError> for ProposeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(why) => Self::NotApplied(why),
            ReadError::Fault(_) => Self::NotApplied("the partition's storage is broken".into()),
        }
    }
}
