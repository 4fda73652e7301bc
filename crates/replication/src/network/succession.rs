//! What followers do when they learn that their leader's process has ended: they elect another one at
//! once, instead of waiting until its silence has lasted long enough.
//!
//! Safe because nothing rests on the leader's lease: reads ask a majority, and votes are counted as
//! always. If the leader lives after all, it is deposed as by any other election.

use std::{collections::BTreeSet, time::Duration};

use longhaul_wal::GroupId;
use openraft::{async_runtime::WatchReceiver, raft::TransferLeaderRequest};

use super::Attached;
use crate::types::{NodeId, Vote};

/// How long a follower leaves it to the one whose turn is before its own. Two that ask at the same
/// time would take each other's votes.
const TURN: Duration = Duration::from_millis(250);

impl Attached {
    /// Asks to be elected in place of a leader that has ended, when it is this replica's turn and
    /// nobody else has asked before. Does nothing if another one leads.
    pub(crate) async fn succeed(self, group: GroupId, ended: NodeId) {
        let Some((vote, turn)) = self.candidacy(group, ended) else {
            return;
        };
        tokio::time::sleep(TURN * turn).await;
        // Nothing happens if there has been a vote meanwhile. A replica that has stopped is fine.
        let request = TransferLeaderRequest::new(vote, *self.raft.node_id(), None);
        drop(self.raft.handle_transfer_leader(request).await);
    }

    fn candidacy(&self, group: GroupId, ended: NodeId) -> Option<(Vote, u32)> {
        let seen = self.raft.server_metrics().borrow_watched().clone();
        if seen.current_leader != Some(ended) {
            return None;
        }
        let voters = seen.membership_config.membership().voter_ids();
        let turn = turn(group, &voters.collect(), ended, *self.raft.node_id())?;
        Some((seen.vote, turn))
    }
}

/// Whose turn it is, so that the groups of one leader are spread over those who are left.
fn turn(group: GroupId, voters: &BTreeSet<NodeId>, ended: NodeId, me: NodeId) -> Option<u32> {
    let mut left: Vec<NodeId> = voters.iter().copied().filter(|it| *it != ended).collect();
    let first = usize::try_from(group.0).ok()? % left.len().max(1);
    left.rotate_left(first);
    let turn = left.iter().position(|it| *it == me)?;
    u32::try_from(turn).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: u32, me: u64) -> Option<u32> {
        let voters = [1, 2, 3].map(NodeId).into();
        turn(GroupId(group), &voters, NodeId(2), NodeId(me))
    }

    #[test]
    fn everybody_left_has_a_turn_of_its_own_and_groups_begin_with_different_ones() {
        assert_eq!([of(4, 1), of(4, 3)], [Some(0), Some(1)]);
        assert_eq!([of(5, 1), of(5, 3)], [Some(1), Some(0)]);
    }

    #[test]
    fn who_ended_or_has_no_vote_has_none() {
        assert_eq!([of(4, 2), of(4, 9)], [None, None]);
        let alone = [2].map(NodeId).into();
        assert_eq!(turn(GroupId(4), &alone, NodeId(2), NodeId(1)), None);
    }
}
