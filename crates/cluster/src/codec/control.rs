//! What nodes tell each other about groups and contacts.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_proto::cluster::v1 as proto;
use longhaul_types::{NodeId, PartitionId};

use super::{DecodeFault, ids, nodes, partition};
use crate::controller::{Contact, Group};

pub(crate) fn groups_message<'a>(
    groups: impl IntoIterator<Item = (&'a PartitionId, &'a Group)>,
) -> proto::Groups {
    let groups = groups.into_iter();
    let groups = groups.map(|(partition, group)| proto::Group {
        partition: partition.0.into(),
        leader: group.leader.0,
        voters: ids(&group.voters),
        changing: group.changing,
        learners: group.learners.iter().map(learner_message).collect(),
    });
    proto::Groups {
        groups: groups.collect(),
    }
}

fn learner_message((node, lag): (&NodeId, &Option<u64>)) -> proto::Learner {
    proto::Learner {
        node: node.0,
        lag: *lag,
    }
}

pub(crate) fn groups(message: proto::Groups) -> Result<Vec<(PartitionId, Group)>, DecodeFault> {
    let groups = message.groups.into_iter().map(|group| {
        let learners = group.learners.into_iter();
        let seen = Group {
            leader: NodeId(group.leader),
            voters: nodes(group.voters),
            changing: group.changing,
            learners: learners.map(|it| (NodeId(it.node), it.lag)).collect(),
        };
        Ok((partition(group.partition)?, seen))
    });
    groups.collect()
}

pub(crate) fn contacts_message(contacts: &BTreeMap<NodeId, Contact>) -> Vec<proto::Contact> {
    let contacts = contacts.iter().map(|(node, contact)| {
        let (up, since) = match contact {
            Contact::Up(since) => (true, since),
            Contact::Down(since) => (false, since),
        };
        proto::Contact {
            node: node.0,
            up,
            milliseconds: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    });
    contacts.collect()
}

pub(crate) fn contacts(messages: Vec<proto::Contact>) -> BTreeMap<NodeId, Contact> {
    let contacts = messages.into_iter().map(|contact| {
        let since = Duration::from_millis(contact.milliseconds);
        let seen = match contact.up {
            true => Contact::Up(since),
            false => Contact::Down(since),
        };
        (NodeId(contact.node), seen)
    });
    contacts.collect()
}
