//! Entries of the meta group's log.

use bytes::Bytes;
use longhaul_proto::cluster::v1::{self as proto, command::Kind};
use longhaul_types::{HubId, NodeId};
use prost::Message;

use super::{
    DecodeFault, array, decode, hub_name, ids, move_message, move_of, needed, nodes, partition,
    partition_count, state::member_state, state::member_state_message,
};
use crate::catalog::{Addresses, Command, Founding, Join};
use crate::meta::RequestId;

pub(crate) fn encode_entry(request: RequestId, command: &Command) -> Bytes {
    entry_message(request, command).encode_to_vec().into()
}

pub(crate) fn decode_entry(bytes: &[u8]) -> Result<(RequestId, Command), DecodeFault> {
    entry(decode("an entry of the meta group", bytes)?)
}

pub(crate) fn entry_message(request: RequestId, command: &Command) -> proto::Entry {
    proto::Entry {
        request: Some(request_message(request)),
        command: Some(command_message(command)),
    }
}

pub(crate) fn entry(message: proto::Entry) -> Result<(RequestId, Command), DecodeFault> {
    let request = needed("the id of a request", message.request)?;
    let command = needed("a command", message.command)?;
    Ok((request_id(&request), self::command(command)?))
}

pub(super) fn request_message(request: RequestId) -> proto::RequestId {
    proto::RequestId {
        node: request.node.0,
        process: request.process,
        number: request.number,
    }
}

pub(super) fn request_id(message: &proto::RequestId) -> RequestId {
    RequestId {
        node: NodeId(message.node),
        process: message.process,
        number: message.number,
    }
}

fn command_message(command: &Command) -> proto::Command {
    let kind = match command {
        Command::Found { founding, nodes } => Kind::Found(found_message(founding, nodes)),
        Command::Join(join) => Kind::Join(join_message(join)),
        Command::Replace { join, node } => Kind::Replace(proto::Replace {
            join: Some(join_message(join)),
            node: node.0,
        }),
        Command::SetState { node, state } => Kind::SetState(proto::SetState {
            node: node.0,
            state: member_state_message(*state).into(),
        }),
        Command::Want { replicas } => {
            let replicas = replicas.iter().map(|it| proto::Nodes { ids: ids(it) });
            let replicas = replicas.collect();
            Kind::Want(proto::Want { replicas })
        }
        Command::Move { partition, change } => Kind::Move(proto::BeginMove {
            partition: partition.0.into(),
            change: Some(move_message(change)),
        }),
        Command::Switch { partition, add } => Kind::Switch(proto::Switch {
            partition: partition.0.into(),
            add: add.map(|node| node.0),
        }),
        Command::Settle { partition, voters } => Kind::Settle(proto::Settle {
            partition: partition.0.into(),
            voters: ids(voters),
        }),
        Command::CreateHub(name) => Kind::CreateHub(name.as_str().to_owned()),
        Command::RecreateHub(name) => Kind::RecreateHub(name.as_str().to_owned()),
        Command::DeleteHub(name) => Kind::DeleteHub(name.as_str().to_owned()),
        Command::ForgetHub(hub) => Kind::ForgetHub(hub.0),
    };
    proto::Command { kind: Some(kind) }
}

fn command(message: proto::Command) -> Result<Command, DecodeFault> {
    Ok(match needed("the kind of a command", message.kind)? {
        Kind::Found(message) => {
            let (founding, nodes) = found(message)?;
            Command::Found { founding, nodes }
        }
        Kind::Join(message) => Command::Join(join(message)?),
        Kind::Replace(message) => Command::Replace {
            join: join(needed("a node that joins", message.join)?)?,
            node: NodeId(message.node),
        },
        Kind::SetState(message) => Command::SetState {
            node: NodeId(message.node),
            state: member_state(message.state())?,
        },
        Kind::Want(message) => Command::Want {
            replicas: message
                .replicas
                .into_iter()
                .map(|it| nodes(it.ids))
                .collect(),
        },
        Kind::Move(message) => Command::Move {
            partition: partition(message.partition)?,
            change: move_of(&needed("a move", message.change)?),
        },
        Kind::Switch(message) => Command::Switch {
            partition: partition(message.partition)?,
            add: message.add.map(NodeId),
        },
        Kind::Settle(message) => Command::Settle {
            partition: partition(message.partition)?,
            voters: nodes(message.voters),
        },
        Kind::CreateHub(name) => Command::CreateHub(hub_name(&name)?),
        Kind::RecreateHub(name) => Command::RecreateHub(hub_name(&name)?),
        Kind::DeleteHub(name) => Command::DeleteHub(hub_name(&name)?),
        Kind::ForgetHub(hub) => Command::ForgetHub(HubId(hub)),
    })
}

pub(crate) fn found_message(founding: &Founding, nodes: &[Join]) -> proto::Found {
    proto::Found {
        founding: Some(founding_message(founding)),
        nodes: nodes.iter().map(join_message).collect(),
    }
}

pub(crate) fn found(message: proto::Found) -> Result<(Founding, Vec<Join>), DecodeFault> {
    let founding = founding(&needed("what a cluster is founded with", message.founding)?)?;
    let nodes: Result<_, _> = message.nodes.into_iter().map(join).collect();
    Ok((founding, nodes?))
}

pub(super) fn founding_message(founding: &Founding) -> proto::Founding {
    proto::Founding {
        cluster_id: founding.cluster_id.to_vec().into(),
        partitions: founding.partitions.get().into(),
        replicas: founding.replicas.into(),
        token_key: founding.token_key.to_vec().into(),
    }
}

pub(super) fn founding(message: &proto::Founding) -> Result<Founding, DecodeFault> {
    let replicas = u8::try_from(message.replicas);
    Ok(Founding {
        cluster_id: array("the id of a cluster", &message.cluster_id)?,
        partitions: partition_count(message.partitions)?,
        replicas: replicas.map_err(|error| DecodeFault::new("a number of replicas", error))?,
        token_key: array("the key of tokens", &message.token_key)?,
    })
}

pub(crate) fn join_message(join: &Join) -> proto::Join {
    proto::Join {
        directory: join.directory.to_vec().into(),
        name: join.name.to_string(),
        peers_address: join.addresses.peers.to_string(),
        clients_address: join.addresses.clients.to_string(),
        zone: join.zone.as_deref().map(str::to_owned),
    }
}

pub(crate) fn join(message: proto::Join) -> Result<Join, DecodeFault> {
    Ok(Join {
        directory: array("the id of a data directory", &message.directory)?,
        name: message.name.into(),
        addresses: Addresses {
            peers: message.peers_address.into(),
            clients: message.clients_address.into(),
        },
        zone: message.zone.map(Into::into),
    })
}
