//! Handing work to workers: what is ready, what is out, and on which stream. Soft state of the leader.

mod dispatcher;
mod filters;
mod lane;
mod lease;
mod ready;
mod session;
mod sessions;
mod token;

pub(crate) use dispatcher::{ClaimRequest, Dispatcher, Settled};
pub use filters::{Filters, NameFilter};
pub(crate) use lane::Class;
pub use lease::{AbandonDelay, ActivityLease, Claimed, LeaseId, PartialTooLarge, TurnLease};
use longhaul_engine::InstanceKey;
pub(crate) use ready::Ready;
pub(crate) use session::Share;
pub use session::{Capabilities, Session, SessionSpec};
pub use sessions::Sessions;
pub(crate) use sessions::{SessionState, WeakSessions};
pub(crate) use token::{format_token, parse_token};

/// The kinds of work item, each with its own limit per stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkKind {
    /// A turn of an orchestration.
    Orchestration = 0,
    /// An activity.
    Activity = 1,
    /// A batch of an entity's operations.
    Entity = 2,
}

impl WorkKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Orchestration, Self::Activity, Self::Entity];
}

/// What a work item is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Turn(InstanceKey),
    Activity(InstanceKey, u64),
}

impl Item {
    pub(crate) fn key(&self) -> &InstanceKey {
        match self {
            Self::Turn(key) | Self::Activity(key, _) => key,
        }
    }

    pub(crate) fn kind(&self) -> WorkKind {
        match self {
            Self::Turn(_) => WorkKind::Orchestration,
            Self::Activity(..) => WorkKind::Activity,
        }
    }
}
