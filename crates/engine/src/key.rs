//! What names an instance or an entity inside a cluster.

use std::fmt;

use longhaul_types::{HubId, InstanceId};

/// An instance or an entity: its task hub and its id. Orders by hub, then by id byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// The task hub.
    pub hub: HubId,
    /// The id within the hub.
    pub id: InstanceId,
}

impl InstanceKey {
    /// The key of `id` in `hub`.
    #[must_use]
    pub fn new(hub: HubId, id: InstanceId) -> Self {
        Self { hub, id }
    }
}

impl fmt::Debug for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hub.0, self.id)
    }
}
