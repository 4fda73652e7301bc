//! Meta groups of nodes in one process.

use std::time::Duration;

use longhaul_types::{HubId, HubName};
use tokio::time;

use super::*;
use crate::catalog::{MemberState, Refusal};
use crate::formation::tests::{founding, join};
use crate::testing::{Disk, Nodes, eventually};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn first(nodes: usize) -> FirstNodes {
    let names = NAMES[..nodes].iter().zip(1..);
    FirstNodes {
        founding: founding(1),
        nodes: names
            .map(|(name, directory)| join(name, directory))
            .collect(),
    }
}

async fn started(nodes: usize) -> Nodes {
    let mut cluster = Nodes::new(first(nodes));
    for node in first(nodes).ids() {
        cluster.start(node).await;
    }
    cluster
}

fn hub(name: &str) -> HubName {
    HubName::parse(name).expect("a name")
}

async fn create_hub(meta: &Meta, name: &str) -> HubId {
    let reply = meta.propose(Command::CreateHub(hub(name))).await;
    let Ok(Reply::Hub(id)) = reply else {
        panic!("{name}: {reply:?}");
    };
    let seen = meta.catalog().borrow().clone().expect("there is a catalog");
    assert!(
        seen.hubs.get(&hub(name)).is_some(),
        "the node sees what it has done"
    );
    id
}

/// A directory joins, and runs as the node that it becomes.
async fn grow(cluster: &mut Nodes, name: &str, directory: u8) -> NodeId {
    let command = Command::Join(join(name, directory));
    let any = cluster.running.values().next().expect("one runs");
    let Ok(Reply::Joined(node)) = any.propose(command).await else {
        panic!("{name} was not admitted");
    };
    cluster
        .disks
        .insert(node, (Disk::new(), join(name, directory)));
    cluster.start(node).await;
    node
}

