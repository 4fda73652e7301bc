//! Work across nodes: items of partitions that one node leads, for worker streams that end on another.
//!
//! ```text
//!   streams here ─ look ─► Client ── claim ──► Server ─ Proxy ─► partitions led there
//!                ◄─ hand ─        ◄── items ──
//!                ◄─ wake ─        ◄── Ready ──        ◄─ Watch
//!                ◄─ release ─     ◄── Freed ──        ◄─ deliveries that are over
//! ```
//!
//! Work is pulled. A stream takes what is ready here first, and claims elsewhere what it still has room for. Claims are
//! answered at once; a node that found less than it wanted is told when there is something again. The delivery itself
//! stays with the leader, on a proxy of the stream, and lives no longer than the stream and the link: when either ends,
//! the leader offers the item again, and when the link ends, the slots of its items are free here.

mod client;
mod registry;
mod server;
mod standing;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use longhaul_partition::{Claimed, Sessions};
use longhaul_peer::{Asker, AskerId, Events, Exchange};

use self::{client::Client, server::Server};

/// The first byte of a request that is a claim.
pub const KIND: u8 = 1;

/// Makes of a work item what workers receive.
pub trait Encoder: Send + Sync + 'static {
    /// An encoded `WorkItem`.
    ///
    /// # Errors
    /// Says why it cannot be built. It is given back and offered again later.
    fn encode(&self, claimed: &Claimed) -> Result<Bytes, String>;
}

/// Claims of this node and of others. Cheap to clone.
#[derive(Clone)]
pub struct Claims {
    client: Client,
    server: Server,
}

impl Claims {
    /// Streams that open from now on are given work of other nodes as well. Must be called within a tokio runtime, and
    /// once for a node.
    #[must_use]
    pub fn start(sessions: Sessions) -> Self {
        let client = Client::new();
        sessions.look_elsewhere(Arc::new(client.clone()));
        Self {
            client,
            server: Server::start(sessions),
        }
    }

    /// Who hears what other nodes say without being asked.
    #[must_use]
    pub fn events(&self) -> Arc<dyn Events> {
        Arc::new(self.client.clone())
    }

    /// On which exchange to claim: the one whose events are heard, before it opens its first link.
    pub fn serve(&self, exchange: &Exchange) {
        self.client.serve(exchange);
    }

    /// Who encodes what other nodes are given. Until then their claims wait.
    pub fn appoint(&self, encoder: Arc<dyn Encoder>) {
        self.server.appoint(encoder);
    }

    /// Answers a request, without its first byte.
    #[must_use]
    pub fn answer(&self, asker: Asker, request: Bytes) -> BoxFuture<'static, Bytes> {
        self.server.answer(asker, request)
    }

    /// Everything out on streams that claimed on this link can be dispatched again at once.
    pub fn asker_lost(&self, asker: AskerId) {
        self.server.asker_lost(asker);
    }
}
