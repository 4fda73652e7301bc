//! The catalog: what every node of the cluster must agree on, and the commands that change it.
//!
//! A command that says again what is true already changes nothing and is answered alike, so that whoever lost an answer
//! may ask again.

mod hubs;
mod members;
mod plan;
#[cfg(test)]
mod tests;

use longhaul_types::{HubId, HubName, NodeId, PartitionCount, PartitionId};

pub use hubs::{Hub, Hubs};
pub use members::{Addresses, Join, Member, MemberState, Members};
pub(crate) use plan::same;
pub use plan::{Move, Phase, Plan};

/// What was fixed when the cluster was formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// Into how many partitions instances are divided.
    pub partitions: PartitionCount,
    /// Replicas of each partition, as far as there are nodes.
    pub replicas: u8,
    /// Authenticates completion and page tokens.
    pub token_key: [u8; 32],
}

/// The state of the meta group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// What never changes.
    pub founding: Founding,
    /// The nodes.
    pub members: Members,
    /// The task hubs.
    pub hubs: Hubs,
    /// Where the replicas of each partition are and are to be, in order of partitions.
    pub plans: Vec<Plan>,
}

/// A change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The cluster begins: the first entry of the meta group's log.
    Found {
        /// What is fixed from then on.
        founding: Founding,
        /// The first nodes; their ids count from 1 in this order.
        nodes: Vec<Join>,
    },
    /// A node wants to be a member, or is one and says where it is now.
    Join(Join),
    /// A node joins under the name of another, which is not heard of and has to leave.
    Replace {
        /// The new one.
        join: Join,
        /// The one that has the name.
        node: NodeId,
    },
    /// A member is to be in another state.
    SetState {
        /// Which.
        node: NodeId,
        /// From now on.
        state: MemberState,
    },
    /// Partitions are wanted elsewhere.
    Want {
        /// Nodes of each partition, in order of partitions; the first should lead.
        replicas: Vec<Vec<NodeId>>,
    },
    /// A replica begins to move.
    Move {
        /// Of which partition.
        partition: PartitionId,
        /// From where to where.
        change: Move,
    },
    /// The new replica has caught up.
    Switch {
        /// Of which partition.
        partition: PartitionId,
        /// The new replica's node, if there is one.
        add: Option<NodeId>,
    },
    /// The group's voters are what they were to become.
    Settle {
        /// Of which partition.
        partition: PartitionId,
        /// As they are.
        voters: Vec<NodeId>,
    },
    /// A task hub is to exist.
    CreateHub(HubName),
    /// A task hub is to be empty; its name gets another id.
    RecreateHub(HubName),
    /// A task hub is to be gone.
    DeleteHub(HubName),
    /// Nothing is left of a deleted hub.
    ForgetHub(HubId),
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, or it was so already.
    Done,
    /// The node's id.
    Joined(NodeId),
    /// The hub's id.
    Hub(HubId),
    /// Nothing has changed.
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The group has another cluster's catalog already.
    #[error("this is cluster {0:032x} already")]
    Founded(u128),
    /// The cluster has not been founded yet.
    #[error("the cluster has not been founded yet")]
    Unfounded,
    /// There is no such member, or it is gone for good.
    #[error("node {0} is not a member of this cluster")]
    NoMember(NodeId),
    /// A live member has the name.
    #[error(
        "the name {name} belongs to node {node}, whose data directory is another one and which is still heard of; stop \
         it if it is to be replaced, decommission it, or choose another name"
    )]
    NameTaken {
        /// The name.
        name: Box<str>,
        /// Whose it is.
        node: NodeId,
    },
    /// The member's state does not allow it.
    #[error("node {node} is {from}, and cannot become {to}")]
    State {
        /// Which.
        node: NodeId,
        /// As it is.
        from: MemberState,
        /// As wanted.
        to: MemberState,
    },
    /// Replicas are still on the node.
    #[error("node {node} still holds replicas of {left} partitions")]
    HoldsReplicas {
        /// Which.
        node: NodeId,
        /// Of how many partitions.
        left: usize,
    },
    /// Not what follows from the plan of the partition.
    #[error("the plan of partition {0} is another one by now")]
    Outdated(PartitionId),
    /// There are as many hubs as there can be.
    #[error("there are {max} task hubs, counting deleted ones whose content is still being removed, so {name} cannot be created", max = longhaul_types::limits::HUBS_MAX)]
    HubsFull {
        /// The hub's name.
        name: Box<str>,
    },
}

