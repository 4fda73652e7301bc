//! Lets a replica that is its whole group be read without asking its own consensus.
//!
//! While this node is the only voter and leads, nobody else can acknowledge anything, and what was
//! acknowledged here has been applied here. Two things end that, and both pass through this
//! replica's log first: an entry that changes the members, and a vote for another node. They are
//! noted here before anyone can learn of them, and [`Solo::lead`] does not believe a report that is
//! older than they are.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::types::{NodeId, StoredMembership, Vote};

/// Whether the replica is its whole group and leads it; clones are about the same replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Solo(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    leads: bool,
    /// The newest vote written to the log.
    vote: Option<Vote>,
    /// Index of the newest entry with members written to the log.
    members: Option<u64>,
}

impl Solo {
    /// Called before a vote is written.
    pub(crate) fn note_vote(&self, vote: Vote) {
        let mut state = self.0.lock();
        state.leads = false;
        state.vote = Some(vote);
    }

    /// Called before an entry with members is written, or after the last of them was found.
    pub(crate) fn note_members(&self, index: u64) {
        let mut state = self.0.lock();
        state.leads = false;
        state.members = state.members.max(Some(index));
    }

    /// Called when the replica is seen to lead, with everything from before its term applied.
    pub(crate) fn lead(&self, node: NodeId, vote: Vote, membership: &StoredMembership) {
        let mut state = self.0.lock();
        let alone = membership.voter_ids().eq([node]);
        let newest_vote = state
            .vote
            .is_some_and(|newest| newest.leader_id() == vote.leader_id());
        let newest_members = membership.log_id().map(|id| id.index()) >= state.members;
        state.leads = alone && newest_vote && newest_members && vote.leader_id().voted_for == node;
    }

    /// Called when the replica does not lead, or stops.
    pub(crate) fn follow(&self) {
        self.0.lock().leads = false;
    }

    /// Whether state as it is includes everything ever acknowledged by anyone.
    pub(crate) fn leads(&self) -> bool {
        self.0.lock().leads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LogId, Membership};

    const ME: NodeId = NodeId(1);

    fn members<const N: usize>(index: u64, voters: [u64; N]) -> StoredMembership {
        let voters = voters.map(NodeId).into();
        let members = Membership::new_with_defaults(vec![voters], []);
        StoredMembership::new(Some(LogId::new_term_index(1, index)), members)
    }

    fn leading() -> Solo {
        let solo = Solo::default();
        solo.note_members(0);
        solo.note_vote(Vote::new(2, ME));
        solo.lead(ME, Vote::new_committed(2, ME), &members(0, [1]));
        solo
    }

    #[test]
    fn a_leader_without_others_is_its_whole_group() {
        assert!(leading().leads());
        let solo = leading();
        solo.follow();
        assert!(!solo.leads());
    }

    #[test]
    fn a_leader_with_others_is_not() {
        let solo = leading();
        solo.lead(ME, Vote::new_committed(2, ME), &members(0, [1, 2]));
        assert!(!solo.leads());
    }

    #[test]
    fn new_members_count_from_when_they_are_written_whatever_older_reports_say() {
        let solo = leading();
        solo.note_members(7);
        assert!(!solo.leads());
        solo.lead(ME, Vote::new_committed(2, ME), &members(0, [1]));
        assert!(!solo.leads(), "from before entry 7");
        solo.lead(ME, Vote::new_committed(2, ME), &members(7, [1]));
        assert!(solo.leads());
    }

    #[test]
    fn a_vote_for_another_ends_it_whatever_older_reports_say() {
        let solo = leading();
        solo.note_vote(Vote::new(3, NodeId(2)));
        assert!(!solo.leads());
        solo.lead(ME, Vote::new_committed(2, ME), &members(0, [1]));
        assert!(!solo.leads(), "from before term 3");
    }
}
