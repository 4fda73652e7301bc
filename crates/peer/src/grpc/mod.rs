//! Links between processes: gRPC streams over HTTP/2, a connection for each.
//!
//! ```text
//! dial.rs      open: address ─► socket ─► TLS ─► HTTP/2 ─► hello ─► Link
//! serve.rs     sockets that others opened ─► TLS ─► HTTP/2 ─► service.rs
//! service.rs   hello ─► may they? ─► Link, to whoever accepts the class
//! frames.rs    messages of the stream to frames and back, counted
//! port.rs      the same port for plain calls, before a node knows who it is
//! ```

mod dial;
mod frames;
mod port;
mod serve;
mod service;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use self::port::{CallError, Calls, Port, PortSetup};
use self::serve::{Caller, Doors};

use crate::{
    addresses::Addresses,
    backoff::BackoffConfig,
    handshake::{Acquaintances, Refusal},
    identity::Identity,
    link::{Class, Incoming, LINKS_WAITING, Link, Links, OpenError},
    meters::ClassMeters,
    sockets::{Dial, Listen, Socket},
    tls::{Tls, TlsError, TlsFiles},
};

/// Times and limits of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrpcConfig {
    /// How long opening a link may take, from the first packet to the last hello.
    pub handshake_timeout: Duration,
    /// A connection that is silent for this long is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long it may take to answer, before it counts as broken.
    pub keepalive_timeout: Duration,
    /// Waits between attempts to open links.
    pub backoff: BackoffConfig,
    /// Bytes that may be on their way on a link before the receiver takes them.
    pub window_bytes: u32,
    /// Connections of others at the same time; more have to wait.
    pub connections_max: usize,
    /// Seed of the jitter of waits.
    pub seed: u64,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(3),
            backoff: BackoffConfig::default(),
            window_bytes: 4 << 20,
            connections_max: 256,
            seed: 0,
        }
    }
}

/// What protects the links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Nothing, on this machine only: other addresses are refused.
    PlainTextOnLoopback,
    /// Nothing. Whoever reaches the port can become a member.
    PlainText,
    /// Mutual TLS.
    Tls(TlsFiles),
}

/// What [`GrpcLinks`] are started with.
pub struct GrpcSetup {
    /// Who this node is.
    pub identity: Identity,
    /// Times and limits.
    pub config: GrpcConfig,
    /// What protects the links.
    pub security: Security,
    /// Where the others are.
    pub addresses: Arc<dyn Addresses>,
    /// The way to them.
    pub dial: Arc<dyn Dial>,
    /// Where they find this node.
    pub listen: Box<dyn Listen>,
}

/// Links that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener does not know where it listens.
    #[error("the port for other nodes has no address: {0}")]
    Listener(#[from] io::Error),
    /// Links in plain text would be offered to other machines.
    #[error(
        "{0} can be reached from other machines: configure TLS between nodes, or allow plain text"
    )]
    PlainText(SocketAddr),
    /// Certificates that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Links over gRPC. Clones are the same; with the last one all links end.
#[derive(Clone)]
pub struct GrpcLinks(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    _jobs: JoinSet<()>,
}

/// What the parts of a node's links share.
struct Shared {
    identity: Identity,
    config: GrpcConfig,
    guard: Guard,
    addresses: Arc<dyn Addresses>,
    dial: Arc<dyn Dial>,
    known: Mutex<Acquaintances>,
    acceptors: Mutex<BTreeMap<Class, mpsc::Sender<Link>>>,
    slots: Mutex<BTreeMap<(NodeId, Class), Arc<dial::Slot>>>,
    meters: BTreeMap<Class, ClassMeters>,
    /// Ends every link.
    closing: CancellationToken,
}

/// [`Security`], ready for use.
#[derive(Debug, Clone)]
enum Guard {
    PlainText { anywhere: bool },
    Tls(Tls),
}

impl GrpcLinks {
    /// Lets other nodes open links from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(setup: GrpcSetup) -> Result<Self, StartError> {
        Self::begin(setup, None)
    }

    /// The same on a port that also answers these calls, from other nodes' [`Calls`].
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_beside(setup: GrpcSetup, also: Routes) -> Result<Self, StartError> {
        Self::begin(setup, Some(also))
    }

    fn begin(setup: GrpcSetup, also: Option<Routes>) -> Result<Self, StartError> {
        let guard = Guard::new(setup.security)?;
        let address = setup.listen.local_address()?;
        guard
            .admit(address)
            .map_err(|_| StartError::PlainText(address))?;
        let meters = Class::ALL.map(|class| (class, ClassMeters::of(class)));
        let shared = Arc::new(Shared {
            identity: setup.identity,
            config: setup.config,
            guard,
            addresses: setup.addresses,
            dial: setup.dial,
            known: Mutex::default(),
            acceptors: Mutex::default(),
            slots: Mutex::default(),
            meters: meters.into(),
            closing: CancellationToken::new(),
        });
        let mut jobs = JoinSet::new();
        let doors = Doors {
            config: shared.config,
            guard: shared.guard.clone(),
            links: Some(shared.clone()),
            also,
        };
        let mut listen = setup.listen;
        jobs.spawn(async move { serve::serve(doors, &mut *listen).await });
        if let Guard::Tls(tls) = &shared.guard {
            jobs.spawn(tls.clone().keep_fresh());
        }
        Ok(Self(Arc::new(Running {
            shared,
            _jobs: jobs,
        })))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl Links for GrpcLinks {
    fn open(&self, to: NodeId, class: Class) -> BoxFuture<'static, Result<Link, OpenError>> {
        dial::open(self.0.shared.clone(), to, class).boxed()
    }

    fn accept(&self, class: Class) -> Incoming {
        let (acceptor, incoming) = mpsc::channel(LINKS_WAITING);
        self.0.shared.acceptors.lock().insert(class, acceptor);
        incoming
    }
}

impl fmt::Debug for GrpcLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrpcLinks")
            .field(&self.0.shared.identity)
            .finish()
    }
}

impl Guard {
    fn new(security: Security) -> Result<Self, TlsError> {
        Ok(match security {
            Security::PlainTextOnLoopback => Self::PlainText { anywhere: false },
            Security::PlainText => Self::PlainText { anywhere: true },
            Security::Tls(files) => Self::Tls(Tls::load(files)?),
        })
    }

    /// Whether frames may go to or come from an address.
    fn admit(&self, address: SocketAddr) -> Result<(), Refusal> {
        match self {
            Self::PlainText { anywhere: false } if !address.ip().is_loopback() => {
                Err(Refusal::PlainText(address))
            }
            Self::PlainText { .. } | Self::Tls(_) => Ok(()),
        }
    }

    /// Whether a caller is a node, though nobody knows which.
    fn knows(&self, caller: &Caller) -> bool {
        match self {
            Self::PlainText { .. } => true,
            Self::Tls(tls) => caller
                .certificate
                .as_ref()
                .is_some_and(|certificate| tls.is_of_a_node(certificate)),
        }
    }
}

impl Shared {
    fn meters(&self, class: Class) -> &ClassMeters {
        &self.meters[&class]
    }
}
