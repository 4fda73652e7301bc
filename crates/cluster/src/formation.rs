//! How nodes without an identity become a cluster, or join one, see `docs/cluster.md`.
//!
//! ```text
//!   settle ─► ask all peers what they are ─► decide.rs ─┬─► join, if any belongs to a cluster
//!                  (way.rs)                             ├─► found, if this is the first of them: record.rs, then invite
//!                                                       └─► wait, and say for whom
//!   service.rs: what others ask ─► desk.rs: describe, be invited, admit
//! ```
//!
//! What a node has become is written down before anybody is told, so that whoever restarts goes on where it was. A
//! cluster is founded by one node only, the first of those that all know of each other, and only if none of them belongs
//! to one; so there is never a second.

mod decide;
mod desk;
mod record;
mod service;
mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use longhaul_peer::ClusterId;
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tonic::service::Routes;

use self::{
    decide::{Seen, Verdict, decide},
    desk::Desk,
    record::Record,
};
pub use self::{
    desk::{Admission, Denied},
    way::{CallFailure, GrpcWay, Way},
};
use crate::catalog::{Founding, Join};
use crate::codec::DecodeFault;
use crate::file::FileError;
use crate::meta::{FirstNodes, Meta};

/// Between two rounds of questions.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a peer may take to say what it is.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(3);

/// How long it may take to admit a node, which has to be agreed on.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait before somebody is asked again who cannot be reached.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One of the first nodes of a cluster, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: Box<str>,
    /// Where it is, `host:port`.
    pub address: Box<str>,
}

/// A node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The node's id there.
    pub node: NodeId,
}

/// When a cluster may be founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// When all peers have answered, and none belongs to one.
    WithPeers,
    /// At once, without asking anybody: on purpose, by an operator.
    Alone,
}

/// What a node says when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Itself.
    pub node: Join,
    /// The names of the first nodes, as it is told.
    pub peers: Vec<Box<str>>,
    /// The cluster it belongs to.
    pub belongs: Option<Belonging>,
}

/// What the first node of a cluster tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The cluster.
    pub first: FirstNodes,
    /// Whom it is meant for.
    pub node: NodeId,
}

/// What a member of a cluster tells a node that has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The cluster, and the node's id.
    pub belonging: Belonging,
    /// If the node is one of the first.
    pub first: Option<FirstNodes>,
    /// Where the others are.
    pub nodes: BTreeMap<NodeId, Box<str>>,
}

/// What [`Formation`] is started with.
pub struct FormationSetup {
    /// This node as others are told of it.
    pub me: Join,
    /// The first nodes, this one perhaps among them. None, for a cluster that begins with this node.
    pub peers: Vec<Peer>,
    /// What the data directory says.
    pub known: Option<Belonging>,
    /// When a cluster may be founded.
    pub begin: Begin,
    /// With what, should this node found one.
    pub founding: Founding,
    /// Where it is written down what the node has become: a file of the data directory.
    pub record: PathBuf,
    /// Whether the file has to survive a power failure.
    pub sync: bool,
    /// The way to other nodes.
    pub way: Arc<dyn Way>,
}

/// What a node has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The node's id there.
    pub node_id: NodeId,
    /// How the cluster begins, if this node is one of the first.
    pub first: Option<FirstNodes>,
}

/// How far a node has got; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It asks its peers.
    Asking,
    /// It cannot go on, for these reasons.
    Waiting(Vec<String>),
    /// It belongs to a cluster.
    Settled(Belonging),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking => f.write_str("asking the other nodes what they are"),
            Self::Waiting(reasons) => write!(f, "waiting: {}", reasons.join("; ")),
            Self::Settled(Belonging { cluster_id, node }) => {
                write!(f, "node {node} of cluster {}", ClusterId(*cluster_id))
            }
        }
    }
}

/// Why a node becomes nothing until somebody changes something.
#[derive(Debug, thiserror::Error)]
pub enum FormationError {
    /// What was written down cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what was written.
    #[error(transparent)]
    Record(#[from] DecodeFault),
    /// The identity of the directory is another one than what was written down while it was formed.
    #[error(
        "the data directory belongs to cluster {}, but was made a node of cluster {}",
        ClusterId(*.known),
        ClusterId(*.recorded)
    )]
    OtherRecord {
        /// What the directory says.
        known: [u8; 16],
        /// What was written down.
        recorded: [u8; 16],
    },
    /// The nodes are not told of the same first nodes.
    #[error(
        "this node is told of the first nodes {ours}, and {peer} of {theirs}; all of them need the same list"
    )]
    ListsDiffer {
        /// The other node.
        peer: Box<str>,
        /// This node's list.
        ours: String,
        /// The other's.
        theirs: String,
    },
    /// The peers are not one cluster.
    #[error(
        "{peers:?} belong to different clusters, {} and {}",
        ClusterId(.clusters[0]),
        ClusterId(.clusters[1])
    )]
    TwoClusters {
        /// Two peers.
        peers: [Box<str>; 2],
        /// Their clusters.
        clusters: [[u8; 16]; 2],
    },
    /// Two nodes say they have the same data directory.
    #[error("{0} and {1} have the same data directory, or copies of one; empty one of them")]
    SameDirectory(Box<str>, Box<str>),
}

