//! Claims that this node makes for its streams.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use longhaul_partition::{Elsewhere, Outlook, Taker};
use longhaul_peer::{AskError, Events, Exchange, Line, WeakExchange};
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::registry::{Farewell, Outgoing, Registry, Ticket};
use super::wire::{self, Ask, Claim, Given, Notice};

/// How long a node that answers claims with nonsense is left alone.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Client(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry<Line>>,
    exchange: OnceLock<WeakExchange>,
    runtime: Handle,
}

impl Client {
    /// Must be called within a tokio runtime.
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            registry: Mutex::default(),
            exchange: OnceLock::new(),
            runtime: Handle::current(),
        }))
    }

    pub(super) fn serve(&self, exchange: &Exchange) {
        let first = self.0.exchange.set(exchange.downgrade()).is_ok();
        assert!(first, "claims are served once");
    }

    fn look(&self, stream: u64) {
        let claims = self.0.registry.lock().look(stream);
        for claim in claims {
            self.0.runtime.spawn(self.clone().claim(claim));
        }
    }

    async fn claim(self, claim: Outgoing<Line>) {
        let Outgoing {
            line,
            ticket,
            introduction,
        } = claim;
        let request = wire::encode_ask(Ask::Claim(Claim {
            profile: ticket.profile,
            introduction,
            stream: ticket.stream,
            slots: ticket.slots,
        }));
        let answered = line.ask(request).await;
        let given = answered.and_then(|answer| {
            let given = wire::decode_given(answer, ticket.hub, ticket.slots);
            given.map_err(|malformed| AskError::Unknown(malformed.to_string()))
        });
        match given {
            Ok(given) => self.given(ticket, given),
            Err(error) => self.failed(ticket, &error).await,
        }
    }

    fn given(&self, ticket: Ticket, given: Given) {
        let farewell = self.0.registry.lock().given(ticket, given);
        self.bid(farewell);
    }

    async fn failed(&self, ticket: Ticket, error: &AskError) {
        let farewell = self.0.registry.lock().failed(ticket);
        let Some(farewell) = farewell else {
            return tracing::debug!(node = %ticket.node, %error, "a claim is lost with its link");
        };
        tracing::error!(node = %ticket.node, %error, "a claim was not answered");
        self.bid([farewell]);
        tokio::time::sleep(FAILURE_PAUSE).await;
        self.0.registry.lock().end_pause(ticket);
    }

    fn bid(&self, farewells: impl IntoIterator<Item = Farewell<Line>>) {
        for (line, gone) in farewells {
            let request = wire::encode_ask(Ask::Gone(gone));
            self.0.runtime.spawn(async move {
                if let Err(error) = line.ask(request).await {
                    // Everything is given back with the link.
                    tracing::debug!(%error, "the end of a stream was not told");
                }
            });
        }
    }
}

impl Elsewhere for Client {
    fn open(&self, stream: Taker) -> Box<dyn Outlook> {
        let id = stream.id();
        Box::new(StreamOutlook {
            client: self.clone(),
            calm: self.0.registry.lock().open(stream),
            stream: id,
        })
    }
}

struct StreamOutlook {
    client: Client,
    stream: u64,
    calm: Arc<AtomicBool>,
}

impl Outlook for StreamOutlook {
    fn look(&mut self) {
        if !self.calm.load(Ordering::SeqCst) {
            self.client.look(self.stream);
        }
    }
}

impl Drop for StreamOutlook {
    fn drop(&mut self) {
        let farewells = self.client.0.registry.lock().close(self.stream);
        self.client.bid(farewells);
    }
}

impl Events for Client {
    fn opened(&self, node: NodeId) {
        let exchange = self.0.exchange.get().and_then(WeakExchange::upgrade);
        if let Some(line) = exchange.and_then(|exchange| exchange.line(node)) {
            self.0.registry.lock().link_opened(node, line);
        }
    }

    fn told(&self, node: NodeId, notice: Bytes) {
        let mut registry = self.0.registry.lock();
        match wire::decode_notice(notice) {
            Ok(Notice::Ready {
                profile,
                kind,
                look,
            }) => registry.ready(node, profile, kind, look),
            Ok(Notice::Freed(streams)) => registry.freed(node, streams),
            Err(malformed) => {
                tracing::error!(%node, %malformed, "a node's notice cannot be understood");
            }
        }
    }

    fn lost(&self, node: NodeId) {
        self.0.registry.lock().link_lost(node);
    }
}
