//! Which task hubs there are: asked here, answered by whoever keeps the registry.

use longhaul_types::{HubId, HubName};

/// The task hubs of this cluster. Asked on every call, so it must not wait.
pub trait Hubs: Send + Sync + 'static {
    /// The number of the hub that is called `name`, without regard to case.
    ///
    /// # Errors
    /// [`UnknownHub`] if there is none.
    fn resolve(&self, name: &HubName) -> Result<HubId, UnknownHub>;
}

/// No task hub has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task hub not found: {name}")]
pub struct UnknownHub {
    /// The name that was asked for.
    pub name: HubName,
}