/// A node's part in forming its cluster, and in admitting others later. Clones are the same; with the last one it ends.
#[derive(Clone)]
pub struct Formation(Arc<Forming>);

struct Forming {
    desk: Arc<Desk>,
    peers: Vec<Peer>,
    begin: Begin,
    founding: Founding,
    way: Arc<dyn Way>,
    known: bool,
    standing: watch::Sender<Standing>,
    jobs: Mutex<JoinSet<()>>,
}

impl Formation {
    /// Reads what was written down. Asks nobody yet.
    ///
    /// # Errors
    /// [`FormationError::File`], [`FormationError::Record`] and [`FormationError::OtherRecord`].
    pub fn new(setup: FormationSetup) -> Result<Self, FormationError> {
        let file = record::RecordFile {
            path: setup.record,
            sync: setup.sync,
        };
        let mut belongs = file.read()?;
        if let Some(known) = setup.known {
            let recorded = belongs.take().unwrap_or_else(|| Record::of(known));
            if recorded.belonging != known {
                return Err(FormationError::OtherRecord {
                    known: known.cluster_id,
                    recorded: recorded.belonging.cluster_id,
                });
            }
            belongs = Some(recorded);
        }
        let names = setup.peers.iter().map(|peer| peer.name.clone()).collect();
        Ok(Self(Arc::new(Forming {
            known: belongs.is_some(),
            desk: Arc::new(Desk::new(setup.me, names, file, belongs)),
            peers: setup.peers,
            begin: setup.begin,
            founding: setup.founding,
            way: setup.way,
            standing: watch::Sender::new(Standing::Asking),
            jobs: Mutex::default(),
        })))
    }

    /// Becomes a node of a cluster, however long that takes; at once, if it is one already or the only one. What others
    /// ask must be answered meanwhile, and for as long as the node runs. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`FormationError`], if somebody has to change something first.
    pub async fn settle(&self) -> Result<Settled, FormationError> {
        let mut belongs = self.0.desk.belongs();
        let record = loop {
            if let Some(record) = belongs.borrow_and_update().clone() {
                break record;
            }
            let round = async {
                if !self.0.round().await? {
                    time::sleep(INTERVAL).await;
                }
                Ok::<_, FormationError>(())
            };
            tokio::select! {
                // By an invitation, perhaps.
                changed = belongs.changed() => changed.expect("the desk keeps it"),
                round = round => round?,
            }
        };
        self.0.stand(Standing::Settled(record.belonging));
        self.begin_jobs(&record);
        Ok(Settled {
            cluster_id: record.belonging.cluster_id,
            node_id: record.belonging.node,
            first: record.first,
        })
    }

    /// The calls of other nodes, for the port on which they find this one.
    #[must_use]
    pub fn routes(&self) -> Routes {
        service::routes(self.0.desk.clone())
    }

    /// How far the node has got, and every change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// Where other nodes of the cluster were found, and every change of it: for those who have no catalog yet, or an old
    /// one.
    #[must_use]
    pub fn whereabouts(&self) -> watch::Receiver<BTreeMap<NodeId, Box<str>>> {
        self.0.desk.whereabouts()
    }

    /// From now on nodes that want to join are admitted.
    pub fn admit_by(&self, meta: Meta) {
        self.0.desk.admit_by(Arc::new(meta));
    }

    /// The founder invites the others; whoever was here before looks where they are now.
    fn begin_jobs(&self, record: &Record) {
        let mut jobs = self.0.jobs.lock();
        if !jobs.is_empty() {
            return;
        }
        if let Some(first) = record
            .first
            .as_ref()
            .filter(|_| record.belonging.node.0 == 1)
        {
            for (node, join) in first.ids().zip(&first.nodes).skip(1) {
                let peer = self.0.peers.iter().find(|peer| peer.name == join.name);
                let address = peer.map_or(&join.addresses.peers, |peer| &peer.address);
                let invitation = Invitation {
                    first: first.clone(),
                    node,
                };
                let (way, desk) = (self.0.way.clone(), self.0.desk.clone());
                jobs.spawn(invite(way, desk, address.clone(), invitation));
            }
        }
        if self.0.known {
            for peer in self.0.others() {
                let (way, desk) = (self.0.way.clone(), self.0.desk.clone());
                jobs.spawn(look_for(way, desk, peer.clone(), record.belonging));
            }
        }
    }
}