fn members(catalog: &Catalog) -> Vec<(u64, MemberState)> {
    let members = catalog.members.present();
    members.map(|(node, it)| (node.0, it.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_one_is_founded_by_its_first_entry_and_survives_restarts() {
    let mut cluster = started(1).await;
    let me = NodeId(1);
    let founded = cluster.until(1, "the catalog", |catalog| Some(catalog.founding.clone()));
    assert_eq!(founded.await, founding(1));
    assert_eq!(create_hub(cluster.at(1), "orders").await, HubId(1));
    // Killed, it has its log; stopped, it has its file as well.
    for (killed, expected) in [(true, 2), (false, 3), (true, 4)] {
        if !killed {
            cluster.at(1).stop().await;
            assert!(cluster.disks[&me].0.file("catalog.bin").exists());
        }
        cluster.kill(me);
        cluster.start(me).await;
        let id = create_hub(cluster.at(1), &format!("hub{expected}")).await;
        assert_eq!(id, HubId(expected));
    }
    let catalog = cluster.at(1).read().await.expect("available");
    assert_eq!(catalog.hubs.list().count(), 4);
    assert_eq!(members(&catalog), [(1, MemberState::Active)]);
}

#[tokio::test(start_paused = true)]
async fn every_node_has_a_copy_and_any_node_can_ask() {
    let mut cluster = started(3).await;
    for (node, name) in [(1, "one"), (2, "two"), (3, "three")] {
        create_hub(cluster.at(node), name).await;
    }
    // What the new node gets is a snapshot: the log is gone.
    let leader = cluster.leader().await;
    let group = &cluster.at(leader.0).0.inner.group;
    group.checkpoint().await.expect("running");
    eventually("a short log", || group.progress().purged).await;
    assert_eq!(grow(&mut cluster, "d", 4).await, NodeId(4));
    let grown = |catalog: &Catalog| (members(catalog).len() == 4).then_some(());
    cluster.until(4, "a catalog with the new node", grown).await;
    create_hub(cluster.at(4), "four").await;
    for node in 1..=4 {
        let catalog = cluster.at(node).read().await.expect("available");
        assert_eq!(catalog.hubs.list().count(), 4, "node {node}");
    }
    let voters: BTreeSet<_> = [1, 2, 3].map(NodeId).into();
    assert_eq!(cluster.at(4).status().voters, voters);
    let told = cluster.at(4).leader_status().await.expect("available");
    assert_eq!(told.leader, Some(cluster.leader().await));
    eventually("the leader hears of everybody", || {
        let leader = told.leader.expect("there is one").0;
        let contacts = cluster.at(leader).status().contacts;
        let up = contacts.values().filter(|it| matches!(it, Contact::Up(_)));
        (up.count() == 4).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn proposals_go_on_without_the_leader_and_everything_survives() {
    let mut cluster = started(3).await;
    create_hub(cluster.at(2), "before").await;
    for round in 0..3 {
        let leader = cluster.leader().await;
        cluster.kill(leader);
        let other = *cluster.running.keys().next().expect("two run");
        create_hub(cluster.at(other.0), &format!("round{round}")).await;
        cluster.start(leader).await;
        create_hub(cluster.at(leader.0), &format!("again{round}")).await;
    }
    // One that stops hands leadership over first.
    let leader = cluster.leader().await;
    let term = cluster.at(leader.0).status().term;
    cluster.at(leader.0).stop().await;
    cluster.kill(leader);
    let next = cluster.leader().await;
    assert_eq!(
        cluster.at(next.0).status().term,
        term + 1,
        "nobody waited for an election"
    );
    cluster.start(leader).await;

    for node in cluster.up() {
        cluster.kill(node);
    }
    for node in first(3).ids() {
        cluster.start(node).await;
    }
    for node in 1..=3 {
        let catalog = cluster.at(node).read().await.expect("available");
        assert_eq!(catalog.hubs.list().count(), 7);
    }
    assert_eq!(create_hub(cluster.at(1), "last").await, HubId(8));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cut_off_says_so_in_time_and_nothing_is_applied_twice() {
    let cluster = started(3).await;
    create_hub(cluster.at(1), "orders").await;
    let leader = cluster.leader().await;
    cluster.links.cut_off(leader);
    let begun = time::Instant::now();
    let recreate = Command::RecreateHub(hub("orders"));
    let cut_off = cluster.at(leader.0).propose(recreate.clone()).await;
    assert!(
        matches!(cut_off, Err(Unavailable::Unknown(_))),
        "{cut_off:?}"
    );
    let read = cluster.at(leader.0).read().await;
    assert!(matches!(read, Err(Unavailable::NotApplied(_))), "{read:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );

    let mut nodes = cluster.running.keys();
    let other = *nodes.find(|it| **it != leader).expect("three");
    let recreated = cluster.at(other.0).propose(recreate.clone()).await;
    assert_eq!(recreated, Ok(Reply::Hub(HubId(2))));
    cluster.links.reconnect(leader);
    let again = cluster.at(leader.0).propose(recreate).await;
    assert_eq!(again, Ok(Reply::Hub(HubId(3))), "what was cut off is gone");
}

#[tokio::test(start_paused = true)]
async fn a_node_says_where_it_is_at_every_start() {
    let mut cluster = started(3).await;
    cluster.until(1, "the catalog", |_| Some(())).await;
    cluster.kill(NodeId(3));
    let (_, described) = cluster.disks.get_mut(&NodeId(3)).expect("it exists");
    described.addresses.peers = "elsewhere:1".into();
    cluster.start(NodeId(3)).await;
    let moved = |catalog: &Catalog| {
        let member = catalog.members.get(NodeId(3))?;
        (&*member.described.addresses.peers == "elsewhere:1").then_some(())
    };
    cluster.until(1, "the new address", moved).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_decommissioned_loses_its_replicas_and_then_its_id() {
    let mut cluster = started(3).await;
    grow(&mut cluster, "d", 4).await;
    let placed = |catalog: &Catalog, node: u64| {
        let mut plans = catalog.plans.iter();
        let settled = plans.all(|plan| plan.voters.len() == 3 && plan.wanted == plan.voters);
        settled.then(|| catalog.held_by(NodeId(node)).count())
    };
    let held = |catalog: &Catalog| placed(catalog, 1);
    cluster.until(1, "placed partitions", held).await;

    // Whoever leads the meta group, if it holds something.
    let leader = cluster.leader().await.0;
    let catalog = cluster.at(1).read().await.expect("available");
    let holds = |node: &u64| catalog.held_by(NodeId(*node)).next().is_some();
    let mut choices = [leader, 1, 2].into_iter();
    let leaves = choices.find(holds).expect("three of four hold something");
    let watcher = (1..=4).find(|node| *node != leaves).expect("four");
    let state = |state| Command::SetState {
        node: NodeId(leaves),
        state,
    };
    let early = cluster.at(watcher).propose(state(MemberState::Gone)).await;
    assert!(matches!(early, Ok(Reply::Refused(_))), "{early:?}");
    let asked = cluster
        .at(watcher)
        .propose(state(MemberState::Leaving))
        .await;
    assert_eq!(asked, Ok(Reply::Done));
    let empty = |catalog: &Catalog| {
        let moving = catalog.plans.iter().any(|plan| plan.moving.is_some());
        (!moving && catalog.held_by(NodeId(leaves)).count() == 0).then_some(())
    };
    cluster
        .until(watcher, "its replicas are elsewhere", empty)
        .await;
    let gone = cluster.at(watcher).propose(state(MemberState::Gone)).await;
    assert_eq!(gone, Ok(Reply::Done));
    for group in cluster.groups.all().values() {
        assert!(!group.voters.contains(&NodeId(leaves)) && group.voters.len() == 3);
    }
    eventually("three others vote", || {
        let voters = cluster.at(watcher).status().voters;
        (voters.len() == 3 && !voters.contains(&NodeId(leaves))).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_directory_joins_under_its_old_name_once_its_node_is_silent() {
    let mut cluster = started(3).await;
    let placed = |catalog: &Catalog| {
        let mut plans = catalog.plans.iter();
        plans.all(|plan| plan.voters.len() == 3).then_some(())
    };
    cluster.until(1, "placed partitions", placed).await;
    let namesake = Command::Join(join("c", 9));
    let taken = cluster.at(1).propose(namesake.clone()).await;
    let keeps = |taken: &Reply| matches!(taken, Reply::Refused(Refusal::NameTaken { node, .. }) if *node == NodeId(3));
    assert!(
        taken.as_ref().is_ok_and(keeps),
        "a live node keeps its name: {taken:?}"
    );
    cluster.kill(NodeId(3));
    let begun = time::Instant::now();
    let joined = loop {
        match cluster.at(1).propose(namesake.clone()).await {
            Ok(Reply::Joined(node)) => break node,
            Ok(reply) => assert!(keeps(&reply), "{reply:?}"),
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
        // tidy: the clock is paused.
        time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(joined, NodeId(4));
    assert_eq!(
        grow(&mut cluster, "c", 9).await,
        joined,
        "it is the same directory"
    );
    let moved = |catalog: &Catalog| {
        let mut plans = catalog.plans.iter();
        let moved =
            plans.all(|plan| plan.moving.is_none() && plan.holds(joined) && !plan.holds(NodeId(3)));
        moved.then_some(())
    };
    cluster
        .until(1, "the replicas are the new node's", moved)
        .await;
    let gone = |catalog: &Catalog| catalog.members.get(NodeId(3)).is_none().then_some(());
    cluster.until(4, "the old id is gone", gone).await;
    let voters: BTreeSet<_> = [1, 2, 4].map(NodeId).into();
    eventually("the new node votes", || {
        (cluster.at(1).status().voters == voters).then_some(())
    })
    .await;
    // Whoever comes back with the old directory is no member.
    let old = cluster.at(1).propose(Command::Join(join("c", 3))).await;
    assert_eq!(old, Ok(Reply::Refused(Refusal::NoMember(NodeId(3)))));
}

#[tokio::test(start_paused = true)]
async fn leadership_of_a_partition_can_be_handed_over_from_any_node() {
    let cluster = started(3).await;
    let groups = cluster.groups.clone();
    let led = |_: &Catalog| (groups.all().len() == 2).then_some(());
    cluster.until(1, "led partitions", led).await;
    let partition = PartitionId(0);
    for node in 1..=3 {
        let to = eventually("the controller has seen who leads", || {
            let led = cluster.groups.all()[&partition].leader;
            let seen = cluster.running.values().find_map(|meta| {
                let groups = meta.status().groups;
                groups.get(&partition).map(|group| group.leader)
            });
            let mut others = first(3).ids();
            let other = others.find(|node| *node != led);
            (seen == Some(led)).then_some(other).flatten()
        })
        .await;
        cluster
            .at(node)
            .transfer(partition, to)
            .await
            .expect("handed over");
        assert_eq!(cluster.groups.all()[&partition].leader, to);
    }
    let nowhere = cluster.at(1).transfer(PartitionId(7), NodeId(1)).await;
    assert!(
        matches!(nowhere, Err(TransferError::Failed { .. })),
        "{nowhere:?}"
    );
}
