//! Votes, positions, memberships and entry payloads as bytes: our own messages, so that neither the
//! write-ahead log nor the network depends on how the consensus library lays out its types.
//!
//! What is kept in the log is here; what only travels is in [`wire`].
//!
//! The commands of an entry are copied once, into the entry's bytes; decoding shares them.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use longhaul_proto::raft::v1 as proto;
use prost::Message;

pub(crate) mod wire;

use crate::{
    divergence::{Check, Divergence},
    note::Note,
    types::{Content, EntryPayload, LogId, Membership, NodeId, StoredMembership, Vote},
};

/// Bytes that are not what they should be: written by a newer version, or damaged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeFault {
    /// Not a message at all.
    #[error("{what} does not decode")]
    Malformed {
        what: &'static str,
        source: prost::DecodeError,
    },
    /// A message without a field it must have.
    #[error("{what} has no {field}")]
    Missing {
        what: &'static str,
        field: &'static str,
    },
    /// A voter that is not among the nodes, or no voters.
    #[error("a membership contradicts itself: {0}")]
    Membership(String),
}

impl From<DecodeFault> for io::Error {
    fn from(fault: DecodeFault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    vote_message(vote).encode_to_vec().into()
}

pub(crate) fn decode_vote(bytes: Bytes) -> Result<Vote, DecodeFault> {
    Ok(vote(&decode("a vote", bytes)?))
}

pub(crate) fn encode_log_id(id: &LogId) -> Bytes {
    log_position(id).encode_to_vec().into()
}

pub(crate) fn decode_log_id(bytes: Bytes) -> Result<LogId, DecodeFault> {
    Ok(log_id(decode("a log position", bytes)?))
}

pub(crate) fn encode_payload(payload: &EntryPayload) -> Bytes {
    payload_message(payload).encode_to_vec().into()
}

pub(crate) fn decode_payload(bytes: Bytes) -> Result<EntryPayload, DecodeFault> {
    payload(decode("an entry", bytes)?)
}

pub(crate) fn encode_membership(stored: &StoredMembership) -> Bytes {
    stored_membership_message(stored).encode_to_vec().into()
}

pub(crate) fn decode_membership(bytes: Bytes) -> Result<StoredMembership, DecodeFault> {
    stored_membership(decode("a stored membership", bytes)?)
}

pub(crate) fn encode_note(note: &Note) -> Bytes {
    let diverged = note.diverged.map(|diverged| proto::Divergence {
        through: diverged.through,
        ours: diverged.ours,
        theirs: diverged.theirs,
    });
    let note = proto::ReplicaNote {
        had: note.had.as_ref().map(log_position),
        diverged,
    };
    note.encode_to_vec().into()
}

pub(crate) fn decode_note(bytes: Bytes) -> Result<Note, DecodeFault> {
    let note: proto::ReplicaNote = decode("a note", bytes)?;
    Ok(Note {
        had: note.had.map(log_id),
        diverged: note.diverged.map(|diverged| Divergence {
            through: diverged.through,
            ours: diverged.ours,
            theirs: diverged.theirs,
        }),
    })
}

fn decode<M: Message + Default>(what: &'static str, bytes: Bytes) -> Result<M, DecodeFault> {
    M::decode(bytes).map_err(|source| DecodeFault::Malformed { what, source })
}

fn vote_message(vote: &Vote) -> proto::Vote {
    let leader = vote.leader_id();
    proto::Vote {
        term: leader.term,
        node_id: leader.voted_for.0,
        committed: vote.is_committed(),
    }
}

fn vote(message: &proto::Vote) -> Vote {
    let node = NodeId(message.node_id);
    if message.committed {
        Vote::new_committed(message.term, node)
    } else {
        Vote::new(message.term, node)
    }
}

fn payload_message(payload: &EntryPayload) -> proto::EntryPayload {
    let payload = match payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(Content::Commands(commands)) => {
            Some(proto::entry_payload::Payload::Commands(commands.clone()))
        }
        EntryPayload::Normal(Content::Check(check)) => {
            Some(proto::entry_payload::Payload::Check(proto::StateCheck {
                through: check.through,
                scheme: check.scheme,
                digest: check.digest,
            }))
        }
        EntryPayload::Membership(membership) => Some(proto::entry_payload::Payload::Membership(
            membership_message(membership),
        )),
    };
    proto::EntryPayload { payload }
}

fn payload(message: proto::EntryPayload) -> Result<EntryPayload, DecodeFault> {
    Ok(match message.payload {
        None => EntryPayload::Blank,
        Some(proto::entry_payload::Payload::Commands(commands)) => {
            EntryPayload::Normal(Content::Commands(commands))
        }
        Some(proto::entry_payload::Payload::Check(check)) => {
            EntryPayload::Normal(Content::Check(Check {
                through: check.through,
                scheme: check.scheme,
                digest: check.digest,
            }))
        }
        Some(proto::entry_payload::Payload::Membership(message)) => {
            EntryPayload::Membership(membership(message)?)
        }
    })
}

fn stored_membership_message(stored: &StoredMembership) -> proto::StoredMembership {
    proto::StoredMembership {
        position: stored.log_id().as_ref().map(log_position),
        membership: Some(membership_message(stored.membership())),
    }
}

fn stored_membership(message: proto::StoredMembership) -> Result<StoredMembership, DecodeFault> {
    let members = message.membership.ok_or(DecodeFault::Missing {
        what: "a stored membership",
        field: "membership",
    })?;
    Ok(StoredMembership::new(
        message.position.map(log_id),
        membership(members)?,
    ))
}

fn log_position(id: &LogId) -> proto::LogPosition {
    proto::LogPosition {
        term: id.committed_leader_id().term,
        index: id.index(),
    }
}

fn log_id(position: proto::LogPosition) -> LogId {
    LogId::new_term_index(position.term, position.index)
}

fn membership_message(membership: &Membership) -> proto::Membership {
    let voter_sets = membership.get_joint_config().iter();
    proto::Membership {
        voter_sets: voter_sets
            .map(|voters| proto::VoterSet {
                node_ids: voters.iter().map(|node| node.0).collect(),
            })
            .collect(),
        node_ids: membership.nodes().map(|(node, ())| node.0).collect(),
    }
}

fn membership(message: proto::Membership) -> Result<Membership, DecodeFault> {
    let voter_sets = message.voter_sets.into_iter();
    let voter_sets = voter_sets
        .map(|voters| voters.node_ids.into_iter().map(NodeId).collect())
        .collect();
    let nodes: BTreeMap<NodeId, ()> = message
        .node_ids
        .into_iter()
        .map(|id| (NodeId(id), ()))
        .collect();
    Membership::new(voter_sets, nodes).map_err(|error| DecodeFault::Membership(error.to_string()))
}

#[cfg(test)]
mod tests;
