//! The meta group: what the cluster agrees on, with a copy on every node.
//!
//! ```text
//!        propose, read                                   asks every node who leads what,
//!  node ───────────────► asking.rs ─► leader ◄─ runner.rs  and has leaders change their groups
//!          │ control.rs: the same from other nodes │
//!          ▼                                       ▼
//!   copy: watch of the catalog ◄─ machine.rs ◄─ group 0 (replication)     seats.rs: who belongs to it
//! ```
//!
//! A few of the nodes vote, all others learn, so that each has the catalog at hand. What is old by a moment is good
//! enough for most; whoever needs to know asks the leader ([`Meta::read`]).

mod asking;
mod control;
mod machine;
mod runner;
mod seats;
mod state;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use longhaul_peer::{Class, Exchange, ExchangeSetup, Links};
use longhaul_replication::{
    Group, GroupConfig, GroupId, GroupLog, GroupSetup, Leadership, MachineFault, Network, OnFault,
};
use longhaul_types::{NodeId, PartitionId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use self::state::{RequestId, State};
use self::{
    control::{Control, Silent},
    machine::{CatalogMachine, Copy, StateFile},
};
use crate::catalog::{Catalog, Command, Founding, Join, Reply};
use crate::controller::{self, Contact};

/// The meta group among the groups of a node.
pub const GROUP: GroupId = GroupId(0);

/// Proposals that are on their way at the same time; more wait.
const PROPOSALS_MAX: usize = 64;

/// This node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Its id.
    pub node: NodeId,
    /// What others are told of it.
    pub described: Join,
}

/// How a cluster begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstNodes {
    /// What is fixed from then on.
    pub founding: Founding,
    /// The first nodes; their ids count from 1 in this order.
    pub nodes: Vec<Join>,
}

impl FirstNodes {
    /// The ids of the first nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes.len() as u64).map(NodeId)
    }

    /// Who votes in the meta group at first.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.ids()
            .take(seats::voters_of(self.nodes.len()))
            .collect()
    }
}

/// What the controller has nodes do.
pub trait Hosting: Send + Sync + 'static {
    /// The groups of partitions that this node leads.
    fn led(&self) -> Vec<(PartitionId, controller::Group)>;

    /// Adds a replica that learns to a group that this node leads.
    fn add_learner(
        &self,
        partition: PartitionId,
        node: NodeId,
    ) -> BoxFuture<'static, Result<(), String>>;

    /// Changes who votes in a group that this node leads.
    fn change_voters(
        &self,
        partition: PartitionId,
        voters: Vec<NodeId>,
    ) -> BoxFuture<'static, Result<(), String>>;

    /// Hands the leadership of a group that this node leads over.
    fn transfer_leader(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> BoxFuture<'static, Result<(), String>>;
}

/// What a [`Meta`] is started with.
pub struct MetaSetup {
    /// This node.
    pub me: Me,
    /// Set on each of the first nodes, until the catalog has been seen: how the cluster begins.
    pub first: Option<FirstNodes>,
    /// The file of this node's copy.
    pub state_file: PathBuf,
    /// Whether the file has to survive a power failure.
    pub sync: bool,
    /// The log of [`GROUP`].
    pub log: GroupLog,
    /// The way to the group's other replicas.
    pub network: Network,
    /// The way to other nodes for everything else; class `Control` is used by nobody else.
    pub links: Arc<dyn Links>,
    /// Timing of the group.
    pub group_config: GroupConfig,
    /// What the controller is told.
    pub controller: controller::Config,
    /// What it has this node do.
    pub hosting: Arc<dyn Hosting>,
    /// Drawn anew at each start: it tells this process's requests from those of the one before.
    pub seed: u64,
    /// Told if the replica ends by itself.
    pub on_fault: OnFault,
}

/// A node's part of the meta group cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file of its copy cannot be read.
    #[error(transparent)]
    State(#[from] MachineFault),
    /// Its replica.
    #[error(transparent)]
    Group(#[from] longhaul_replication::StartError),
    /// It stopped at once.
    #[error(transparent)]
    Stopped(#[from] longhaul_replication::Stopped),
}

/// The leader of the meta group did not answer in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Nothing was changed.
    #[error("the cluster cannot decide anything now: {0}")]
    NotApplied(String),
    /// Perhaps it was done, or will be.
    #[error("the cluster has not answered, and may have done it: {0}")]
    Unknown(String),
}

/// A partition whose leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Whoever knows who leads cannot be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It was tried.
    #[error("the leadership of partition {partition} was not handed over: {reason}")]
    Failed {
        /// Which.
        partition: PartitionId,
        /// Why.
        reason: String,
    },
}

/// The meta group as a node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaStatus {
    /// Who leads it.
    pub leader: Option<NodeId>,
    /// Since which term.
    pub term: u64,
    /// Who votes in it.
    pub voters: BTreeSet<NodeId>,
    /// Whom this node hears of.
    pub contacts: BTreeMap<NodeId, Contact>,
    /// The groups of partitions, as the controller saw them last; empty where it does not run.
    pub groups: BTreeMap<PartitionId, controller::Group>,
}

/// A node's part of the meta group. Clones are the same; it ends with [`Meta::stop`], or without a word with the last
/// clone.
#[derive(Clone)]
pub struct Meta(Arc<Running>);

