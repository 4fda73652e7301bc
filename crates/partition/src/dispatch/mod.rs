//! Handing work to workers: what is ready, what is out, and on which stream. Soft state of the leader.

mod dispatcher;
mod docket;
mod elsewhere;
mod filters;
mod lane;
mod lease;
mod ready;
mod session;
mod sessions;
mod setbacks;
mod token;

pub(crate) use dispatcher::{ClaimRequest, Delayed, Dispatcher, Offer, Settled};
pub use elsewhere::{Elsewhere, EncodedItem, Found, Look, Outlook, Proxy, Taker, Watch, Watcher};
pub use filters::{Filters, NameFilter};
pub(crate) use lane::Class;
pub use lease::{
    AbandonDelay, ActivityLease, BatchLease, Claimed, LeaseId, PartialTooLarge, TurnLease,
};
pub(crate) use lease::{ActivityOut, Parts};
use longhaul_engine::InstanceKey;
pub(crate) use ready::Ready;
pub(crate) use session::Share;
pub use session::{Capabilities, Session, SessionSpec};
pub use sessions::Sessions;
pub(crate) use sessions::{SessionState, WeakSessions};
pub(crate) use setbacks::Patience;
pub(crate) use token::Tokens;

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

    /// In logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Orchestration => "orchestration",
            Self::Activity => "activity",
            Self::Entity => "entity",
        }
    }
}

/// What a work item is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Turn(InstanceKey),
    /// Of an entity.
    Batch(InstanceKey),
    Activity(InstanceKey, u64),
}

impl Item {
    /// What an instance has one of: its turn, or an entity's batch.
    pub(crate) fn main_of(key: &InstanceKey) -> Self {
        if key.id.is_entity() {
            Self::Batch(key.clone())
        } else {
            Self::Turn(key.clone())
        }
    }

    pub(crate) fn key(&self) -> &InstanceKey {
        match self {
            Self::Turn(key) | Self::Batch(key) | Self::Activity(key, _) => key,
        }
    }

    pub(crate) fn kind(&self) -> WorkKind {
        match self {
            Self::Turn(_) => WorkKind::Orchestration,
            Self::Batch(_) => WorkKind::Entity,
            Self::Activity(..) => WorkKind::Activity,
        }
    }
}
