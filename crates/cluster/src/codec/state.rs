//! The state of a replica of the meta group, and the file that holds it.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_proto::cluster::v1 as proto;
use longhaul_replication::{Applied, Position};
use longhaul_types::{HubId, NodeId};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    DecodeFault,
    command::{founding, founding_message, join, join_message, request_id, request_message},
    decode, hub_name, ids, move_message, move_of, needed, nodes,
    reply::{reply, reply_message},
};
use crate::catalog::{Catalog, Hub, Hubs, Member, MemberState, Members, Phase, Plan};
use crate::meta::State;

/// Of the state. A change that older releases cannot read gets a new number.
const FORMAT: u32 = 1;

pub(crate) fn encode_file(state: &Bytes) -> Vec<u8> {
    let file = proto::StateFile {
        format: FORMAT,
        state: state.clone(),
        checksum: xxh3_64(state),
    };
    file.encode_to_vec()
}

/// The encoded state in a file, undamaged.
pub(crate) fn decode_file(bytes: &[u8]) -> Result<Bytes, DecodeFault> {
    const WHAT: &str = "the copy of what the cluster has agreed on";
    let file: proto::StateFile = decode(WHAT, bytes)?;
    if file.format != FORMAT {
        let reason = format!("it has format {}, and not {FORMAT}", file.format);
        return Err(DecodeFault::new(WHAT, reason));
    }
    if xxh3_64(&file.state) != file.checksum {
        return Err(DecodeFault::new(WHAT, "it is damaged"));
    }
    Ok(file.state)
}

pub(crate) fn encode_state(state: &State) -> Bytes {
    let answered = state
        .answered
        .iter()
        .map(|(request, reply)| proto::Answered {
            request: Some(request_message(*request)),
            reply: Some(reply_message(reply)),
        });
    let message = proto::State {
        applied: state.applied.position.map(|position| proto::Position {
            term: position.term,
            index: position.index,
        }),
        encoded_membership: state.applied.membership.clone(),
        catalog: state.catalog.as_deref().map(catalog_message),
        answered: answered.collect(),
    };
    message.encode_to_vec().into()
}

pub(crate) fn decode_state(bytes: &[u8]) -> Result<State, DecodeFault> {
    let message: proto::State = decode("the state of the meta group", bytes)?;
    let answered = message.answered.into_iter().map(|answered| {
        let request = needed("the id of a request", answered.request)?;
        let reply = reply(needed("a reply", answered.reply)?)?;
        Ok((request_id(&request), reply))
    });
    Ok(State {
        applied: Applied {
            position: message.applied.map(|position| Position {
                term: position.term,
                index: position.index,
            }),
            membership: message.encoded_membership,
        },
        catalog: message.catalog.map(catalog).transpose()?.map(Arc::new),
        answered: answered.collect::<Result<_, _>>()?,
    })
}

fn catalog_message(catalog: &Catalog) -> proto::Catalog {
    let members = catalog.members.all.iter();
    let members = members.map(|(node, member)| proto::Member {
        node: node.0,
        described: Some(join_message(&member.described)),
        state: member_state_message(member.state).into(),
        replaced_by: member.replaced_by.map(|node| node.0),
    });
    proto::Catalog {
        founding: Some(founding_message(&catalog.founding)),
        members: members.collect(),
        hubs: Some(hubs_message(&catalog.hubs)),
        plans: catalog.plans.iter().map(plan_message).collect(),
    }
}

fn catalog(message: proto::Catalog) -> Result<Catalog, DecodeFault> {
    let founding = founding(&needed("what a cluster is founded with", message.founding)?)?;
    if message.plans.len() != usize::from(founding.partitions.get()) {
        let reason = format!("there are {} of them", message.plans.len());
        return Err(DecodeFault::new("the plans of partitions", reason));
    }
    let members = message.members.into_iter().map(member);
    Ok(Catalog {
        founding,
        members: Members {
            all: members.collect::<Result<_, _>>()?,
        },
        hubs: hubs(message.hubs.unwrap_or_default())?,
        plans: message.plans.into_iter().map(plan).collect(),
    })
}

fn member(message: proto::Member) -> Result<(NodeId, Member), DecodeFault> {
    let state = member_state(message.state())?;
    let member = Member {
        described: join(needed("the description of a node", message.described)?)?,
        state,
        replaced_by: message.replaced_by.map(NodeId),
    };
    Ok((NodeId(message.node), member))
}

fn hubs_message(hubs: &Hubs) -> proto::Hubs {
    let listed = hubs.list().map(|hub| proto::Hub {
        id: hub.id.0,
        name: hub.name.as_str().to_owned(),
    });
    proto::Hubs {
        last_id: hubs.last_id,
        listed: listed.collect(),
        doomed: hubs.doomed().map(|hub| hub.0).collect(),
    }
}

fn hubs(message: proto::Hubs) -> Result<Hubs, DecodeFault> {
    let listed = message.listed.into_iter().map(|hub| {
        let name = hub_name(&hub.name)?;
        let id = HubId(hub.id);
        Ok((name.folded(), Hub { id, name }))
    });
    Ok(Hubs {
        last_id: message.last_id,
        by_folded_name: listed.collect::<Result<_, _>>()?,
        doomed: message.doomed.into_iter().map(HubId).collect(),
    })
}

fn plan_message(plan: &Plan) -> proto::Plan {
    proto::Plan {
        voters: ids(&plan.voters),
        wanted: ids(&plan.wanted),
        moving: plan.moving.as_ref().map(|(change, _)| move_message(change)),
        switching: matches!(plan.moving, Some((_, Phase::Switching))),
        founders: ids(&plan.founders),
    }
}

fn plan(message: proto::Plan) -> Plan {
    let phase = match message.switching {
        true => Phase::Switching,
        false => Phase::CatchingUp,
    };
    Plan {
        voters: nodes(message.voters),
        founders: nodes(message.founders),
        wanted: nodes(message.wanted),
        moving: message.moving.map(|change| (move_of(&change), phase)),
    }
}

pub(super) fn member_state_message(state: MemberState) -> proto::MemberState {
    match state {
        MemberState::Active => proto::MemberState::Active,
        MemberState::Draining => proto::MemberState::Draining,
        MemberState::Leaving => proto::MemberState::Leaving,
        MemberState::Gone => proto::MemberState::Gone,
    }
}

pub(super) fn member_state(message: proto::MemberState) -> Result<MemberState, DecodeFault> {
    match message {
        proto::MemberState::Active => Ok(MemberState::Active),
        proto::MemberState::Draining => Ok(MemberState::Draining),
        proto::MemberState::Leaving => Ok(MemberState::Leaving),
        proto::MemberState::Gone => Ok(MemberState::Gone),
        proto::MemberState::Unspecified => {
            Err(DecodeFault::new("the state of a node", "it is not known"))
        }
    }
}