struct Running {
    inner: Arc<Inner>,
    jobs: Mutex<JoinSet<()>>,
}

/// What the jobs of a node's part share.
struct Inner {
    me: Me,
    first: Option<FirstNodes>,
    group: Group,
    copy: Copy,
    exchange: Exchange,
    controller: controller::Config,
    hosting: Arc<dyn Hosting>,
    process: u64,
    requests: AtomicU64,
    proposals: Semaphore,
    /// As the controller saw them last.
    groups: Mutex<BTreeMap<PartitionId, controller::Group>>,
    started: Instant,
}

impl Meta {
    /// Takes part in the meta group from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(setup: MetaSetup) -> Result<Self, StartError> {
        let machine = CatalogMachine::open(StateFile {
            path: setup.state_file,
            sync: setup.sync,
        })?;
        let copy = machine.copy();
        let group = Group::start(GroupSetup {
            id: GROUP,
            node: setup.me.node,
            config: setup.group_config,
            log: setup.log,
            machine: Box::new(machine),
            network: setup.network,
            seed: setup.seed,
            on_fault: setup.on_fault,
        })
        .await?;
        let first = setup.first;
        let voters = first.as_ref().map(FirstNodes::voters);
        if let Some(voters) = voters.filter(|voters| voters.contains(&setup.me.node)) {
            // All of them are asked, and all alike: it does not matter who is first, or lost.
            group.initialize(voters).await?;
        }
        let inner = Arc::new_cyclic(|inner| Inner {
            me: setup.me,
            first,
            group,
            copy,
            exchange: Exchange::start(ExchangeSetup {
                links: setup.links,
                class: Class::Control,
                answers: Arc::new(Control(inner.clone())),
                events: Arc::new(Silent),
            }),
            controller: setup.controller,
            hosting: setup.hosting,
            process: setup.seed,
            requests: AtomicU64::new(0),
            proposals: Semaphore::new(PROPOSALS_MAX),
            groups: Mutex::default(),
            started: Instant::now(),
        });
        let mut jobs = JoinSet::new();
        jobs.spawn(upkeep::keep_links(inner.clone()));
        jobs.spawn(upkeep::keep_checkpoints(inner.clone()));
        jobs.spawn(upkeep::introduce(inner.clone()));
        jobs.spawn(runner::run(inner.clone()));
        Ok(Self(Arc::new(Running {
            inner,
            jobs: Mutex::new(jobs),
        })))
    }

    /// This node's copy of the catalog, and every change of it; `None` until the first one has arrived.
    #[must_use]
    pub fn catalog(&self) -> watch::Receiver<Option<Arc<Catalog>>> {
        self.0.inner.copy.catalog()
    }

    /// Changes the catalog, from any node: asks the leader, again and again for up to 5 s. However often it is asked,
    /// the command is applied once. This node's copy has the change when this returns, if the copy can be reached
    /// within the same time.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn propose(&self, command: Command) -> Result<Reply, Unavailable> {
        self.0.inner.propose(command).await
    }

    /// The catalog with everything in it that was acknowledged, to anybody, before this was called. Tries for 5 s.
    ///
    /// # Errors
    /// [`Unavailable::NotApplied`].
    pub async fn read(&self) -> Result<Arc<Catalog>, Unavailable> {
        self.0.inner.read().await
    }

    /// What this node knows without asking.
    #[must_use]
    pub fn status(&self) -> MetaStatus {
        self.0.inner.status()
    }

    /// What the leader knows, from any node.
    ///
    /// # Errors
    /// [`Unavailable::NotApplied`].
    pub async fn leader_status(&self) -> Result<MetaStatus, Unavailable> {
        self.0.inner.leader_status().await
    }

    /// Hands the leadership of a partition over, from any node.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn transfer(&self, partition: PartitionId, to: NodeId) -> Result<(), TransferError> {
        self.0.inner.transfer(partition, to).await
    }

    /// Who leads the meta group, and every change of it. Closed when this node's part has stopped.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.inner.group.leadership()
    }

    /// Hands leadership over if there is somebody to take it, writes the file, and stops.
    pub async fn stop(&self) {
        let mut jobs = std::mem::take(&mut *self.0.jobs.lock());
        jobs.shutdown().await;
        self.0.inner.stop().await;
    }
}

impl Inner {
    fn next_request(&self) -> RequestId {
        RequestId {
            node: self.me.node,
            process: self.process,
            number: self.requests.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn current(&self) -> Option<Arc<Catalog>> {
        self.copy.catalog().borrow().clone()
    }

    /// Of everybody this node keeps a link with, and itself.
    fn contacts(&self) -> BTreeMap<NodeId, Contact> {
        let others = self.exchange.contacts().into_iter();
        let others = others.map(|(node, contact)| match contact {
            longhaul_peer::Contact::Up(since) => (node, Contact::Up(since)),
            longhaul_peer::Contact::Down(since) => (node, Contact::Down(since)),
        });
        let me = (self.me.node, Contact::Up(self.started.elapsed()));
        others.chain([me]).collect()
    }

    fn status(&self) -> MetaStatus {
        let leadership = *self.group.leadership().borrow();
        MetaStatus {
            leader: leadership.leader,
            term: leadership.term,
            voters: self.group.membership().voters,
            contacts: self.contacts(),
            groups: self.groups.lock().clone(),
        }
    }
}
