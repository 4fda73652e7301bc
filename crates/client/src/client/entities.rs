//! Calls of a program: signal and read entities.

use longhaul_proto::sidecar::{EntityMetadata, GetEntityRequest, SignalEntityRequest};

use super::Client;
use crate::call_error::CallError;

impl Client {
    /// Queues a one-way operation; once this returns, it is done sooner or later.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if `instance_id` is not of the form `@name@key`. A repeat with the same `request_id` is harmless
    /// within ten minutes.
    pub async fn signal_entity(&self, request: SignalEntityRequest) -> Result<(), CallError> {
        let (mut stub, request) = self.call(request);
        stub.signal_entity(request)
            .await
            .map_err(|status| CallError::new("SignalEntity", status))?;
        Ok(())
    }

    /// The entity as its last batch left it, state included, or `None` if it has no state.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if `instance_id` is not of the form `@name@key`.
    pub async fn get_entity(&self, instance_id: &str) -> Result<Option<EntityMetadata>, CallError> {
        let (mut stub, request) = self.call(GetEntityRequest {
            instance_id: instance_id.to_owned(),
            include_state: true,
        });
        let reply = stub
            .get_entity(request)
            .await
            .map_err(|status| CallError::new("GetEntity", status))?
            .into_inner();
        Ok(reply.entity.filter(|_| reply.exists))
    }
}
