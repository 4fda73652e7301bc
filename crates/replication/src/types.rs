//! The one set of type parameters of the consensus library, and names for what it makes of them.

use std::fmt;

use bytes::Bytes;
pub use longhaul_types::NodeId;
use openraft::{
    TokioRuntime, impls::leader_id_std, rt::deterministic_rng::DeterministicRng, type_config::alias,
};

use crate::{divergence::Check, state_machine::StateMachine};

/// Where an entry stands in a group's log; ordered by term, then index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Term of the leader that appended the entry.
    pub term: u64,
    /// Index of the entry; the first of a log is 0.
    pub index: u64,
}

/// What a proposed entry carries.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Encoded commands, opaque here.
    Commands(Bytes),
    /// The leader's digest of a stretch of the log.
    Check(Check),
}

openraft::declare_raft_types!(
    /// Terms alone name leaders, and randomness comes from a seed given at start.
    pub(crate) TypeConfig:
        D = Content,
        R = (),
        NodeId = NodeId,
        Node = (),
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, NodeId>,
        AsyncRuntime = Runtime,
);

pub(crate) type Runtime = DeterministicRng<TokioRuntime>;
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type LeaderTerm = alias::CommittedLeaderIdOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = alias::PayloadOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<NodeId, ()>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

impl Position {
    pub(crate) fn of(id: LogId) -> Self {
        Self {
            term: id.committed_leader_id().term,
            index: id.index(),
        }
    }

    pub(crate) fn log_id(self) -> LogId {
        LogId::new_term_index(self.term, self.index)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commands(commands) => write!(f, "{} bytes", commands.len()),
            Self::Check(check) => write!(f, "check through {}", check.through),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
