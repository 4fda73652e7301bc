//! Links between nodes of one process: pipes that can be cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::link::{
    Broken, Class, FRAMES_WAITING, Incoming, LINKS_WAITING, Link, LinkReceiver, LinkSender, Links,
    OpenError,
};

/// A network of nodes in one process; clones are the same network.
#[derive(Clone)]
pub struct MemoryLinks(Arc<Hub>);

struct Hub {
    acceptors: Mutex<BTreeMap<(NodeId, Class), mpsc::Sender<Link>>>,
    cut_off: watch::Sender<BTreeSet<NodeId>>,
}

impl Default for MemoryLinks {
    fn default() -> Self {
        Self(Arc::new(Hub {
            acceptors: Mutex::default(),
            cut_off: watch::Sender::default(),
        }))
    }
}

impl MemoryLinks {
    /// A network without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The links of one node.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Arc<dyn Links> {
        Arc::new(NodeLinks {
            hub: self.0.clone(),
            node,
        })
    }

    /// Cuts a node off from all others: its links break, and none is opened before it is back.
    pub fn cut_off(&self, node: NodeId) {
        self.0.cut_off.send_modify(|cut_off| {
            cut_off.insert(node);
        });
    }

    /// Undoes [`MemoryLinks::cut_off`].
    pub fn reconnect(&self, node: NodeId) {
        self.0.cut_off.send_modify(|cut_off| {
            cut_off.remove(&node);
        });
    }
}

impl fmt::Debug for MemoryLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLinks")
    }
}

struct NodeLinks {
    hub: Arc<Hub>,
    node: NodeId,
}

impl Links for NodeLinks {
    fn open(&self, to: NodeId, class: Class) -> BoxFuture<'static, Result<Link, OpenError>> {
        let (hub, from) = (self.hub.clone(), self.node);
        async move { hub.open(from, to, class).await }.boxed()
    }

    fn accept(&self, class: Class) -> Incoming {
        let (acceptor, incoming) = mpsc::channel(LINKS_WAITING);
        self.hub
            .acceptors
            .lock()
            .insert((self.node, class), acceptor);
        incoming
    }
}

impl Hub {
    async fn open(&self, from: NodeId, to: NodeId, class: Class) -> Result<Link, OpenError> {
        let unreachable = |reason: &str| OpenError::Unreachable {
            to,
            reason: reason.to_owned(),
        };
        let mut cut_off = self.cut_off.subscribe();
        // Nothing is lost by waiting: what a cut keeps apart, its end brings together.
        let together =
            cut_off.wait_for(|cut_off| !cut_off.contains(&from) && !cut_off.contains(&to));
        together
            .await
            .map_err(|_| unreachable("the network is gone"))?;
        let acceptor = self.acceptors.lock().get(&(to, class)).cloned();
        let Some(acceptor) = acceptor else {
            // Whoever tries again at once must not keep a paused clock from going on.
            tokio::time::sleep(ATTEMPT_PAUSE).await;
            return Err(unreachable("nobody accepts there"));
        };
        let (there, here) = self.pipe(from, to);
        match acceptor.send(there).await {
            Ok(()) => Ok(here),
            Err(_) => {
                tokio::time::sleep(ATTEMPT_PAUSE).await;
                Err(unreachable("nobody accepts there any more"))
            }
        }
    }

    /// Both ends of a new link.
    fn pipe(&self, from: NodeId, to: NodeId) -> (Link, Link) {
        let (forth, forth_frames) = mpsc::channel(FRAMES_WAITING);
        let (back, back_frames) = mpsc::channel(FRAMES_WAITING);
        let end = |peer, sender, frames| Link {
            peer,
            sender: LinkSender::new(sender),
            receiver: self.receiver(ReceiverStream::new(frames), [from, to]),
        };
        (end(from, back, forth_frames), end(to, forth, back_frames))
    }

    /// Frames up to the moment one of the nodes is cut off.
    fn receiver(&self, frames: ReceiverStream<bytes::Bytes>, nodes: [NodeId; 2]) -> LinkReceiver {
        let mut cut_off = self.cut_off.subscribe();
        let cut = async move {
            let apart =
                |cut_off: &BTreeSet<NodeId>| nodes.iter().any(|node| cut_off.contains(node));
            // A network that is gone cuts nobody off.
            if cut_off.wait_for(apart).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        // Only frames know whether they ended by themselves.
        let ended = stream::once(async { None });
        let cut = stream::once(cut).map(|()| Some(Err(Broken("a node is cut off".to_owned()))));
        let frames = frames.map(|frame| Some(Ok(frame))).chain(ended);
        let either =
            stream::select_with_strategy(cut, frames, |(): &mut ()| stream::PollNext::Left);
        let received = either
            .scan(false, |broken, item| {
                let ended = *broken || item.is_none();
                *broken = matches!(item, Some(Err(_)));
                std::future::ready(if ended { None } else { item })
            })
            .boxed();
        LinkReceiver::new(received)
    }
}

/// Between two attempts that fail at once.
const ATTEMPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