impl Forming {
    /// The peers that are not this node.
    fn others(&self) -> impl Iterator<Item = &Peer> {
        let me = &self.desk.me().name;
        self.peers.iter().filter(move |peer| peer.name != *me)
    }

    /// One round of questions. Whether the node belongs to a cluster after it.
    async fn round(&self) -> Result<bool, FormationError> {
        let me = self.desk.me();
        if self.begin == Begin::Alone || self.others().next().is_none() {
            return self.found(vec![me.clone()]);
        }
        let asked = self.others().map(|peer| async {
            let asked = self.way.describe(&peer.address);
            let answer = match time::timeout(DESCRIBE_PATIENCE, asked).await {
                Ok(answer) => answer.map_err(|failure| failure.to_string()),
                Err(_) => Err("it has not answered in time".to_owned()),
            };
            Seen { peer, answer }
        });
        let seen = join_all(asked).await;
        let names: Vec<_> = self.peers.iter().map(|peer| peer.name.clone()).collect();
        match decide(me, &names, &seen)? {
            Verdict::Found(nodes) => self.found(nodes),
            Verdict::Join(members) => self.join(&members).await,
            Verdict::Wait(reasons) => {
                self.stand(Standing::Waiting(reasons));
                Ok(false)
            }
        }
    }

    fn found(&self, nodes: Vec<Join>) -> Result<bool, FormationError> {
        let belonging = Belonging {
            cluster_id: self.founding.cluster_id,
            node: NodeId(1),
        };
        let first = FirstNodes {
            founding: self.founding.clone(),
            nodes,
        };
        self.desk.adopt(Record::first(belonging, first))?;
        tracing::info!(cluster = %ClusterId(belonging.cluster_id), "a cluster is founded");
        Ok(true)
    }

    /// Asks members of a cluster, one after another, to be admitted.
    async fn join(&self, members: &[&Peer]) -> Result<bool, FormationError> {
        let mut reasons = Vec::new();
        for peer in members {
            let asked = self.way.join(&peer.address, self.desk.me().clone());
            let answer = time::timeout(JOIN_PATIENCE, asked).await;
            match answer {
                Ok(Ok(admitted)) => {
                    self.desk.adopt(Record::admitted(admitted))?;
                    return Ok(true);
                }
                Ok(Err(failure)) => {
                    reasons.push(format!("{} does not admit this node: {failure}", peer.name))
                }
                Err(_) => reasons.push(format!("{} has not answered in time", peer.name)),
            }
        }
        self.stand(Standing::Waiting(reasons));
        Ok(false)
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_if_modified(|current| {
            let modified = *current != standing;
            if modified {
                tracing::info!("{standing}");
                *current = standing;
            }
            modified
        });
    }
}

/// Invites a node until it has answered, or the cluster goes on without it: then it asks to join by itself.
async fn invite(way: Arc<dyn Way>, desk: Arc<Desk>, address: Box<str>, invitation: Invitation) {
    let mut pause = INTERVAL;
    while !desk.is_founded() {
        let node = invitation.node;
        let asked = way.invite(&address, invitation.clone());
        match time::timeout(DESCRIBE_PATIENCE, asked).await {
            Ok(Ok(())) => return,
            Ok(Err(CallFailure::Refused(reason))) => {
                return tracing::warn!(%node, reason, "a node does not want to be what it was");
            }
            Ok(Err(CallFailure::Unreachable(reason))) => {
                tracing::debug!(%node, reason, "a node was not invited");
            }
            Err(_) => tracing::debug!(%node, "a node has not answered an invitation in time"),
        }
        time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

/// Looks where a peer is, until it was found there.
async fn look_for(way: Arc<dyn Way>, desk: Arc<Desk>, peer: Peer, ours: Belonging) {
    let mut pause = INTERVAL;
    loop {
        let asked = time::timeout(DESCRIBE_PATIENCE, way.describe(&peer.address));
        if let Ok(Ok(found)) = asked.await
            && let Some(theirs) = found.belongs
            && theirs.cluster_id == ours.cluster_id
        {
            return desk.found_at(theirs.node, found.node.addresses.peers);
        }
        time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

/// A future of a call to another node.
type Call<T> = BoxFuture<'static, Result<T, CallFailure>>;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
impl Formation {
    /// What others ask, without a network.
    fn desk(&self) -> Arc<Desk> {
        self.0.desk.clone()
    }
}
