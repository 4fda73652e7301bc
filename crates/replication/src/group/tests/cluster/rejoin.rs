//! A node that had a replica of the group, lost it with everything, and has one again.

use super::*;
use crate::destroy_log;

over_every_network!(
    a_node_that_is_back_does_not_help_those_who_missed_what_it_had,
    a_node_that_is_back_is_a_voter_again,
);

impl Cluster {
    /// Removes what the node keeps of its replica, and starts another one; the power fails in between.
    pub(super) async fn discard(&mut self, at: usize) {
        if let Some(group) = self.groups[at].take() {
            group.stop().await;
        }
        self.nodes[at].disk.crash();
        let log = self.nodes[at].disk.open(GROUP);
        destroy_log(&log).await.expect("the disk works");
        self.nodes[at].disk.crash();
        self.nodes[at].ledger = Ledger::default();
        self.groups[at] = Some(self.nodes[at].start().await.expect("starts"));
    }

    /// Leader, a voter that is cut off from now on, and one that is no member any more, though the
    /// second does not know; with entries that only the others have.
    async fn with_one_removed(kind: Kind) -> (Self, usize, usize, usize) {
        let mut cluster = Cluster::start(3, kind).await;
        cluster.propose(&[0, 1, 2], 20).await;
        cluster.converge().await;
        let (leader, _, _) = cluster.leader(&[0, 1, 2]).await;
        let (away, removed) = ((leader + 1) % 3, (leader + 2) % 3);
        cluster.network.cut_off(cluster.nodes[away].id);
        cluster.propose(&[leader, removed], 20).await;
        let new = cluster.add_node().await;
        cluster.add_learner(&[leader, removed], new).await;
        let voters = [leader, away, new].map(|at| cluster.nodes[at].id).into();
        cluster.change_voters(&[leader, removed], &voters).await;
        cluster.propose(&[leader, new], 20).await;
        (cluster, leader, away, removed)
    }
}

async fn a_node_that_is_back_does_not_help_those_who_missed_what_it_had(kind: Kind) {
    let (mut cluster, leader, away, removed) = Cluster::with_one_removed(kind).await;
    cluster.discard(removed).await;

    // To the one that was away, the other is one of three voters still, and both would be enough.
    for at in [leader, 3] {
        cluster.network.cut_off(cluster.nodes[at].id);
    }
    cluster.network.reconnect(cluster.nodes[away].id);
    let old = cluster.groups[away].clone().expect("running");
    let mut seen = old.leadership();
    let elected = time::timeout(
        Duration::from_secs(60),
        seen.wait_for(|seen| seen.is_leader),
    );
    assert!(elected.await.is_err(), "it leads without what is committed");

    for at in [leader, 3] {
        cluster.network.reconnect(cluster.nodes[at].id);
    }
    cluster.propose(&[leader, away, 3], 1).await;
    cluster.add_learner(&[leader, away, 3], removed).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn a_node_that_is_back_is_a_voter_again(kind: Kind) {
    let (mut cluster, leader, away, removed) = Cluster::with_one_removed(kind).await;
    // Twice, and the second time there is nothing but what the first has left.
    cluster.discard(removed).await;
    cluster.discard(removed).await;
    cluster.network.reconnect(cluster.nodes[away].id);
    cluster.add_learner(&[leader, away, 3], removed).await;
    let voters = [away, removed, 3].map(|at| cluster.nodes[at].id).into();
    cluster.change_voters(&[leader, away, 3], &voters).await;
    cluster.propose(&[away, removed, 3], 1).await;
    let (_, group, _) = cluster.leader(&[away, removed, 3]).await;
    let back = cluster.nodes[removed].id;
    group
        .transfer_leader(back)
        .await
        .expect("it has everything");
    cluster.propose(&[removed], 5).await;

    // With its vote, and not without it.
    cluster.network.cut_off(cluster.nodes[away].id);
    cluster.propose(&[removed, 3], 5).await;
    cluster.network.reconnect(cluster.nodes[away].id);
    cluster.stop().await;
}
