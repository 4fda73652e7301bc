//! The nodes' port before a node knows which node it is, and calls to nodes of which only the
//! address is known.
//!
//! Both ends are protected as links are. Where certificates name nodes, the name says nothing yet:
//! that a certificate comes from the nodes' authority is enough.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use tokio::{task::JoinSet, time};
use tonic::{service::Routes, transport::Channel};

use super::{
    Dial, GrpcConfig, Guard, Listen, Refusal, Security, StartError, dial,
    serve::{self, Doors},
};

/// What a [`Port`] is opened with.
pub struct PortSetup {
    /// Times and limits.
    pub config: GrpcConfig,
    /// What protects the calls.
    pub security: Security,
    /// The way to other nodes.
    pub dial: Arc<dyn Dial>,
    /// Where they find this node.
    pub listen: Box<dyn Listen>,
}

/// The port on which other nodes find this one, without links.
pub struct Port {
    calls: Calls,
    listen: Box<dyn Listen>,
}

/// Calls to nodes whose ids are not known. Clones are the same.
#[derive(Clone)]
pub struct Calls(Arc<Way>);

struct Way {
    config: GrpcConfig,
    guard: Guard,
    dial: Arc<dyn Dial>,
    _jobs: JoinSet<()>,
}

/// A node that cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or none that is secure.
    #[error(transparent)]
    Connection(#[from] io::Error),
    /// No HTTP/2.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    /// It is not to be called.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer within the time for handshakes.
    #[error("no answer in time")]
    Late,
}

impl Port {
    /// Serves nothing yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(setup: PortSetup) -> Result<Self, StartError> {
        let guard = Guard::new(setup.security)?;
        let address = setup.listen.local_address()?;
        guard
            .admit(address)
            .map_err(|_| StartError::PlainText(address))?;
        let mut jobs = JoinSet::new();
        if let Guard::Tls(tls) = &guard {
            jobs.spawn(tls.clone().keep_fresh());
        }
        let way = Way {
            config: setup.config,
            guard,
            dial: setup.dial,
            _jobs: jobs,
        };
        Ok(Self {
            calls: Calls(Arc::new(way)),
            listen: setup.listen,
        })
    }

    /// Where calls are taken.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listen.local_address()
    }

    /// Calls others, protected as this port is.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// Answers calls, but no links, until something has happened. Calls that are being answered then
    /// are lost.
    pub async fn serve<T>(&mut self, routes: Routes, until: impl Future<Output = T>) -> T {
        let doors = Doors {
            config: self.calls.0.config,
            guard: self.calls.0.guard.clone(),
            links: None,
            also: Some(routes),
        };
        tokio::select! {
            () = serve::serve(doors, &mut *self.listen) => unreachable!("connections are served for ever"),
            happened = until => happened,
        }
    }

    /// Gives the listener back, for links on the same port.
    #[must_use]
    pub fn into_listen(self) -> Box<dyn Listen> {
        self.listen
    }
}

impl Calls {
    /// A connection to whoever is at `host:port`. It ends with the last use of the answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn channel(&self, address: &str) -> Result<Channel, CallError> {
        let connected = time::timeout(self.0.config.handshake_timeout, self.connect(address));
        connected.await.map_err(|_| CallError::Late)?
    }

    async fn connect(&self, address: &str) -> Result<Channel, CallError> {
        let socket = self.0.dial.dial(address.to_owned()).await?;
        self.0.guard.admit(socket.peer)?;
        let io = match &self.0.guard {
            Guard::PlainText { .. } => socket.io,
            Guard::Tls(tls) => tls.connect_to_any(socket.io).await?,
        };
        Ok(dial::channel(&self.0.config, io).await?)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Port")
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}
