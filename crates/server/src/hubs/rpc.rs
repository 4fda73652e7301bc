//! The registry as calls see and change it.

use std::sync::Arc;

use longhaul_frontend::{ChangeRefused, Existing, Hubs, UnknownHub};
use longhaul_types::{HubId, HubName};
use tonic::codegen::BoxFuture;

use super::{HUBS_MAX, HubRegistry, RegistryError};
use crate::fault::FaultHandler;

/// Answers lookups, and changes the registry where that is allowed.
pub(crate) struct HubsOverRpc {
    pub(crate) registry: Arc<HubRegistry>,
    /// Whether clients may make and delete hubs.
    pub(crate) managed: bool,
    pub(crate) on_fault: FaultHandler,
}

impl Hubs for HubsOverRpc {
    fn resolve(&self, name: &HubName) -> Result<HubId, UnknownHub> {
        let found = self.registry.resolve(name);
        found.ok_or_else(|| UnknownHub { name: name.clone() })
    }

    fn create(&self, name: HubName, existing: Existing) -> BoxFuture<(), ChangeRefused> {
        self.change(move |registry| match existing {
            Existing::Kept => registry.create(&name).map(drop),
            Existing::Replaced => registry.recreate(&name).map(drop),
        })
    }

    fn delete(&self, name: HubName) -> BoxFuture<(), ChangeRefused> {
        self.change(move |registry| registry.delete(&name))
    }
}

impl HubsOverRpc {
    /// Makes a change where waiting for the disk hurts nobody.
    fn change(
        &self,
        change: impl FnOnce(&HubRegistry) -> Result<(), RegistryError> + Send + 'static,
    ) -> BoxFuture<(), ChangeRefused> {
        if !self.managed {
            return Box::pin(std::future::ready(Err(ChangeRefused::NotAllowed {
                list: "hubs.create",
                switch: "hubs.manage_over_rpc",
            })));
        }
        let (registry, on_fault) = (self.registry.clone(), self.on_fault.clone());
        // Once begun, it is finished even if the caller goes away.
        let change = tokio::task::spawn_blocking(move || change(&registry));
        Box::pin(async move {
            let outcome = change.await.expect("a change does not panic");
            outcome.map_err(|error| match error {
                RegistryError::Full { .. } => ChangeRefused::TooMany { max: HUBS_MAX },
                error => {
                    on_fault.raise(&error);
                    ChangeRefused::Broken(error.to_string())
                }
            })
        })
    }
}
