//! How replicas of one group on different nodes reach each other.
//!
//! A [`Network`] is chosen once per node: [`Network::none`] for a node that is its whole cluster,
//! [`InProcess`] for nodes that share a process, [`Network::remote`] for all others.

mod in_process;
mod matched;
mod none;
mod peer;
mod remote;
mod succession;

use std::{any::Any, fmt, sync::Arc};

use longhaul_peer::Links;
use longhaul_wal::GroupId;
use openraft::network::RaftNetworkFactory;

pub use self::in_process::InProcess;
pub(crate) use self::matched::Matched;
pub(crate) use self::peer::{Peer, Responses, unreachable};
pub use self::remote::RemoteConfig;
use self::{peer::PeerClient, remote::Remote};
use crate::{
    guard::Guard,
    machine::Staging,
    types::{NodeId, Raft, TypeConfig},
};

/// A node's way to its peers.
#[derive(Clone)]
pub struct Network(Arc<dyn Peers>);

impl Network {
    /// For a node without peers: nothing can be reached.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(none::NoPeers))
    }

    /// Between processes, for the replicas of one node, over that node's links. Must be called
    /// within a tokio runtime; what it runs there ends when the network and all that use it are gone.
    #[must_use]
    pub fn remote(node: NodeId, links: Arc<dyn Links>, config: RemoteConfig) -> Self {
        Self::new(Remote::start(node, links, config))
    }

    pub(crate) fn new(peers: impl Peers) -> Self {
        Self(Arc::new(peers))
    }

    /// What the library asks for connections of one replica.
    pub(crate) fn of(&self, group: GroupId, node: NodeId, matched: Matched) -> Connections {
        Connections {
            peers: self.0.clone(),
            group,
            node,
            matched,
        }
    }

    /// Lets peers reach a replica until the answer is dropped.
    pub(crate) fn attach(&self, group: GroupId, node: NodeId, replica: Attached) -> Attachment {
        self.0.attach(group, node, replica)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

/// One kind of network.
pub(crate) trait Peers: Send + Sync + 'static {
    /// Makes a replica reachable for its peers, in place of an earlier one.
    fn attach(&self, group: GroupId, node: NodeId, replica: Attached) -> Attachment;
    /// A connection from one replica of a group to another. Does no I/O yet.
    fn connect(&self, group: GroupId, from: NodeId, to: NodeId) -> Box<dyn Peer>;
}

/// What peers reach of a replica.
#[derive(Clone)]
pub(crate) struct Attached {
    pub(crate) raft: Raft,
    pub(crate) guard: Guard,
    pub(crate) staging: Arc<dyn Staging>,
}

impl Attached {
    pub(crate) fn new(raft: Raft, guard: Guard, staging: Arc<dyn Staging>) -> Self {
        Self {
            raft,
            guard,
            staging,
        }
    }
}

/// A replica's place in a network, which it leaves when this is dropped.
pub(crate) type Attachment = Box<dyn Any + Send + Sync>;

/// Makes connections for one replica.
pub(crate) struct Connections {
    peers: Arc<dyn Peers>,
    group: GroupId,
    node: NodeId,
    matched: Matched,
}

impl RaftNetworkFactory<TypeConfig> for Connections {
    type Network = PeerClient;

    async fn new_client(&mut self, target: NodeId, _node: &()) -> PeerClient {
        PeerClient {
            target,
            peer: self.peers.connect(self.group, self.node, target),
            matched: self.matched.clone(),
        }
    }
}
