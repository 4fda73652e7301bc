//! Which task hubs there are: asked and changed here, answered by whoever keeps the registry.

use longhaul_types::{HubId, HubName};
use tonic::Status;
use tonic::codegen::BoxFuture;

use crate::refusals::rows::{HUB_LIMIT, HUB_MANAGEMENT};
use crate::refusals::rules::{HUB_CHANGES, HUB_COUNT};
use crate::status::fault;

/// The task hubs of this cluster.
pub trait Hubs: Send + Sync + 'static {
    /// The number of the hub that is called `name`, without regard to case. Asked on every call, so it must not wait.
    ///
    /// # Errors
    /// [`UnknownHub`] if there is none.
    fn resolve(&self, name: &HubName) -> Result<HubId, UnknownHub>;

    /// Asked when [`Hubs::resolve`] knows no such hub: it is made if that is allowed, else looked up once more in what
    /// the whole cluster knows. `None` if there is none.
    ///
    /// # Errors
    /// [`ChangeRefused`]: there may be one.
    fn first_use(&self, name: HubName) -> BoxFuture<Option<HubId>, ChangeRefused>;

    /// Makes sure that there is a hub called `name`, durably.
    ///
    /// # Errors
    /// [`ChangeRefused`]; nothing has changed then.
    fn create(&self, name: HubName, existing: Existing) -> BoxFuture<(), ChangeRefused>;

    /// Makes sure that there is no hub called `name`, durably. What it held is removed later, out of sight.
    ///
    /// # Errors
    /// [`ChangeRefused`]; nothing has changed then.
    fn delete(&self, name: HubName) -> BoxFuture<(), ChangeRefused>;
}

/// What becomes of a hub that exists when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is.
    Kept,
    /// An empty one takes its name.
    Replaced,
}

/// No task hub has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task hub not found: {name}")]
pub struct UnknownHub {
    /// The name that was asked for.
    pub name: HubName,
}

/// A task hub was neither created nor deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Only the operator does that here.
    #[error(
        "task hubs are not made or deleted over RPC here; list them in {list}, or set {switch} = true"
    )]
    NotAllowed {
        /// The setting that lists the hubs of the server.
        list: &'static str,
        /// The setting that allows it.
        switch: &'static str,
    },
    /// There are as many as there may be.
    #[error(
        "there are already {max} task hubs, counting those whose content is still being removed"
    )]
    TooMany {
        /// As many.
        max: usize,
    },
    /// Nobody who decides could be asked.
    #[error("the cluster has not answered, try again: {0}")]
    Unavailable(String),
    /// The change cannot be made durable.
    #[error("{0}")]
    Broken(String),
}

impl From<ChangeRefused> for Status {
    fn from(refused: ChangeRefused) -> Self {
        match &refused {
            ChangeRefused::NotAllowed { .. } => HUB_MANAGEMENT.refuse(&HUB_CHANGES, refused).into(),
            ChangeRefused::TooMany { .. } => HUB_LIMIT.refuse(&HUB_COUNT, refused).into(),
            ChangeRefused::Unavailable(_) => Self::unavailable(refused.to_string()),
            ChangeRefused::Broken(why) => fault(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn every_refusal_has_its_code_and_says_what_to_do() {
        let not_allowed = ChangeRefused::NotAllowed {
            list: "hubs.create",
            switch: "hubs.manage_over_rpc",
        };
        let cases = [
            (
                not_allowed,
                Code::PermissionDenied,
                ["hubs.create", "hubs.manage_over_rpc = true"],
            ),
            (
                ChangeRefused::TooMany { max: 10_000 },
                Code::ResourceExhausted,
                ["10000 task hubs", "delete one"],
            ),
            (
                ChangeRefused::Unavailable("no leader".to_owned()),
                Code::Unavailable,
                ["try again", "no leader"],
            ),
            (
                ChangeRefused::Broken("the disk is full".to_owned()),
                Code::Internal,
                ["internal fault: ", "the disk is full"],
            ),
        ];
        for (refused, code, parts) in cases {
            let status = Status::from(refused);
            assert_eq!(status.code(), code, "{status:?}");
            for part in parts {
                assert!(status.message().contains(part), "{part:?} in {status:?}");
            }
        }
    }
}
