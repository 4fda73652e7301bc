//! The cluster as it is told: what was decided and what is observed, put together.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_cluster::catalog::{Catalog, Member, MemberState, Phase, Plan};
use longhaul_cluster::controller::Contact;
use longhaul_cluster::meta::MetaStatus;
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::NodeId;
use longhaul_types::PartitionId;

use crate::data_dir::hex;

/// Everything a view is made of.
pub(super) struct Seen<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) status: &'a MetaStatus,
    /// Who leads each partition, as far as the node that answers knows.
    pub(super) leaders: &'a BTreeMap<PartitionId, Option<NodeId>>,
    pub(super) answered_by: NodeId,
    /// Whether a majority has confirmed that it is so.
    pub(super) confirmed: bool,
}

impl Seen<'_> {
    pub(super) fn cluster(&self) -> wire::Cluster {
        let founding = &self.catalog.founding;
        let partitions: Vec<_> = self
            .plans()
            .map(|(id, plan)| self.partition(id, plan))
            .collect();
        let members = self.catalog.members.present();
        wire::Cluster {
            cluster_id: hex(&founding.cluster_id),
            partition_count: founding.partitions.get().into(),
            replicas: founding.replicas.into(),
            answered_by: self.answered_by.0,
            maybe_old: !self.confirmed,
            nodes: members
                .map(|(id, member)| self.node(id, member, &partitions))
                .collect(),
            partitions,
            meta_group: Some(wire::MetaGroup {
                leader: self.status.leader.map(|node| node.0),
                voters: self.status.voters.iter().map(|node| node.0).collect(),
            }),
        }
    }

    fn plans(&self) -> impl Iterator<Item = (PartitionId, &Plan)> {
        let partitions = self.catalog.founding.partitions.all();
        partitions.zip(&self.catalog.plans)
    }

    fn node(&self, id: NodeId, member: &Member, partitions: &[wire::Partition]) -> wire::Node {
        let described = &member.described;
        let held = self.plans().filter(|(_, plan)| plan.holds(id)).count();
        let led = partitions
            .iter()
            .filter(|it| it.leader == Some(id.0))
            .count();
        let contact = self.status.contacts.get(&id);
        wire::Node {
            id: id.0,
            name: described.name.to_string(),
            peers_address: described.addresses.peers.to_string(),
            clients_address: described.addresses.clients.to_string(),
            zone: described.zone.as_deref().unwrap_or_default().to_owned(),
            state: state(member.state).into(),
            contact: contact.map(|contact| contact_message(*contact)),
            replicas_held: count(held),
            partitions_led: count(led),
            replaced_by: member.replaced_by.map(|node| node.0),
        }
    }

    fn partition(&self, id: PartitionId, plan: &Plan) -> wire::Partition {
        let group = self.status.groups.get(&id);
        let learners = group.into_iter().flat_map(|group| &group.learners);
        wire::Partition {
            id: id.0.into(),
            leader: self.leader(id).map(|node| node.0),
            voters: plan.voters.iter().map(|node| node.0).collect(),
            wanted: plan.wanted.iter().map(|node| node.0).collect(),
            r#move: plan.moving.map(|(change, phase)| wire::Move {
                add: change.add.map(|node| node.0),
                remove: change.remove.map(|node| node.0),
                phase: phase_message(phase).into(),
            }),
            learners: learners
                .map(|(node, lag)| wire::Learner {
                    node: node.0,
                    lag: *lag,
                })
                .collect(),
        }
    }

    /// Of a node that is down nobody knows whether it still leads, but nobody hears of it either.
    fn leader(&self, partition: PartitionId) -> Option<NodeId> {
        let told = self.status.groups.get(&partition).map(|group| group.leader);
        let known = self.leaders.get(&partition).copied().flatten();
        let candidates = [told, known].into_iter().flatten();
        candidates.into_iter().find(|node| !self.is_down(*node))
    }

    fn is_down(&self, node: NodeId) -> bool {
        matches!(self.status.contacts.get(&node), Some(Contact::Down(_)))
    }
}

fn state(state: MemberState) -> wire::NodeState {
    match state {
        MemberState::Active => wire::NodeState::Active,
        MemberState::Draining => wire::NodeState::Draining,
        MemberState::Leaving => wire::NodeState::Leaving,
        MemberState::Gone => wire::NodeState::Gone,
    }
}

fn phase_message(phase: Phase) -> wire::MovePhase {
    match phase {
        Phase::CatchingUp => wire::MovePhase::CatchingUp,
        Phase::Switching => wire::MovePhase::Switching,
    }
}

fn contact_message(contact: Contact) -> wire::Contact {
    let (up, since) = match contact {
        Contact::Up(since) => (true, since),
        Contact::Down(since) => (false, since),
    };
    wire::Contact {
        up,
        milliseconds: milliseconds(since),
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
