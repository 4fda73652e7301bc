//! What a query asks for and what it answers, whoever walks the rows.
//!
//! ```text
//! query            order                      filters
//! instances        created, then id           status, created, id prefix
//! ended instances  completed, then id         status, completed
//! entities         id                         id prefix, last modified, whether they have a state
//! ```

use bytes::Bytes;
use longhaul_types::{HubId, InstanceId, Timestamp};

use crate::instance::Status;

/// A set of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusSet(u8);

impl StatusSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every status.
    pub const ALL: Self = Self(0b1111_1111);

    /// With `status` added.
    #[must_use]
    pub fn with(self, status: Status) -> Self {
        Self(self.0 | 1 << status as u8)
    }

    /// Whether `status` is in it.
    #[must_use]
    pub fn contains(self, status: Status) -> bool {
        self.0 & (1 << status as u8) != 0
    }

    /// Its members, by number on the wire.
    pub fn iter(self) -> impl Iterator<Item = Status> {
        (0..8)
            .filter_map(Status::from_wire)
            .filter(move |status| self.contains(*status))
    }

    /// A bit for each member, by its number on the wire.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set that has these [`StatusSet::bits`].
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Those that are terminal.
    #[must_use]
    pub fn terminal(self) -> Self {
        self.iter()
            .filter(|status| status.is_terminal())
            .collect::<Self>()
    }
}

impl FromIterator<Status> for StatusSet {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        statuses.into_iter().fold(Self::NONE, Self::with)
    }
}

/// A span of time: from the first, included, to the second, excluded; absent is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Whether `at` is in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// Which instances of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceFilter {
    /// The task hub.
    pub hub: HubId,
    /// Status as clients see it.
    pub statuses: StatusSet,
    /// When it was created.
    pub created: Span,
    /// What the id begins with, byte by byte.
    pub id_prefix: String,
}

/// Which ended instances of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedFilter {
    /// The task hub.
    pub hub: HubId,
    /// Terminal ones; others match nothing.
    pub statuses: StatusSet,
    /// When it ended.
    pub completed: Span,
}

/// A place in an order by time: everything at or before it has been seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimePosition {
    /// Creation or completion time.
    pub at: Timestamp,
    /// Id, among equal times.
    pub id: InstanceId,
}

/// Which entities of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityQuery {
    /// The task hub.
    pub hub: HubId,
    /// What the id begins with; the name part in lower case.
    pub id_prefix: String,
    /// When a batch of it was last committed.
    pub modified: Span,
    /// Also entities without a state that have a lock or a queue.
    pub transient: bool,
}

/// An entity as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityView {
    /// `@name@key`.
    pub id: InstanceId,
    /// Its state.
    pub state: Option<Bytes>,
    /// When a batch was last committed, else when its record was made.
    pub modified_at: Timestamp,
    /// Operations that no worker has been given yet.
    pub backlog: u32,
    /// The orchestration that holds its lock.
    pub locked_by: Option<InstanceId>,
}

impl EntityView {
    /// Bytes of its state.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.len())
    }
}
