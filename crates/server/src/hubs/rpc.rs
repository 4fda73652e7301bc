//! The registry as calls see and change it.

use std::sync::Arc;

use futures::FutureExt;
use longhaul_frontend::{ChangeRefused, Existing, Hubs, UnknownHub};
use longhaul_types::{HubId, HubName};
use tonic::codegen::BoxFuture;

use super::{HUBS_MAX, HubError, HubRegistry};

/// Answers lookups, and changes the registry where that is allowed.
pub(crate) struct HubsOverRpc {
    pub(crate) registry: Arc<HubRegistry>,
    /// Whether clients may make and delete hubs.
    pub(crate) managed: bool,
}

impl Hubs for HubsOverRpc {
    fn resolve(&self, name: &HubName) -> Result<HubId, UnknownHub> {
        let found = self.registry.resolve(name);
        found.ok_or_else(|| UnknownHub { name: name.clone() })
    }

    fn first_use(&self, name: HubName) -> BoxFuture<Option<HubId>, ChangeRefused> {
        let registry = self.registry.clone();
        async move { registry.first_use(&name).await.map_err(refused) }.boxed()
    }

    fn create(&self, name: HubName, existing: Existing) -> BoxFuture<(), ChangeRefused> {
        let registry = self.registry.clone();
        self.change(async move {
            match existing {
                Existing::Kept => registry.create(&name).await.map(drop),
                Existing::Replaced => registry.recreate(&name).await.map(drop),
            }
        })
    }

    fn delete(&self, name: HubName) -> BoxFuture<(), ChangeRefused> {
        let registry = self.registry.clone();
        self.change(async move { registry.delete(&name).await })
    }
}

impl HubsOverRpc {
    /// Makes a change, if that is allowed. Once begun, it is finished even if the caller goes away.
    fn change(
        &self,
        change: impl Future<Output = Result<(), HubError>> + Send + 'static,
    ) -> BoxFuture<(), ChangeRefused> {
        if !self.managed {
            return Box::pin(std::future::ready(Err(ChangeRefused::NotAllowed {
                list: "hubs.create",
                switch: "hubs.manage_over_rpc",
            })));
        }
        let change = tokio::spawn(change);
        async move {
            let outcome = change.await.expect("a change does not panic");
            outcome.map_err(refused)
        }
        .boxed()
    }
}

fn refused(error: HubError) -> ChangeRefused {
    match error {
        HubError::Full { .. } => ChangeRefused::TooMany { max: HUBS_MAX },
        HubError::Unavailable(why) => ChangeRefused::Unavailable(why),
    }
}
