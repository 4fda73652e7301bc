//! Nodes whose disk hangs while everything else of them goes on.

use super::*;

over_every_network!(
    a_leader_whose_log_hangs_gives_up_until_it_moves,
    a_follower_whose_log_hangs_does_not_stand,
);

async fn a_leader_whose_log_hangs_gives_up_until_it_moves(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 10).await;
    let (at, old, old_term) = cluster.leader(&[0, 1, 2]).await;
    let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();

    cluster.nodes[at].disk.set_hanging(true);
    let waiting = tokio::spawn(old.propose(old_term, Bytes::from_static(b"waiting")));
    let mut seen = old.leadership();
    let given_up = time::timeout(Duration::from_secs(4), async {
        seen.wait_for(|seen| !seen.is_leader).await.map(|_| ())
    });
    given_up.await.expect("in time").expect("running");
    cluster.propose(&others, 20).await;
    let (_, _, term) = cluster.leader(&others).await;
    assert!(term > old_term);

    // However long it takes, it does not disturb those who lead now.
    let again = time::timeout(
        Duration::from_secs(30),
        seen.wait_for(|seen| seen.is_leader),
    );
    assert!(again.await.is_err(), "it leads without a disk");
    assert_eq!(cluster.leader(&others).await.2, term);

    cluster.nodes[at].disk.set_hanging(false);
    cluster.propose(&others, 1).await;
    cluster.converge().await;
    // Perhaps the others had it, perhaps not.
    let _outcome = waiting.await.expect("no panic");
    let (_, leader, _) = cluster.leader(&others).await;
    let node = cluster.nodes[at].id;
    eventually("it may lead again", || {
        let follows = old.leadership().borrow().leader.is_some();
        follows.then_some(())
    })
    .await;
    leader.transfer_leader(node).await.expect("it is fit again");
    cluster.propose(&[at], 1).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn a_follower_whose_log_hangs_does_not_stand(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 10).await;
    cluster.converge().await;
    let (at, _, term) = cluster.leader(&[0, 1, 2]).await;
    let follower = (at + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|other| *other != follower).collect();
    cluster.nodes[follower].disk.set_hanging(true);
    cluster.propose(&others, 10).await;
    // tidy: the clock is paused; long enough to notice, and to stand if it wanted to.
    time::sleep(Duration::from_secs(5)).await;
    cluster.network.cut_off(cluster.nodes[follower].id);
    // tidy: the clock is paused.
    time::sleep(Duration::from_secs(20)).await;
    cluster.network.reconnect(cluster.nodes[follower].id);
    cluster.propose(&others, 10).await;
    assert_eq!(
        cluster.leader(&others).await.2,
        term,
        "nobody was disturbed"
    );
    cluster.nodes[follower].disk.set_hanging(false);
    cluster.converge().await;
    cluster.stop().await;
}
