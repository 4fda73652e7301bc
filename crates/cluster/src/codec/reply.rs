//! Answers to commands.

use longhaul_proto::cluster::v1::{self as proto, refusal, reply::Kind};
use longhaul_types::{HubId, NodeId};

use super::{
    DecodeFault, array, needed, partition,
    state::{member_state, member_state_message},
};
use crate::catalog::{Refusal, Reply};

pub(crate) fn reply_message(reply: &Reply) -> proto::Reply {
    let kind = match reply {
        Reply::Done => Kind::Done(proto::Nothing {}),
        Reply::Joined(node) => Kind::Joined(node.0),
        Reply::Hub(hub) => Kind::Hub(hub.0),
        Reply::Refused(refusal) => Kind::Refused(refusal_message(refusal)),
    };
    proto::Reply { kind: Some(kind) }
}

pub(crate) fn reply(message: proto::Reply) -> Result<Reply, DecodeFault> {
    Ok(match needed("a reply", message.kind)? {
        Kind::Done(_) => Reply::Done,
        Kind::Joined(node) => Reply::Joined(NodeId(node)),
        Kind::Hub(hub) => Reply::Hub(HubId(hub)),
        Kind::Refused(message) => Reply::Refused(refusal(message)?),
    })
}

fn refusal_message(refusal: &Refusal) -> proto::Refusal {
    let kind = match refusal {
        Refusal::Founded(cluster) => refusal::Kind::Founded(cluster.to_be_bytes().to_vec().into()),
        Refusal::Unfounded => refusal::Kind::Unfounded(proto::Nothing {}),
        Refusal::NoMember(node) => refusal::Kind::NoMember(node.0),
        Refusal::NameTaken { name, node } => refusal::Kind::NameTaken(refusal::NameTaken {
            name: name.to_string(),
            node: node.0,
        }),
        Refusal::State { node, from, to } => refusal::Kind::State(refusal::WrongState {
            node: node.0,
            from: member_state_message(*from).into(),
            to: member_state_message(*to).into(),
        }),
        Refusal::HoldsReplicas { node, left } => {
            refusal::Kind::HoldsReplicas(refusal::HoldsReplicas {
                node: node.0,
                left: u64::try_from(*left).unwrap_or(u64::MAX),
            })
        }
        Refusal::Outdated(partition) => refusal::Kind::Outdated(partition.0.into()),
        Refusal::HubsFull { name } => refusal::Kind::HubsFull(name.to_string()),
    };
    proto::Refusal { kind: Some(kind) }
}

fn refusal(message: proto::Refusal) -> Result<Refusal, DecodeFault> {
    Ok(match needed("a refusal", message.kind)? {
        refusal::Kind::Founded(cluster) => {
            let cluster = array("the id of a cluster", &cluster)?;
            Refusal::Founded(u128::from_be_bytes(cluster))
        }
        refusal::Kind::Unfounded(_) => Refusal::Unfounded,
        refusal::Kind::NoMember(node) => Refusal::NoMember(NodeId(node)),
        refusal::Kind::NameTaken(message) => Refusal::NameTaken {
            name: message.name.into(),
            node: NodeId(message.node),
        },
        refusal::Kind::State(message) => Refusal::State {
            node: NodeId(message.node),
            from: member_state(message.from())?,
            to: member_state(message.to())?,
        },
        refusal::Kind::HoldsReplicas(message) => Refusal::HoldsReplicas {
            node: NodeId(message.node),
            left: usize::try_from(message.left).unwrap_or(usize::MAX),
        },
        refusal::Kind::Outdated(number) => Refusal::Outdated(partition(number)?),
        refusal::Kind::HubsFull(name) => Refusal::HubsFull { name: name.into() },
    })
}
