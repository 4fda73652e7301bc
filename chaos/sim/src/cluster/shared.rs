//! What everybody in a cluster shares, as its catalog would tell them: who belongs to it, and where replicas are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longhaul_types::{NodeId, PartitionCount, PartitionId};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::network::Net;
use super::plan::ClusterPlan;
use crate::world::World;

/// Shared by all nodes. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    world: World,
    plan: ClusterPlan,
    net: Net,
    members: watch::Sender<BTreeSet<NodeId>>,
    placement: Mutex<BTreeMap<PartitionId, Replicas>>,
}

/// Where a partition is.
#[derive(Clone, Debug)]
pub(crate) struct Replicas {
    /// Its first voters, who are never others.
    pub(crate) founders: BTreeSet<NodeId>,
    /// Who has a replica, or is to have one.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// Who ever had one.
    pub(crate) ever: BTreeSet<NodeId>,
}

impl Shared {
    /// A cluster of these nodes, each partition on the next of them.
    pub(crate) fn new(world: World, plan: ClusterPlan, net: Net, nodes: &[NodeId]) -> Self {
        let count = PartitionCount::new(world.plan().partitions).expect("a power of two");
        let replicas = |id: PartitionId| {
            let ring = nodes.iter().cycle().skip(usize::from(id.0));
            let founders: BTreeSet<NodeId> = ring.take(plan.replicas).copied().collect();
            Replicas {
                nodes: founders.clone(),
                ever: founders.clone(),
                founders,
            }
        };
        let placement = count.all().map(|id| (id, replicas(id))).collect();
        Self(Arc::new(Inner {
            world,
            plan,
            net,
            members: watch::Sender::new(nodes.iter().copied().collect()),
            placement: Mutex::new(placement),
        }))
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn plan(&self) -> &ClusterPlan {
        &self.0.plan
    }

    pub(crate) fn net(&self) -> &Net {
        &self.0.net
    }

    pub(crate) fn members(&self) -> watch::Receiver<BTreeSet<NodeId>> {
        self.0.members.subscribe()
    }

    pub(crate) fn change_members(&self, change: impl FnOnce(&mut BTreeSet<NodeId>)) {
        self.0.members.send_modify(change);
    }

    /// Where a partition is.
    pub(crate) fn replicas(&self, id: PartitionId) -> Replicas {
        self.0.placement.lock()[&id].clone()
    }

    pub(crate) fn change_replicas(&self, id: PartitionId, change: impl FnOnce(&mut Replicas)) {
        let mut placement = self.0.placement.lock();
        change(placement.get_mut(&id).expect("a partition of this cluster"));
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> Vec<PartitionId> {
        self.0.placement.lock().keys().copied().collect()
    }

    /// The partitions of which a node has a replica, or is to have one.
    pub(crate) fn partitions_of(&self, node: NodeId) -> Vec<PartitionId> {
        let placement = self.0.placement.lock();
        let there = placement.iter().filter(|(_, it)| it.nodes.contains(&node));
        there.map(|(id, _)| *id).collect()
    }
}
