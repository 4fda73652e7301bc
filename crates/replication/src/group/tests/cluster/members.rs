//! Groups whose members change.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::group::{ChangeError, Membership};

over_every_network!(
    a_learner_behind_the_log_gets_the_state_instead,
    a_voter_is_exchanged_for_another_node,
    a_leader_that_is_removed_hands_over,
    a_change_that_was_begun_is_finished_by_the_next_leader,
    a_transfer_with_proposals_on_their_way_loses_nothing,
    changes_that_cannot_be_are_refused,
);

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
    ids.map(NodeId).into()
}

impl Cluster {
    /// Starts another node, which belongs to no group yet; answers its place.
    pub(super) async fn add_node(&mut self) -> usize {
        let id = self.nodes.len() as u64 + 1;
        let node = Node::new(id, self.network.of(id));
        self.groups.push(Some(node.start().await.expect("starts")));
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Lets the log of these nodes begin after everything so far.
    async fn purge(&self, among: &[usize]) {
        for at in among {
            let group = self.groups[*at].as_ref().expect("running");
            let durable = group.checkpoint().await.expect("running");
            purged(group, durable).await;
        }
    }

    /// Has the leader among these nodes do it, until it does.
    async fn change<F>(&self, among: &[usize], change: impl Fn(Group) -> F) -> Group
    where
        F: Future<Output = Result<(), ChangeError>>,
    {
        loop {
            let (_, leader, _) = self.leader(among).await;
            match change(leader.clone()).await {
                Ok(()) => return leader,
                Err(ChangeError::RetryHere | ChangeError::NotLeader { .. }) => {
                    // tidy: the clock is paused.
                    time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(super) async fn add_learner(&self, among: &[usize], at: usize) {
        let node = self.nodes[at].id;
        let leader = self
            .change(
                among,
                |leader| async move { leader.add_learner(node).await },
            )
            .await;
        eventually("the learner has everything", || {
            let learners = leader.membership().learners;
            (learners == BTreeMap::from([(node, Some(0))])).then_some(())
        })
        .await;
    }

    pub(super) async fn change_voters(&self, among: &[usize], voters: &BTreeSet<NodeId>) {
        self.change(among, |leader| {
            let voters = voters.clone();
            async move { leader.change_voters(voters).await }
        })
        .await;
    }
}

async fn a_learner_behind_the_log_gets_the_state_instead(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 100).await;
    cluster.converge().await;
    cluster.purge(&[0, 1, 2]).await;
    let new = cluster.add_node().await;
    cluster.add_learner(&[0, 1, 2], new).await;
    cluster.converge().await;
    assert!(
        cluster.nodes[new].ledger.disk().commands.len() >= 100,
        "a state was installed"
    );
    let (leader, _, _) = cluster.leader(&[0, 1, 2]).await;
    for (at, group) in cluster.running() {
        let lag = (at == leader).then_some(0);
        eventually("all know the members", || {
            let expected = Membership {
                voters: ids([1, 2, 3]),
                changing: false,
                learners: BTreeMap::from([(NodeId(4), lag)]),
            };
            (group.membership() == expected).then_some(())
        })
        .await;
    }

    // It has no vote, and one voter is not enough.
    let away: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &away {
        cluster.network.cut_off(cluster.nodes[*at].id);
    }
    let group = cluster.groups[leader].clone().expect("running");
    assert_eq!(group.read_barrier().await, Err(ReadError::RetryHere));
    for at in &away {
        cluster.network.reconnect(cluster.nodes[*at].id);
    }
    cluster.propose(&[0, 1, 2], 1).await;
    cluster
        .change(&[0, 1, 2], |leader| async move {
            leader.remove_learner(NodeId(4)).await
        })
        .await;
    let (_, group, _) = cluster.leader(&[0, 1, 2]).await;
    assert_eq!(group.membership().learners, BTreeMap::new());
    cluster.stop().await;
}

async fn a_voter_is_exchanged_for_another_node(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 20).await;
    let new = cluster.add_node().await;
    cluster.add_learner(&[0, 1, 2], new).await;
    let (leader, _, _) = cluster.leader(&[0, 1, 2]).await;
    let removed = (leader + 1) % 3;
    let among: Vec<usize> = (0..4).filter(|at| *at != removed).collect();
    let voters: BTreeSet<NodeId> = among.iter().map(|at| cluster.nodes[*at].id).collect();
    cluster.change_voters(&among, &voters).await;
    let (_, group, _) = cluster.leader(&among).await;
    let expected = Membership {
        voters,
        changing: false,
        learners: BTreeMap::new(),
    };
    assert_eq!(group.membership(), expected);

    // The removed one can go, and is not missed.
    let gone = cluster.groups[removed].take().expect("running");
    gone.stop().await;
    cluster.propose(&among, 20).await;
    cluster.nodes.remove(removed);
    cluster.groups.remove(removed);
    cluster.converge().await;

    // What is left is a majority of three again.
    let all: Vec<usize> = (0..3).collect();
    let (leader, _, _) = cluster.leader(&all).await;
    cluster.network.cut_off(cluster.nodes[leader].id);
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    cluster.propose(&others, 20).await;
    cluster.network.reconnect(cluster.nodes[leader].id);
    cluster.converge().await;
    cluster.stop().await;
}

async fn a_leader_that_is_removed_hands_over(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 20).await;
    let new = cluster.add_node().await;
    cluster.add_learner(&[0, 1, 2], new).await;
    let (leader, old, _) = cluster.leader(&[0, 1, 2]).await;
    let among: Vec<usize> = (0..4).filter(|at| *at != leader).collect();
    let voters: BTreeSet<NodeId> = among.iter().map(|at| cluster.nodes[*at].id).collect();
    cluster.change_voters(&[leader], &voters).await;
    cluster.propose(&among, 20).await;
    eventually("the removed one leads no more", || {
        (!old.leadership().borrow().is_leader).then_some(())
    })
    .await;
    let (_, group, _) = cluster.leader(&among).await;
    assert_eq!(group.membership().voters, voters);
    old.stop().await;
    drop(old);
    cluster.nodes.remove(leader);
    cluster.groups.remove(leader);
    cluster.propose(&[0, 1, 2], 20).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn a_change_that_was_begun_is_finished_by_the_next_leader(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 20).await;
    let new = cluster.add_node().await;
    cluster.add_learner(&[0, 1, 2], new).await;
    let (leader, old, _) = cluster.leader(&[0, 1, 2]).await;
    let others: Vec<usize> = (0..4).filter(|at| *at != leader).collect();
    let voters: BTreeSet<NodeId> = others.iter().map(|at| cluster.nodes[*at].id).collect();

    // The leader reaches one other voter: enough for the old ones, too few for the new ones.
    let (reached, cut) = (others[0], &others[1..]);
    for at in cut {
        cluster.network.cut_off(cluster.nodes[*at].id);
    }
    let changing = tokio::spawn({
        let voters = voters.clone();
        async move { old.change_voters(voters).await }
    });
    let follower = cluster.groups[reached].clone().expect("running");
    eventually("the change has begun elsewhere", || {
        let seen = follower.membership();
        (seen.changing && seen.voters == voters).then_some(())
    })
    .await;
    assert!(!changing.is_finished());
    cluster.groups[leader] = None;
    changing.abort();
    drop(changing.await);
    cluster.nodes[leader].disk.crash();
    for at in cut {
        cluster.network.reconnect(cluster.nodes[*at].id);
    }

    cluster.change_voters(&others, &voters).await;
    let (_, group, _) = cluster.leader(&others).await;
    let expected = Membership {
        voters,
        changing: false,
        learners: BTreeMap::new(),
    };
    assert_eq!(group.membership(), expected);
    cluster.nodes.remove(leader);
    cluster.groups.remove(leader);
    cluster.propose(&[0, 1, 2], 20).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn a_transfer_with_proposals_on_their_way_loses_nothing(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 5).await;
    let mut proposals = Vec::new();
    for _ in 0..6 {
        let (at, old, old_term) = cluster.leader(&[0, 1, 2]).await;
        proposals.extend(burst(&mut cluster, 50));
        let next = (at + 1) % 3;
        let begun = time::Instant::now();
        assert_eq!(old.transfer_leader(cluster.nodes[next].id).await, Ok(()));
        assert!(
            begun.elapsed() < GroupConfig::default().election_timeout_min,
            "nobody waited for an election"
        );
        proposals.extend(burst(&mut cluster, 50));
        let (led, _, term) = cluster.leader(&[next]).await;
        assert_eq!(led, next);
        assert!(term > old_term);
        cluster.propose(&[0, 1, 2], 5).await;
    }
    cluster.converge().await;
    let applied = cluster.nodes[0].ledger.commands();
    let mut acknowledged = 0;
    for proposal in proposals {
        let (commands, result) = proposal.await.expect("no panic");
        let times = applied.iter().filter(|it| **it == commands).count();
        match result {
            Ok(_) => assert_eq!(times, 1, "{commands:?} was acknowledged"),
            Err(ProposeError::Unknown) => assert!(times <= 1, "{commands:?}"),
            Err(error) => assert_eq!(times, 0, "{commands:?} was refused: {error}"),
        }
        acknowledged += usize::from(result.is_ok());
    }
    assert!(acknowledged > 0, "some were on their way in time");
    cluster.stop().await;
}

async fn changes_that_cannot_be_are_refused(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 1).await;
    let (at, leader, _) = cluster.leader(&[0, 1, 2]).await;
    let next = (at + 1) % 3;
    let follower = cluster.groups[next].clone().expect("running");
    let before = leader.membership();
    assert_eq!(before.voters, ids([1, 2, 3]));

    let stranger = Err(ChangeError::Unfit(NodeId(9)));
    assert_eq!(leader.change_voters(ids([1, 2, 9])).await, stranger);
    assert_eq!(leader.transfer_leader(NodeId(9)).await, stranger);
    let voter = cluster.nodes[next].id;
    let not_a_learner = Err(ChangeError::Unfit(voter));
    assert_eq!(leader.remove_learner(voter).await, not_a_learner);
    let empty = leader.change_voters(BTreeSet::new()).await;
    assert_eq!(empty, Err(ChangeError::NoVoters));

    let not_here = Err(ChangeError::NotLeader {
        leader: Some(cluster.nodes[at].id),
    });
    assert_eq!(follower.add_learner(NodeId(9)).await, not_here);
    assert_eq!(follower.change_voters(ids([1, 2])).await, not_here);
    assert_eq!(follower.transfer_leader(NodeId(1)).await, not_here);
    assert_eq!(leader.membership(), before);

    // Whoever leads already need not be made to, and whoever cannot be reached does not lead.
    let own = cluster.nodes[at].id;
    assert_eq!(leader.transfer_leader(own).await, Ok(()));
    cluster.network.cut_off(own);
    let lonely = leader.transfer_leader(voter).await;
    assert_eq!(lonely, Err(ChangeError::Unknown));
    cluster.network.reconnect(own);
    cluster.propose(&[0, 1, 2], 1).await;
    cluster.converge().await;
    drop((leader, follower));
    cluster.stop().await;
}
