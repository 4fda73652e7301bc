//! Who belongs to a group, and how that changes while it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{
    ChangeMembers,
    async_runtime::WatchReceiver,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
};

use super::{Group, Stopped, not_here};
use crate::types::{NodeId, TypeConfig};

/// Who belongs to a group, as one of its replicas knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Whose votes count; of a change that is under way, those who will be voters after it.
    pub voters: BTreeSet<NodeId>,
    /// Whether a change is under way: voters before and after it have to agree, or it is not
    /// committed. What a leader that died has begun goes on with [`Group::change_voters`].
    pub changing: bool,
    /// Who receives everything and has no vote, and how many entries each is behind. The leader knows
    /// that of those it has heard from; others do not.
    pub learners: BTreeMap<NodeId, Option<u64>>,
}

/// A change of members, or of the leader, that is not known to have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Not begun: this replica does not lead.
    #[error("another replica leads")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// Not begun: the leader accepts nothing for a moment, or another change is under way. Retry here.
    #[error("the leader accepts no change for a moment")]
    RetryHere,
    /// Not begun: the node would have to be a member already, and a voter to lead.
    #[error("node {0} is not a member that this could be done with")]
    Unfit(NodeId),
    /// Not begun: a group without voters could never do anything again.
    #[error("no voters would be left")]
    NoVoters,
    /// Leadership was lost, or the replica stopped, with the change on its way; or nobody else leads
    /// after a while.
    #[error("the outcome of the change is unknown")]
    Unknown,
    /// The replica has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Group {
    /// Who belongs to the group, by the newest configuration this replica has, committed or not.
    #[must_use]
    pub fn membership(&self) -> Membership {
        let data = self.0.raft.data_metrics().borrow_watched().clone();
        let server = self.0.raft.server_metrics().borrow_watched().clone();
        let stored = server.membership_config;
        let configs = stored.membership().get_joint_config();
        let uncommitted = *stored.log_id() > data.local_committed;
        let lag = |node: &NodeId| {
            let matched = data.replication.as_ref()?.get(node)?.as_ref()?;
            let last = data.last_log.as_ref().map_or(0, |last| last.index());
            Some(last.saturating_sub(matched.index()))
        };
        let learners = stored.membership().learner_ids();
        Membership {
            voters: configs.last().cloned().unwrap_or_default(),
            changing: configs.len() > 1 || uncommitted,
            learners: learners.map(|node| (node, lag(&node))).collect(),
        }
    }

    /// Lets a node receive everything, without a vote. Does not wait until it has caught up: see
    /// [`Group::membership`]. Does nothing if the node is a member.
    ///
    /// # Errors
    /// Each [`ChangeError`] says whether it may have happened.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), ChangeError> {
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(node, ())])))
            .await
    }

    /// Lets a node that has no vote receive nothing any more. Does nothing if it is not a member.
    ///
    /// # Errors
    /// Each [`ChangeError`] says whether it may have happened.
    pub async fn remove_learner(&self, node: NodeId) -> Result<(), ChangeError> {
        if self.membership().voters.contains(&node) {
            return Err(ChangeError::Unfit(node));
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node])))
            .await
    }

    /// Replaces the voters. All of the new ones must be members, and should have caught up. Until the
    /// change is over, majorities of both are needed for everything; then, voters that were replaced
    /// are no members any more. A leader among them hands leadership over by itself.
    ///
    /// Whoever stops waiting, or loses its leader, may find the change half done; asking the next
    /// leader again finishes it.
    ///
    /// # Errors
    /// Each [`ChangeError`] says whether it may have happened.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        if voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters)).await
    }

    async fn change(&self, change: ChangeMembers<NodeId, ()>) -> Result<(), ChangeError> {
        match self.0.raft.change_membership(change, false).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(error.into()),
            Err(RaftError::Fatal(_)) => Err(Stopped.into()),
        }
    }

    /// Hands leadership over to another voter, and waits until this replica does not lead any more and
    /// knows who does. That may be a third one, if the node cannot be reached. Proposals are refused
    /// meanwhile; those that were on their way are not lost by it.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] if nobody else leads within two election timeouts.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), ChangeError> {
        let mut leadership = self.leadership();
        let now = *leadership.borrow_and_update();
        if now.leader != Some(self.0.node) {
            return Err(ChangeError::NotLeader { leader: now.leader });
        }
        if to == self.0.node {
            return Ok(());
        }
        let membership = self.membership();
        if !membership.voters.contains(&to) {
            return Err(ChangeError::Unfit(to));
        }
        let asked = self.0.raft.trigger().transfer_leader(to).await;
        asked.map_err(|_| Stopped)?;
        let another =
            leadership.wait_for(|seen| seen.leader.is_some_and(|leader| leader != self.0.node));
        match tokio::time::timeout(self.transfer_patience(), another).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Stopped.into()),
            Err(_) => Err(ChangeError::Unknown),
        }
    }

    fn transfer_patience(&self) -> Duration {
        2 * self.0.election_timeout_max
    }
}

impl From<ClientWriteError<TypeConfig>> for ChangeError {
    fn from(error: ClientWriteError<TypeConfig>) -> Self {
        match error {
            ClientWriteError::ForwardToLeader(forward) => {
                not_here(&forward).map_or(Self::RetryHere, |leader| Self::NotLeader { leader })
            }
            ClientWriteError::LogEntryDiscarded(_) => Self::Unknown,
            ClientWriteError::ChangeMembershipError(error) => match error {
                ChangeMembershipError::LearnerNotFound(missing) => Self::Unfit(missing.node_id),
                ChangeMembershipError::EmptyMembership(_) => Self::NoVoters,
                ChangeMembershipError::NodeMetadataChanged(changed) => Self::Unfit(changed.node_id),
                ChangeMembershipError::InProgress(_)
                | ChangeMembershipError::UncommittedLeaderLog(_)
                | ChangeMembershipError::UnsupportedMembershipTransition(_) => Self::RetryHere,
            },
            // Only the second half of a change is conditional: somebody else has changed the members.
            ClientWriteError::PreconditionFailed(_) => Self::Unknown,
        }
    }
}
