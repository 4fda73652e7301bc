//! One address for all nodes, as a Kubernetes service or a load balancer gives to SDKs, which know only one.
//!
//! Each client and worker has a [`Front`] of its own. A new connection goes to a node that is ready; one that exists stays
//! until its node no longer answers at all, and is then cut, as a balancer that watches its backends does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::lab::{http, network::NodeIndex, node::GRPC_PORT};

const LOOKS_EVERY: Duration = Duration::from_millis(100);
const ANSWERS_WITHIN: Duration = Duration::from_millis(400);
const CONNECTS_WITHIN: Duration = Duration::from_millis(200);
/// Failed looks in a row after which a node counts as gone. One alone may be a busy machine's.
const LOOKS_FAILED: u32 = 2;
/// No node of the run: not connected.
const NOBODY: usize = usize::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Takes new connections.
    Ready,
    /// Keeps those that it has.
    Alive,
    /// Does not answer.
    Gone,
}

/// The nodes as the service sees them.
#[derive(Debug)]
pub struct Service {
    nodes: Vec<(Ipv4Addr, watch::Receiver<State>)>,
    _watching: Vec<AbortOnDropHandle<()>>,
}

impl Service {
    /// Begins to watch the nodes at these addresses.
    pub fn start(nodes: &[Ipv4Addr]) -> Arc<Self> {
        let (watched, watching) = nodes
            .iter()
            .map(|address| {
                let (state, seen) = watch::channel(State::Gone);
                let watching = tokio::spawn(look(*address, state));
                ((*address, seen), AbortOnDropHandle::new(watching))
            })
            .unzip();
        Arc::new(Self {
            nodes: watched,
            _watching: watching,
        })
    }

    /// The ready nodes, from the preferred one on.
    fn ready(&self, preferred: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        let count = self.nodes.len();
        (0..count)
            .map(move |offset| (preferred + offset) % count)
            .filter(|node| *self.nodes[*node].1.borrow() == State::Ready)
    }

    async fn connect(&self, preferred: NodeIndex) -> Option<(NodeIndex, TcpStream)> {
        for node in self.ready(preferred) {
            let address = SocketAddr::from((self.nodes[node].0, GRPC_PORT));
            if let Ok(Ok(stream)) = timeout(CONNECTS_WITHIN, TcpStream::connect(address)).await {
                return Some((node, stream));
            }
        }
        None
    }

    async fn gone(&self, node: NodeIndex) {
        let mut state = self.nodes[node].1.clone();
        // Without anybody who looks there is nobody to cut either.
        let _ = state.wait_for(|state| *state == State::Gone).await;
    }
}

async fn look(address: Ipv4Addr, state: watch::Sender<State>) {
    let mut failed = 0;
    loop {
        let seen = match http::get(address, "/readyz", ANSWERS_WITHIN).await {
            Ok((200, _)) => State::Ready,
            Ok(_) => State::Alive,
            Err(_) => State::Gone,
        };
        failed = if seen == State::Gone { failed + 1 } else { 0 };
        if seen != State::Gone || failed >= LOOKS_FAILED {
            state.send_if_modified(|state| std::mem::replace(state, seen) != seen);
        }
        sleep(LOOKS_EVERY).await;
    }
}

/// The service's address for one client or worker.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    node: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Front {
    /// Opens it; connections go to the preferred node if they can.
    ///
    /// # Errors
    /// If there is no port for it.
    pub async fn open(service: Arc<Service>, preferred: NodeIndex) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let front = Self {
            address: listener.local_addr()?,
            node: Arc::new(AtomicUsize::new(NOBODY)),
            stop: CancellationToken::new(),
        };
        let (node, stop) = (Arc::clone(&front.node), front.stop.clone());
        tokio::spawn(async move {
            stop.clone()
                .run_until_cancelled(serve(listener, service, preferred, node, stop))
                .await;
        });
        Ok(front)
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node that the last connection went to, as long as it lasts.
    pub fn node(&self) -> Option<NodeIndex> {
        Some(self.node.load(Ordering::Relaxed)).filter(|node| *node != NOBODY)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    preferred: NodeIndex,
    current: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let service = Arc::clone(&service);
        let current = Arc::clone(&current);
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(pass(client, &service, preferred, &current))
                .await;
        });
    }
}

/// Passes bytes until either side ends or the node is gone. A client for which there is no node is sent away.
async fn pass(
    mut client: TcpStream,
    service: &Service,
    preferred: NodeIndex,
    current: &AtomicUsize,
) {
    let Some((node, mut server)) = service.connect(preferred).await else {
        return;
    };
    // Small messages are not held back; a socket that cannot do that is slower, no more.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    current.store(node, Ordering::Relaxed);
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        () = service.gone(node) => {}
    }
    // Unless a newer connection goes elsewhere by now.
    let _ = current.compare_exchange(node, NOBODY, Ordering::Relaxed, Ordering::Relaxed);
}
