//! What a node answers to others while its cluster is formed, and when they want to join later.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_peer::ClusterId;
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Admitted, Belonging, Description, FormationError, Invitation,
    decide::id_of,
    record::{Record, RecordFile},
};
use crate::catalog::{Command, Join, Reply};
use crate::meta::{Meta, Unavailable};

/// Whoever can make nodes members of the cluster.
pub trait Admission: Send + Sync + 'static {
    /// Makes a node a member, or learns where a member is now.
    fn admit(&self, join: Join) -> BoxFuture<'_, Result<Reply, Unavailable>>;

    /// Where the members are, as far as is known here; `None` until the cluster has been founded.
    fn whereabouts(&self) -> Option<BTreeMap<NodeId, Box<str>>>;
}

impl Admission for Meta {
    fn admit(&self, join: Join) -> BoxFuture<'_, Result<Reply, Unavailable>> {
        self.propose(Command::Join(join)).boxed()
    }

    fn whereabouts(&self) -> Option<BTreeMap<NodeId, Box<str>>> {
        let catalog = self.catalog().borrow().clone()?;
        let members = catalog.members.present();
        let members = members.map(|(node, it)| (node, it.described.addresses.peers.clone()));
        Some(members.collect())
    }
}

/// Why a node is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not now.
    #[error("{0}")]
    Later(String),
    /// Not as it is.
    #[error("{0}")]
    Refused(String),
}

/// A node towards others.
pub(super) struct Desk {
    me: Join,
    names: Vec<Box<str>>,
    file: RecordFile,
    belongs: watch::Sender<Option<Record>>,
    /// Held while it is decided where the node belongs.
    deciding: Mutex<()>,
    whereabouts: watch::Sender<BTreeMap<NodeId, Box<str>>>,
    admission: OnceLock<Arc<dyn Admission>>,
}

impl Desk {
    pub(super) fn new(
        me: Join,
        names: Vec<Box<str>>,
        file: RecordFile,
        belongs: Option<Record>,
    ) -> Self {
        let nodes = belongs.as_ref().map(|record| record.nodes.clone());
        Self {
            me,
            names,
            file,
            whereabouts: watch::Sender::new(nodes.unwrap_or_default()),
            belongs: watch::Sender::new(belongs),
            deciding: Mutex::default(),
            admission: OnceLock::new(),
        }
    }

    pub(super) fn me(&self) -> &Join {
        &self.me
    }

    pub(super) fn belongs(&self) -> watch::Receiver<Option<Record>> {
        self.belongs.subscribe()
    }

    pub(super) fn whereabouts(&self) -> watch::Receiver<BTreeMap<NodeId, Box<str>>> {
        self.whereabouts.subscribe()
    }

    pub(super) fn found_at(&self, node: NodeId, address: Box<str>) {
        self.whereabouts.send_if_modified(|nodes| {
            let before = nodes.insert(node, address.clone());
            before.as_ref() != Some(&address)
        });
    }

    pub(super) fn admit_by(&self, admission: Arc<dyn Admission>) {
        // The first one stays; it is the same node's anyway.
        drop(self.admission.set(admission));
    }

    /// Whether the cluster has come about, with or without some of its first nodes.
    pub(super) fn is_founded(&self) -> bool {
        let admission = self.admission.get();
        admission.is_some_and(|admission| admission.whereabouts().is_some())
    }

    /// Becomes what the record says, unless the node has become something already.
    pub(super) fn adopt(&self, record: Record) -> Result<Belonging, FormationError> {
        let _deciding = self.deciding.lock();
        if let Some(before) = &*self.belongs.borrow() {
            return Ok(before.belonging);
        }
        self.file.write(&record)?;
        let belonging = record.belonging;
        self.whereabouts
            .send_modify(|nodes| nodes.extend(record.nodes.clone()));
        self.belongs.send_replace(Some(record));
        Ok(belonging)
    }

    pub(super) fn describe(&self) -> Description {
        let belongs = self.belongs.borrow();
        Description {
            node: self.me.clone(),
            peers: self.names.clone(),
            belongs: belongs.as_ref().map(|record| record.belonging),
        }
    }

    /// Becomes what it is invited to be.
    pub(super) fn be_invited(&self, invitation: Invitation) -> Result<(), Denied> {
        let Invitation { first, node } = invitation;
        let meant = id_of(self.me.directory, &first.nodes);
        if meant != Some(node) {
            let reason = format!("the data directory here is not that of node {node}");
            return Err(Denied::Refused(reason));
        }
        let belonging = Belonging {
            cluster_id: first.founding.cluster_id,
            node,
        };
        let became = self.adopt(Record::first(belonging, first));
        match became.map_err(|error| Denied::Later(error.to_string()))? {
            became if became == belonging => Ok(()),
            became => Err(Denied::Refused(format!(
                "this is node {} of cluster {} already",
                became.node,
                ClusterId(became.cluster_id)
            ))),
        }
    }

    /// Makes another node a member.
    pub(super) async fn admit(&self, join: Join) -> Result<Admitted, Denied> {
        let record = self.belongs.borrow().clone();
        let Some(record) = record else {
            let reason = "this node belongs to no cluster yet";
            return Err(Denied::Later(reason.to_owned()));
        };
        let cluster_id = record.belonging.cluster_id;
        if let Some(first) = record.first
            && let Some(node) = id_of(join.directory, &first.nodes)
        {
            // What it is to be is known before anybody can agree on anything.
            let belonging = Belonging { cluster_id, node };
            let record = Record::first(belonging, first);
            return Ok(Admitted {
                belonging,
                first: record.first,
                nodes: record.nodes,
            });
        }
        let admission = self.admission.get();
        let later = |reason: &str| Denied::Later(reason.to_owned());
        let admission = admission.ok_or_else(|| later("this node is starting"))?;
        let reply = admission.admit(join).await;
        match reply.map_err(|error| Denied::Later(error.to_string()))? {
            Reply::Joined(node) => Ok(Admitted {
                belonging: Belonging { cluster_id, node },
                first: None,
                nodes: admission.whereabouts().unwrap_or_default(),
            }),
            Reply::Refused(refusal) => Err(Denied::Refused(refusal.to_string())),
            Reply::Done | Reply::Hub(_) => Err(later("the cluster gave a strange answer")),
        }
    }
}
