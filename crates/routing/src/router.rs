//! The way to every partition of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhaul_engine::InstanceKey;
use longhaul_partition::{LeaseId, Partitions, Randomness, Sessions, WorkKind};
use longhaul_peer::{Class, Contact, Exchange, ExchangeSetup, Links};
use longhaul_types::{HubId, NodeId, PartitionId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answers::{Judge, LateJudge};
use crate::claims::{Claims, Encoder};
use crate::desk::Desk;
use crate::errors::ProposeError;
use crate::home::Home;
use crate::table::{Replicas, Table};

/// What a [`Router`] is made of.
pub struct RouterSetup {
    /// This node.
    pub node: NodeId,
    /// Its replicas.
    pub partitions: Partitions,
    /// The other nodes; `None` if there are none, and every partition is here.
    pub cluster: Option<ClusterSetup>,
    /// For how long a call is held up while nobody takes it.
    pub hold: Duration,
    /// Where the ids of calls come from.
    pub randomness: Arc<dyn Randomness>,
}

/// What a [`Router`] must know of other nodes.
pub struct ClusterSetup {
    /// The way to them; the links of [`Class::Forward`] are the router's.
    pub links: Arc<dyn Links>,
    /// Who they are; this node may be among them.
    pub members: watch::Receiver<BTreeSet<NodeId>>,
    /// Where the replicas of each partition are.
    pub replicas: Replicas,
}

/// The way to every partition. Cheap to clone.
#[derive(Clone)]
pub struct Router(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) partitions: Partitions,
    pub(crate) hold: Duration,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) judge: LateJudge,
    pub(crate) cluster: Option<Cluster>,
}

/// The part of a router that a node of its own does not have.
pub(crate) struct Cluster {
    pub(crate) table: Arc<Table>,
    pub(crate) exchange: Exchange,
    claims: Claims,
    alone: Arc<AtomicBool>,
    /// Ends with the router.
    _keeping: JoinSet<()>,
}

impl Router {
    /// Answers other nodes from now on, if there are any. Must then be called within a tokio runtime.
    #[must_use]
    pub fn new(setup: RouterSetup) -> Self {
        let judge = LateJudge::default();
        let RouterSetup {
            node,
            partitions,
            cluster,
            hold,
            randomness,
        } = setup;
        let cluster =
            cluster.map(|cluster| Cluster::start(node, &partitions, judge.clone(), cluster));
        Self(Arc::new(Inner {
            partitions,
            hold,
            randomness,
            judge,
            cluster,
        }))
    }

    /// Who judges the answers of workers that other nodes forward to this one, and who encodes the work that those nodes
    /// claim. Until then both are held up.
    pub fn appoint(&self, judge: Arc<dyn Judge>, encoder: Arc<dyn Encoder>) {
        self.0.judge.appoint(judge);
        if let Some(cluster) = &self.0.cluster {
            cluster.claims.appoint(encoder);
        }
    }

    /// The partition that an instance lives in.
    #[must_use]
    pub fn home(&self, key: &InstanceKey) -> Home {
        let count = self.0.partitions.count();
        self.partition(count.partition_of(key.hub, &key.id))
    }

    /// Every partition, in order.
    #[must_use]
    pub fn all(&self) -> Vec<Home> {
        let count = self.0.partitions.count();
        count.all().map(|id| self.partition(id)).collect()
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Home {
        Home::new(self.clone(), id)
    }

    /// Where a completion token belongs, and to which delivery; `None` unless it was made for this hub and this kind of
    /// work.
    #[must_use]
    pub fn by_token(&self, hub: HubId, kind: WorkKind, token: &str) -> Option<(Home, LeaseId)> {
        let (id, lease) = self.0.partitions.open_token(hub, kind, token)?;
        Some((self.partition(id), lease))
    }

    /// The replicas of this node.
    #[must_use]
    pub fn partitions(&self) -> &Partitions {
        &self.0.partitions
    }

    /// The worker streams of this node.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        self.0.partitions.sessions()
    }

    /// The key of [`longhaul_partition::paging`].
    #[must_use]
    pub fn token_key(&self) -> &[u8; 32] {
        self.0.partitions.token_key()
    }

    /// Who leads each partition, as far as is known here.
    #[must_use]
    pub fn leaders(&self) -> BTreeMap<PartitionId, Option<NodeId>> {
        let Inner {
            partitions,
            cluster,
            ..
        } = &*self.0;
        let leader = |id| match cluster {
            Some(cluster) => cluster.table.leader(id),
            None => partitions
                .hosted(id)
                .and_then(|it| it.leadership().borrow().leader),
        };
        let all = partitions.count().all();
        all.map(|id| (id, leader(id))).collect()
    }

    /// Whether a call to a partition would be answered soon, as far as can be told without making one: its leader is
    /// known, and is this node for certain, or has a link with it.
    pub async fn reaches(&self, id: PartitionId) -> bool {
        let here = self.0.partitions.hosted(id);
        let led_here = here.filter(|it| it.leadership().borrow().is_leader);
        if let Some(partition) = led_here {
            return partition.confirm().await.is_ok();
        }
        let Some(cluster) = &self.0.cluster else {
            return false;
        };
        let Some(leader) = cluster.table.leader(id) else {
            return false;
        };
        let contacts = cluster.exchange.contacts();
        matches!(contacts.get(&leader), Some(Contact::Up(_)))
    }

    /// Deletes everything of a task hub, a little at a time, wherever it is. To be repeated for as long as messages to it
    /// may be on their way.
    ///
    /// # Errors
    /// [`ProposeError`]: some of it may be left.
    pub async fn remove_hub(&self, hub: HubId) -> Result<(), ProposeError> {
        for home in self.all() {
            home.remove_hub(hub).await?;
        }
        Ok(())
    }
}

impl Cluster {
    /// Whether there is no other node.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }

    fn start(node: NodeId, partitions: &Partitions, judge: LateJudge, setup: ClusterSetup) -> Self {
        let ClusterSetup {
            links,
            members,
            replicas,
        } = setup;
        let table = Arc::new(Table::new(node, partitions.clone(), replicas));
        let claims = Claims::start(partitions.sessions().clone());
        let desk = Desk::new(partitions.clone(), table.clone(), judge, claims.clone());
        let exchange = Exchange::start(ExchangeSetup {
            links,
            class: Class::Forward,
            answers: Arc::new(desk),
            events: claims.events(),
        });
        claims.serve(&exchange);
        let mut keeping = JoinSet::new();
        let others = others(node, &members.borrow());
        let alone = Arc::new(AtomicBool::new(others.is_empty()));
        exchange.keep(others);
        keeping.spawn(keep(node, exchange.clone(), members, alone.clone()));
        Self {
            table,
            exchange,
            claims,
            alone,
            _keeping: keeping,
        }
    }
}

/// Keeps a link with every other member.
async fn keep(
    node: NodeId,
    exchange: Exchange,
    mut members: watch::Receiver<BTreeSet<NodeId>>,
    alone: Arc<AtomicBool>,
) {
    loop {
        let others = others(node, &members.borrow_and_update());
        alone.store(others.is_empty(), Ordering::Relaxed);
        exchange.keep(others);
        if members.changed().await.is_err() {
            // Nobody will say otherwise: they stay as they are.
            return std::future::pending().await;
        }
    }
}

fn others(node: NodeId, members: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let others = members.iter().filter(|it| **it != node);
    others.copied().collect()
}
