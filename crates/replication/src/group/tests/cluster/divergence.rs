//! A replica that makes something else of the log than the others.

use futures::future::join_all;

use super::*;
use crate::divergence::STRETCH;

over_every_network!(
    a_replica_that_differs_never_serves_again,
    equal_replicas_agree_whoever_starts_and_leads,
);

impl Cluster {
    /// Proposes as [`Cluster::propose`] does, many at once, under a leader that stays.
    async fn propose_many(&mut self, among: &[usize], count: usize) {
        let (_, group, term) = self.leader(among).await;
        let all: Vec<Bytes> = (self.proposed..self.proposed + count)
            .map(commands)
            .collect();
        self.proposed += count;
        for some in all.chunks(100) {
            let proposed = some
                .iter()
                .map(|commands| group.propose(term, commands.clone()));
            for outcome in join_all(proposed).await {
                outcome.expect("a leader that stays");
            }
        }
        self.acknowledged.extend(all);
    }
}

/// Enough to finish a stretch and to compare it.
const ENOUGH: usize = 2 * STRETCH as usize + 50;

async fn a_replica_that_differs_never_serves_again(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    let (leader, _, _) = cluster.leader(&[0, 1, 2]).await;
    let (odd, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.propose(&[leader], 20).await;
    cluster.nodes[odd].ledger.set_odd(true);
    cluster.propose(&[leader], 20).await;
    cluster.converge().await;
    cluster.nodes[odd].ledger.set_odd(false);
    cluster.propose_many(&[leader, other], ENOUGH).await;
    let fault = cluster.nodes[odd].fault().await;
    assert!(fault.contains("differs from the leader's"), "{fault}");
    assert!(fault.contains("rebuilt"), "{fault}");

    // Nor does it after the next start, though its log says nothing of it.
    cluster.groups[odd] = None;
    cluster.nodes[odd].disk.crash();
    let again = cluster.nodes[odd].start().await;
    let reason = again.err().map(|error| error.to_string());
    assert!(
        reason
            .as_ref()
            .is_some_and(|reason| reason.contains("rebuilt")),
        "{reason:?}"
    );

    // It begins anew as a node that has nothing.
    let members = [leader, other].map(|at| cluster.nodes[at].id).into();
    cluster.change_voters(&[leader, other], &members).await;
    cluster.discard(odd).await;
    cluster.add_learner(&[leader, other], odd).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn equal_replicas_agree_whoever_starts_and_leads(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose_many(&[0, 1, 2], 500).await;
    let (leader, group, _) = cluster.leader(&[0, 1, 2]).await;
    let next = (leader + 1) % 3;
    let to = cluster.nodes[next].id;
    group.transfer_leader(to).await.expect("it has everything");
    drop(group);
    cluster.propose(&[next], 100).await;

    // One applies only the rest of a stretch again.
    cluster.groups[leader] = None;
    cluster.nodes[leader].disk.crash();
    cluster.groups[leader] = Some(cluster.nodes[leader].start().await.expect("starts"));
    cluster.propose_many(&[0, 1, 2], ENOUGH).await;
    cluster.converge().await;
    cluster.stop().await;
}
