//! Leaders that change, and links that break, with calls on their way.

use std::time::Duration;

use futures::future::join_all;
use longhaul_engine::{Reply, Status};
use longhaul_partition::WaitFor;
use longhaul_types::NodeId;
use tokio::time::Instant;

use crate::ProposeError;
use crate::testing::{
    BYSTANDER, Cluster, HOLD, REPLICAS, create, done, key, partition_of, raise, terminate, until,
};

/// How many events wait for the instance: as many fewer can be raised before there are too many.
async fn pending(cluster: &Cluster, id: &str) -> usize {
    let home = cluster.router(BYSTANDER).home(&key(id));
    let mut room = 0;
    loop {
        match home.propose(raise(id)).await {
            Ok(Reply::Done) => room += 1,
            Err(ProposeError::Full { pending, .. }) => return pending - room,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_answer_is_lost_is_raised_once() {
    let cluster = Cluster::start().await;
    done(&cluster.router(BYSTANDER).home(&key("a")), create("a")).await;
    let leader = cluster.leader(partition_of("a")).await;
    let follower = REPLICAS.into_iter().find(|it| *it != leader).expect("two");
    for node in [BYSTANDER, follower] {
        for answers_lost in 1..=2 {
            let cuts = &cluster.nodes[&node].cuts;
            cuts.arm(answers_lost);
            done(&cluster.router(node).home(&key("a")), raise("a")).await;
            assert_eq!(cuts.armed(), 0, "the answers were lost");
        }
    }
    assert_eq!(pending(&cluster, "a").await, 4);
}

#[tokio::test(start_paused = true)]
async fn calls_are_held_up_while_the_leader_changes_and_applied_once() {
    let cluster = Cluster::start().await;
    done(&cluster.router(BYSTANDER).home(&key("a")), create("a")).await;
    let leader = cluster.leader(partition_of("a")).await;
    let rest: Vec<NodeId> = REPLICAS
        .into_iter()
        .chain([BYSTANDER])
        .filter(|node| *node != leader)
        .collect();
    let raising = rest.iter().map(|node| {
        let router = cluster.router(*node);
        async move {
            for _ in 0..5 {
                done(&router.home(&key("a")), raise("a")).await;
            }
        }
    });
    let stopping = async {
        tokio::task::yield_now().await;
        cluster.nodes[&leader].partitions.stop().await;
    };
    tokio::join!(join_all(raising), stopping);
    assert_ne!(cluster.leader(partition_of("a")).await, leader);
    assert_eq!(pending(&cluster, "a").await, 15);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_leader_that_is_cut_off_are_made_elsewhere_once_it_is_back() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader(partition_of("a")).await;
    done(&cluster.router(leader).home(&key("a")), create("a")).await;
    cluster.links.cut_off(leader);
    let router = cluster.router(leader).clone();
    let raising = tokio::spawn(async move { router.home(&key("a")).propose(raise("a")).await });
    until(|| {
        let others = REPLICAS.into_iter().filter(|it| *it != leader);
        others.into_iter().any(|it| {
            let replica = cluster.replica(it, partition_of("a")).expect("hosted");
            replica.leadership().borrow().is_leader
        })
    })
    .await;
    cluster.links.reconnect(leader);
    assert_eq!(raising.await.expect("no panic"), Ok(Reply::Done));
    assert_eq!(pending(&cluster, "a").await, 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_on_waiting_at_the_next_leader() {
    let cluster = Cluster::start().await;
    let id = partition_of("a");
    let leader = cluster.leader(id).await;
    let rest = REPLICAS.into_iter().chain([BYSTANDER]);
    let rest: Vec<NodeId> = rest.filter(|node| *node != leader).collect();
    let home = |node: NodeId| cluster.router(node).home(&key("a"));
    let waiting: Vec<_> = rest
        .iter()
        .map(|node| {
            let home = home(*node);
            tokio::spawn(async move { home.wait(&key("a"), WaitFor::Ended).await })
        })
        .collect();
    let old = cluster.replica(leader, id).expect("it leads");
    until(|| old.figures().waiters == rest.len() as u64).await;
    drop(old);
    cluster.nodes[&leader].partitions.stop().await;
    let next = cluster.leader(id).await;
    let new = cluster.replica(next, id).expect("it leads");
    until(|| new.figures().waiters == rest.len() as u64).await;
    done(&home(BYSTANDER), create("a")).await;
    done(&home(BYSTANDER), terminate("a")).await;
    for waited in join_all(waiting).await {
        let view = waited.expect("no panic").expect("ended");
        assert_eq!(view.status, Status::Terminated);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_asked_in_vain_names_the_leader_who_is_asked_from_then_on() {
    let cluster = Cluster::start().await;
    let router = cluster.router(BYSTANDER);
    let id = partition_of("a");
    assert_eq!(router.leaders()[&id], None, "nobody was asked yet");
    let leader = cluster.leader(id).await;
    done(&router.home(&key("a")), create("a")).await;
    assert_eq!(router.leaders()[&id], Some(leader));
    for node in REPLICAS {
        assert_eq!(cluster.router(node).leaders()[&id], Some(leader));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_takes_is_given_up_after_a_while() {
    let cluster = Cluster::start().await;
    for node in REPLICAS {
        cluster.nodes[&node].partitions.stop().await;
    }
    let home = cluster.router(BYSTANDER).home(&key("a"));
    let began = Instant::now();
    let refused = home.propose(raise("a")).await;
    assert!(
        matches!(refused, Err(ProposeError::NotApplied(_))),
        "{refused:?}"
    );
    let held = began.elapsed();
    assert!(
        held <= HOLD && held > HOLD - Duration::from_millis(200),
        "{held:?}"
    );
    let unread = home.view(&key("a")).await;
    assert!(
        matches!(unread, Err(crate::ReadError::Unavailable(_))),
        "{unread:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_leader_that_does_not_answer_goes_to_the_next_one_and_is_applied_once() {
    let cluster = Cluster::start().await;
    let id = partition_of("a");
    let leader = cluster.leader(id).await;
    let next = REPLICAS.into_iter().find(|it| *it != leader).expect("two");
    done(&cluster.router(leader).home(&key("a")), create("a")).await;
    cluster.nodes[&next].cuts.silence();
    let home = cluster.router(next).home(&key("a"));
    let raising = tokio::spawn(async move { home.propose(raise("a")).await });
    until_raised(&cluster, leader).await;
    let group = cluster.replica(leader, id).expect("leads").group().clone();
    group.transfer_leader(next).await.expect("handed over");
    let raised = tokio::time::timeout(HOLD, raising).await;
    let raised = raised.expect("it is not waited for").expect("no panic");
    assert_eq!(raised, Ok(Reply::Done));
    assert_eq!(pending(&cluster, "a").await, 1);
}

/// An event has been applied by the leader.
async fn until_raised(cluster: &Cluster, leader: NodeId) {
    let replica = cluster.replica(leader, partition_of("a")).expect("leads");
    let before = replica.group().progress().applied;
    until(|| replica.group().progress().applied > before).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_reaches_no_partition_until_it_is_back() {
    let cluster = Cluster::start().await;
    let id = partition_of("a");
    let leader = cluster.leader(id).await;
    let follower = REPLICAS.into_iter().find(|it| *it != leader).expect("two");
    for node in [leader, follower] {
        assert!(cluster.router(node).reaches(id).await, "{node}");
    }
    for node in [follower, leader] {
        cluster.links.cut_off(node);
        let partition = cluster.replica(node, id).expect("hosted");
        until_reached(&cluster, node, false).await;
        assert!(partition.confirm().await.is_err(), "{node} is not certain");
        cluster.links.reconnect(node);
        until_reached(&cluster, node, true).await;
    }
}

async fn until_reached(cluster: &Cluster, node: NodeId, wanted: bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let looking = async {
        while cluster.router(node).reaches(partition_of("a")).await != wanted {
            looks.tick().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), looking).await;
    found.unwrap_or_else(|_| panic!("{node} reaches the leader: {}", !wanted));
}