impl Catalog {
    /// Of a cluster without members.
    #[must_use]
    pub fn new(founding: Founding) -> Self {
        let plans = founding.partitions.all().map(|_| Plan::default()).collect();
        Self {
            founding,
            members: Members::default(),
            hubs: Hubs::default(),
            plans,
        }
    }

    /// Of a cluster with its first members.
    #[must_use]
    pub fn found(founding: Founding, nodes: Vec<Join>) -> Self {
        let mut catalog = Self::new(founding);
        for node in nodes {
            // Names that come twice are one name.
            drop(catalog.members.join(node));
        }
        catalog
    }

    /// Applies one command: the same on every replica.
    pub fn apply(&mut self, command: Command) -> Reply {
        let outcome = match command {
            Command::Found { founding, .. } => {
                let ours = self.founding.cluster_id;
                match founding.cluster_id == ours {
                    true => Ok(Reply::Done),
                    false => Err(Refusal::Founded(u128::from_be_bytes(ours))),
                }
            }
            Command::Join(join) => self.members.join(join).map(Reply::Joined),
            Command::Replace { join, node } => self.members.replace(join, node).map(Reply::Joined),
            Command::SetState { node, state } => self.set_state(node, state),
            Command::Want { replicas } => {
                for (plan, wanted) in self.plans.iter_mut().zip(replicas) {
                    plan.want(wanted);
                }
                Ok(Reply::Done)
            }
            Command::Move { partition, change } => {
                self.change_plan(partition, |plan| plan.begin(change))
            }
            Command::Switch { partition, add } => {
                self.change_plan(partition, |plan| plan.switch(add))
            }
            Command::Settle { partition, voters } => {
                self.change_plan(partition, |plan| plan.settle(&voters))
            }
            Command::CreateHub(name) => self.hubs.create(name).map(Reply::Hub),
            Command::RecreateHub(name) => self.hubs.recreate(name).map(Reply::Hub),
            Command::DeleteHub(name) => {
                self.hubs.delete(&name);
                Ok(Reply::Done)
            }
            Command::ForgetHub(hub) => {
                self.hubs.forget(hub);
                Ok(Reply::Done)
            }
        };
        outcome.unwrap_or_else(Reply::Refused)
    }

    /// The partitions with a replica on `node`, present or to come.
    pub fn held_by(&self, node: NodeId) -> impl Iterator<Item = PartitionId> {
        let plans = self.founding.partitions.all().zip(&self.plans);
        plans
            .filter(move |(_, plan)| plan.holds(node))
            .map(|(it, _)| it)
    }

    fn set_state(&mut self, node: NodeId, state: MemberState) -> Result<Reply, Refusal> {
        if state == MemberState::Gone {
            let left = self.held_by(node).count();
            if left > 0 {
                return Err(Refusal::HoldsReplicas { node, left });
            }
        }
        self.members.set_state(node, state)?;
        Ok(Reply::Done)
    }

    fn change_plan(
        &mut self,
        partition: PartitionId,
        change: impl FnOnce(&mut Plan) -> bool,
    ) -> Result<Reply, Refusal> {
        let plan = self.plans.get_mut(usize::from(partition.0));
        match plan.is_some_and(change) {
            true => Ok(Reply::Done),
            false => Err(Refusal::Outdated(partition)),
        }
    }
}
