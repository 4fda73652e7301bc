//! The RPCs of the protocol as typed calls.
//!
//! `work_items.rs` holds what a worker calls, the others what a program calls; all count on the caller to set a deadline
//! by dropping the future.

mod entities;
mod instances;
mod queries;
mod work_items;

pub use instances::{Detail, Reach};
pub use queries::InstancePage;
pub use work_items::WorkItemStream;

use std::num::NonZeroUsize;

use crate::{
    call_error::{CallError, ConnectError},
    channel_pool::{ChannelPool, Stub},
    endpoint::Endpoint,
    identity::Identity,
};

/// A connected client; clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    pool: ChannelPool,
    identity: Identity,
}

impl Client {
    /// Connects once.
    ///
    /// # Errors
    /// [`ConnectError`] if the endpoint is unusable or nothing accepts the connection within 5 s.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        Self::connect_many(endpoint, NonZeroUsize::MIN).await
    }

    /// Opens `connections` connections and spreads calls over them in turn.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_many(
        endpoint: &Endpoint,
        connections: NonZeroUsize,
    ) -> Result<Self, ConnectError> {
        let identity = Identity::of(endpoint)?;
        Ok(Self {
            pool: ChannelPool::connect(endpoint, connections).await?,
            identity,
        })
    }

    /// Succeeds when the server is ready to serve the task hub.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown task hub, `UNAVAILABLE` while the server starts or stops.
    pub async fn hello(&self) -> Result<(), CallError> {
        let (mut stub, request) = self.call(());
        stub.hello(request)
            .await
            .map_err(|status| CallError::new("Hello", status))?;
        Ok(())
    }

    fn call<M>(&self, message: M) -> (Stub, tonic::Request<M>) {
        (self.pool.stub(), self.identity.request(message))
    }
}
