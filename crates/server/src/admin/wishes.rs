//! What an operator may want of a node or a partition, and why not.
//!
//! | wanted | refused |
//! |---|---|
//! | active | while it is leaving |
//! | draining | if nobody is left who could lead |
//! | leaving | if those that stay are too few for all replicas; what is decided anyway is not refused |
//! | gone | while it holds replicas, or has not left |
//! | another leader | if that node holds no voting replica, is down, or is not to lead |

use longhaul_cluster::catalog::{Catalog, Member, MemberState};
use longhaul_cluster::controller::Contact;
use longhaul_cluster::meta::MetaStatus;
use longhaul_replication::NodeId;
use longhaul_types::PartitionId;

/// Why a wish is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no such thing.
    Unknown(String),
    /// Something else has to be done first.
    NotNow(String),
}

/// How a node is called in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    Id(u64),
    Name(String),
}

/// The cluster that wishes are about.
pub(super) struct Cluster<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) status: &'a MetaStatus,
}

impl Cluster<'_> {
    /// The member that is meant.
    pub(super) fn find(&self, called: &Called) -> Result<(NodeId, &Member), Refused> {
        let members = &self.catalog.members;
        let found = match called {
            Called::Id(id) => Some(NodeId(*id)),
            Called::Name(name) => members.named(name),
        };
        let found = found.and_then(|node| Some((node, members.get(node)?)));
        found.ok_or_else(|| {
            Refused::Unknown(match called {
                Called::Id(id) => {
                    format!("no member of the cluster has id {id}; ids of nodes that are gone are never given again")
                }
                Called::Name(name) => format!("no member of the cluster is named {name}"),
            })
        })
    }

    /// Whether a node may be wanted in a state.
    pub(super) fn may_become(
        &self,
        (node, member): (NodeId, &Member),
        wanted: MemberState,
        only_if_down: bool,
    ) -> Result<(), Refused> {
        if member.state == wanted {
            return Ok(());
        }
        let name = &member.described.name;
        if only_if_down && !self.is_down(node) {
            return Err(Refused::NotNow(format!(
                "{name} is up, or not known to be down; stop it first if it is to be replaced, or decommission it"
            )));
        }
        match (member.state, wanted) {
            (
                MemberState::Leaving | MemberState::Gone,
                MemberState::Active | MemberState::Draining,
            ) => Err(Refused::NotNow(format!(
                "{name} is leaving, which is final; once it is gone, it can join again with an empty data directory"
            ))),
            (_, MemberState::Draining) => self.may_drain(node, name),
            (_, MemberState::Leaving) => self.may_leave(node, name),
            (_, MemberState::Gone) => self.may_go(node, member),
            (_, MemberState::Active) => Ok(()),
        }
    }

    fn may_drain(&self, node: NodeId, name: &str) -> Result<(), Refused> {
        let mut others = self.catalog.members.present();
        let leads = others.any(|(other, member)| {
            other != node && member.state == MemberState::Active && !self.is_down(other)
        });
        match leads {
            true => Ok(()),
            false => Err(Refused::NotNow(format!(
                "no other node is active and up to lead in place of {name}; resume one, or start one, first"
            ))),
        }
    }

    /// Replicas move only to where there is place for all of them.
    fn may_leave(&self, node: NodeId, name: &str) -> Result<(), Refused> {
        let plans = &self.catalog.plans;
        let holds = plans
            .iter()
            .any(|plan| plan.holds(node) || plan.wanted.contains(&node));
        let needed = plans
            .iter()
            .map(|plan| plan.wanted.len())
            .max()
            .unwrap_or_default();
        let others = self.catalog.members.present().filter(|(other, member)| {
            *other != node && member.state.may_hold() && !self.is_down(*other)
        });
        let others = others.count();
        if !holds || others >= needed {
            return Ok(());
        }
        let missing = needed - others;
        let nodes = if missing == 1 { "node" } else { "nodes" };
        Err(Refused::NotNow(format!(
            "each partition has {needed} replicas, and without {name} only {others} nodes that are up could hold them: \
             {missing} {nodes} must join, or come back, first"
        )))
    }

    fn may_go(&self, node: NodeId, member: &Member) -> Result<(), Refused> {
        let name = &member.described.name;
        match self.catalog.held_by(node).count() {
            0 if member.state == MemberState::Leaving => Ok(()),
            0 => Err(Refused::NotNow(format!(
                "{name} is {}; decommission it, and it is gone as soon as it holds nothing",
                member.state
            ))),
            held => Err(Refused::NotNow(format!(
                "{name} still holds replicas of {held} partitions; decommission it, and it is gone as soon as it holds \
                 nothing"
            ))),
        }
    }

    /// Whether a node may be asked to lead a partition.
    pub(super) fn may_lead(
        &self,
        partition: u32,
        (node, member): (NodeId, &Member),
    ) -> Result<PartitionId, Refused> {
        let name = &member.described.name;
        let count = self.catalog.founding.partitions;
        let id = count.all().find(|it| u32::from(it.0) == partition);
        let id = id.ok_or_else(|| {
            Refused::Unknown(format!(
                "there is no partition {partition}, only 0 to {}",
                count.get() - 1
            ))
        })?;
        let plan = &self.catalog.plans[usize::from(id.0)];
        if !plan.voters.contains(&node) {
            return Err(Refused::NotNow(format!(
                "{name} has no voting replica of partition {partition}, so it cannot lead it"
            )));
        }
        if member.state != MemberState::Active {
            return Err(Refused::NotNow(format!(
                "{name} is {}, and is to lead nothing",
                member.state
            )));
        }
        if self.is_down(node) {
            return Err(Refused::NotNow(format!("{name} is down")));
        }
        Ok(id)
    }

    fn is_down(&self, node: NodeId) -> bool {
        matches!(self.status.contacts.get(&node), Some(Contact::Down(_)))
    }
}
