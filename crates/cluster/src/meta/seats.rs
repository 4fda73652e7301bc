//! Who should belong to the meta group. Pure: what is known comes in, the next change goes out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longhaul_replication::Membership;
use longhaul_types::NodeId;

use crate::catalog::{Catalog, MemberState};
use crate::controller::{Contact, LAG_MAX};

/// From so many nodes on, five of them vote.
const MANY: usize = 7;

/// What brings the group closer to what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    AddLearner(NodeId),
    RemoveLearner(NodeId),
    ReplaceVoters(BTreeSet<NodeId>),
    TransferLeader(NodeId),
}

/// How many vote, out of so many nodes.
pub(super) fn voters_of(nodes: usize) -> usize {
    if nodes < MANY { 3 } else { 5 }
}

/// What the leader of the group knows.
pub(super) struct View<'a> {
    pub(super) me: NodeId,
    pub(super) catalog: &'a Catalog,
    pub(super) membership: &'a Membership,
    /// Of everybody, this node too.
    pub(super) contacts: &'a BTreeMap<NodeId, Contact>,
    /// Who is not heard of for this long need not be a voter.
    pub(super) replace_after: Duration,
}

impl View<'_> {
    /// The next change, if there is one.
    pub(super) fn next_change(&self) -> Option<Change> {
        if self.membership.changing {
            // What a leader that is gone has begun.
            return Some(Change::ReplaceVoters(self.membership.voters.clone()));
        }
        let missing = self.present().find(|node| !self.belongs(*node));
        if let Some(node) = missing {
            return Some(Change::AddLearner(node));
        }
        let mut learners = self.membership.learners.keys();
        if let Some(gone) = learners.find(|node| self.catalog.members.get(**node).is_none()) {
            return Some(Change::RemoveLearner(*gone));
        }
        let voters = self.wanted_voters();
        let up = voters.iter().filter(|node| self.is_up(**node)).count();
        if voters != self.membership.voters && up * 2 > voters.len() {
            return Some(Change::ReplaceVoters(voters));
        }
        self.better_leader().map(Change::TransferLeader)
    }

    /// Those who vote already stay, as far as they may; the others come in order of ids, as soon as they have caught up.
    fn wanted_voters(&self) -> BTreeSet<NodeId> {
        let (stay, lost): (Vec<_>, Vec<_>) = self
            .membership
            .voters
            .iter()
            .copied()
            .filter(|node| self.may_hold(*node))
            .partition(|node| !self.is_lost(*node));
        let learners = self.membership.learners.iter();
        let fit = learners.filter(|(node, lag)| {
            self.may_hold(**node) && self.is_up(**node) && lag.is_some_and(|lag| lag <= LAG_MAX)
        });
        let usable = self.present().filter(|node| self.may_hold(*node)).count();
        let mut ordered = stay;
        ordered.extend(fit.map(|(node, _)| *node));
        ordered.extend(lost);
        let wanted: BTreeSet<_> = ordered.into_iter().take(voters_of(usable)).collect();
        match wanted.is_empty() {
            true => self.membership.voters.clone(),
            false => wanted,
        }
    }

    /// Somebody who leads in place of a node that drains.
    fn better_leader(&self) -> Option<NodeId> {
        let is_active = |node: NodeId| {
            let member = self.catalog.members.get(node);
            member.is_some_and(|member| member.state == MemberState::Active)
        };
        if is_active(self.me) {
            return None;
        }
        let mut voters = self.membership.voters.iter().copied();
        voters.find(|node| is_active(*node) && self.is_up(*node))
    }

    fn present(&self) -> impl Iterator<Item = NodeId> {
        self.catalog.members.present().map(|(node, _)| node)
    }

    fn belongs(&self, node: NodeId) -> bool {
        self.membership.voters.contains(&node) || self.membership.learners.contains_key(&node)
    }

    fn may_hold(&self, node: NodeId) -> bool {
        let member = self.catalog.members.get(node);
        member.is_some_and(|member| member.state.may_hold())
    }

    fn is_up(&self, node: NodeId) -> bool {
        matches!(self.contacts.get(&node), Some(Contact::Up(_)))
    }

    fn is_lost(&self, node: NodeId) -> bool {
        matches!(self.contacts.get(&node), Some(Contact::Down(since)) if *since >= self.replace_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Command;
    use crate::formation::tests::{founding, join};

    const LONG: Duration = Duration::from_secs(600);

    /// Nodes 1 to `count`, of which those named vote and the others learn; all of them are heard of.
    struct World {
        catalog: Catalog,
        membership: Membership,
        contacts: BTreeMap<NodeId, Contact>,
        me: NodeId,
    }

    impl World {
        fn new(count: u8, voters: &[u64]) -> Self {
            let joins = (1..=count).map(|number| join(&format!("n{number}"), number));
            let nodes: Vec<_> = (1..=u64::from(count)).map(NodeId).collect();
            let voters: BTreeSet<_> = voters.iter().copied().map(NodeId).collect();
            let learners = nodes.iter().filter(|node| !voters.contains(node));
            Self {
                catalog: Catalog::found(founding(1), joins.collect()),
                membership: Membership {
                    changing: false,
                    learners: learners.map(|node| (*node, Some(0))).collect(),
                    voters,
                },
                contacts: nodes.iter().map(|it| (*it, Contact::Up(LONG))).collect(),
                me: NodeId(1),
            }
        }

        fn set(mut self, node: u64, state: MemberState) -> Self {
            let node = NodeId(node);
            self.catalog.apply(Command::SetState { node, state });
            self
        }

        fn down(mut self, node: u64, since: Duration) -> Self {
            self.contacts.insert(NodeId(node), Contact::Down(since));
            self
        }

        fn learner(mut self, node: u64, lag: Option<u64>) -> Self {
            self.membership.learners.insert(NodeId(node), lag);
            self
        }

        fn check(&self, expected: Option<Change>) {
            let view = View {
                me: self.me,
                catalog: &self.catalog,
                membership: &self.membership,
                contacts: &self.contacts,
                replace_after: LONG,
            };
            assert_eq!(view.next_change(), expected, "{:?}", self.membership);
        }
    }

    fn voters(ids: &[u64]) -> Option<Change> {
        let ids = ids.iter().copied().map(NodeId);
        Some(Change::ReplaceVoters(ids.collect()))
    }

    #[test]
    fn three_vote_and_five_of_many() {
        World::new(1, &[1]).check(None);
        World::new(2, &[1]).check(voters(&[1, 2]));
        World::new(4, &[1]).check(voters(&[1, 2, 3]));
        World::new(6, &[1, 2, 3]).check(None);
        World::new(7, &[1, 2, 3]).check(voters(&[1, 2, 3, 4, 5]));
        World::new(6, &[1, 2, 3, 4, 5]).check(voters(&[1, 2, 3]));
    }

    #[test]
    fn nobody_votes_who_is_behind_or_not_heard_of() {
        let behind = World::new(3, &[1, 2]).learner(3, Some(LAG_MAX + 1));
        behind.check(None);
        World::new(3, &[1, 2]).learner(3, None).check(None);
        World::new(3, &[1, 2])
            .learner(3, Some(LAG_MAX))
            .check(voters(&[1, 2, 3]));
        World::new(3, &[1, 2]).down(3, Duration::ZERO).check(None);
    }

    #[test]
    fn a_short_absence_changes_nothing_and_a_long_one_if_there_is_somebody_else() {
        let short = LONG - Duration::from_secs(1);
        World::new(4, &[1, 2, 3]).down(2, short).check(None);
        World::new(4, &[1, 2, 3])
            .down(2, LONG)
            .check(voters(&[1, 3, 4]));
        World::new(3, &[1, 2, 3]).down(2, LONG).check(None);
        // It has its place back only when there is one.
        World::new(4, &[1, 3, 4]).check(None);
    }

    #[test]
    fn who_leaves_does_not_vote_and_who_is_gone_has_no_part() {
        let leaving = World::new(4, &[1, 2, 3]).set(3, MemberState::Leaving);
        leaving.check(voters(&[1, 2, 4]));
        let alone = World::new(1, &[1]).set(1, MemberState::Leaving);
        alone.check(None);
        let gone = World::new(4, &[1, 2, 3])
            .set(4, MemberState::Leaving)
            .set(4, MemberState::Gone);
        gone.check(Some(Change::RemoveLearner(NodeId(4))));
    }

    #[test]
    fn everybody_has_a_copy() {
        let mut missing = World::new(4, &[1, 2, 3]);
        missing.membership.learners.clear();
        missing.check(Some(Change::AddLearner(NodeId(4))));
    }

    #[test]
    fn no_change_leaves_a_minority_to_decide() {
        let world = World::new(5, &[1, 2, 3]).set(1, MemberState::Leaving);
        world.check(voters(&[2, 3, 4]));
        let short = Duration::ZERO;
        let world = World::new(5, &[1, 2, 3]).set(1, MemberState::Leaving);
        let world = world.down(2, short).down(3, short);
        world.check(None);
    }

    #[test]
    fn a_leader_that_drains_is_followed_by_one_that_does_not() {
        let draining = || World::new(3, &[1, 2, 3]).set(1, MemberState::Draining);
        draining().check(Some(Change::TransferLeader(NodeId(2))));
        let down = draining().down(2, Duration::ZERO);
        down.check(Some(Change::TransferLeader(NodeId(3))));
        draining()
            .set(2, MemberState::Draining)
            .set(3, MemberState::Draining)
            .check(None);
    }

    #[test]
    fn what_was_begun_is_finished_first() {
        let mut world = World::new(4, &[1, 2, 3]);
        world.membership.changing = true;
        world.membership.learners.clear();
        world.check(voters(&[1, 2, 3]));
    }
}
