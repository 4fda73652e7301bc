//! Commands, replies and the state of the meta group as bytes, see `proto/longhaul/cluster/v1/catalog.proto`.
//!
//! ```text
//! command.rs   what is in the log
//! reply.rs     answers, which are part of the state too
//! state.rs     the catalog, its file, and the place in the log
//! control.rs   what only travels
//! ```

mod command;
mod control;
mod reply;
mod state;
#[cfg(test)]
mod tests;

use longhaul_proto::cluster::v1 as proto;
use longhaul_types::{HubName, NodeId, PartitionCount, PartitionId};
use prost::Message;

pub(crate) use command::{
    decode_entry, encode_entry, entry, entry_message, found, found_message, join, join_message,
};
pub(crate) use control::{contacts, contacts_message, groups, groups_message};
pub(crate) use reply::{reply, reply_message};
pub(crate) use state::{decode_file, decode_state, encode_file, encode_state};

/// Bytes that are not what they should be: written by a newer release, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be read: {reason}")]
pub struct DecodeFault {
    what: &'static str,
    reason: String,
}

impl DecodeFault {
    pub(crate) fn new(what: &'static str, reason: impl ToString) -> Self {
        Self {
            what,
            reason: reason.to_string(),
        }
    }
}

pub(crate) fn decode<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
) -> Result<M, DecodeFault> {
    M::decode(bytes).map_err(|error| DecodeFault::new(what, error))
}

/// A field that must be there.
pub(crate) fn needed<T>(what: &'static str, field: Option<T>) -> Result<T, DecodeFault> {
    field.ok_or_else(|| DecodeFault::new(what, "it is missing"))
}

pub(crate) fn array<const N: usize>(
    what: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], DecodeFault> {
    let wrong = |_| DecodeFault::new(what, format!("{} bytes instead of {N}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

pub(crate) fn nodes(ids: Vec<u64>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

pub(crate) fn ids<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<u64> {
    nodes.into_iter().map(|node| node.0).collect()
}

pub(crate) fn partition(number: u32) -> Result<PartitionId, DecodeFault> {
    let wrong = |error| DecodeFault::new("a partition", error);
    u16::try_from(number).map(PartitionId).map_err(wrong)
}

fn partition_count(count: u32) -> Result<PartitionCount, DecodeFault> {
    let count = u16::try_from(count).ok().and_then(PartitionCount::new);
    needed("a number of partitions", count)
}

fn hub_name(name: &str) -> Result<HubName, DecodeFault> {
    HubName::parse(name).map_err(|error| DecodeFault::new("the name of a task hub", error))
}

fn move_message(change: &crate::catalog::Move) -> proto::Move {
    proto::Move {
        add: change.add.map(|node| node.0),
        remove: change.remove.map(|node| node.0),
    }
}

fn move_of(message: &proto::Move) -> crate::catalog::Move {
    crate::catalog::Move {
        add: message.add.map(NodeId),
        remove: message.remove.map(NodeId),
    }
}
