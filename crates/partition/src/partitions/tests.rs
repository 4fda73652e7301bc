//! Replicas of one partition on several nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::Reply;
use longhaul_storage::rows::{CompleteRows, StagedRows};
use longhaul_storage::{MemStore, Rows};

use super::*;
use crate::testing::cluster::{Cluster, PARTITION};
use crate::testing::{creation, key, until};
use crate::waiters::WaitFor;

const ALL: [usize; 3] = [0, 1, 2];

fn others(one: usize) -> Vec<usize> {
    ALL.into_iter().filter(|at| *at != one).collect()
}

/// A cluster with a follower that needs more than the log of the others has.
async fn with_one_left_behind(config: Config) -> (Cluster, usize) {
    let cluster = Cluster::start(3, config).await;
    cluster.create(&ALL, "before", 20).await;
    cluster.converge(&ALL).await;
    let leader = cluster.leader(&ALL).await;
    let away = (leader + 1) % 3;
    cluster.network.cut_off(cluster.members[away].id);
    cluster.create(&others(away), "meanwhile", 100).await;
    for at in others(away) {
        cluster.members[at].purge().await;
    }
    (cluster, away)
}

#[tokio::test(start_paused = true)]
async fn a_follower_too_far_behind_takes_over_the_state() {
    let (mut cluster, away) = with_one_left_behind(Config::default()).await;
    let behind = cluster.members[away].partition();
    let before = behind.group().progress().applied;
    cluster.network.reconnect(cluster.members[away].id);
    cluster.create(&ALL, "after", 5).await;
    cluster.converge(&ALL).await;
    let purged = behind.group().progress().purged;
    assert!(purged > before, "the log has never had what came meanwhile");

    // It goes on from there: after a crash, and as the leader.
    drop(behind);
    cluster.members[away].crash().await;
    cluster.create(&ALL, "once more", 5).await;
    cluster.converge(&ALL).await;
    let leader = cluster.leader(&ALL).await;
    if leader != away {
        let group = cluster.members[leader].partition().group().clone();
        let next = cluster.members[away].id;
        group.transfer_leader(next).await.expect("reachable");
    }
    assert_eq!(cluster.leader(&[away]).await, away);
    let known = cluster.members[away].partition();
    for id in ["before 3", "meanwhile 99", "after 0", "once more 4"] {
        assert!(known.view(&key(id)).await.expect("leads").is_some(), "{id}");
    }
    cluster.create(&[away], "led", 5).await;
    cluster.converge(&ALL).await;
    drop(known);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_is_taken_over_in_the_midst_of_checkpoints() {
    let config = Config {
        checkpoint_interval: Duration::from_millis(1),
        durable_checkpoint_bytes: 2_000,
        ..Config::default()
    };
    let mut cluster = Cluster::start(3, config).await;
    for round in 0..4 {
        let leader = cluster.leader(&ALL).await;
        let away = (leader + 1 + round % 2) % 3;
        cluster.network.cut_off(cluster.members[away].id);
        cluster
            .create(&others(away), &format!("round {round}"), 60)
            .await;
        cluster.network.reconnect(cluster.members[away].id);
        cluster.create(&ALL, &format!("after {round}"), 10).await;
        cluster.converge(&ALL).await;
        cluster.members[away].crash().await;
    }
    cluster.create(&ALL, "last", 1).await;
    cluster.converge(&ALL).await;
    cluster.stop().await;
}

/// A store that breaks at the installation of a state, before it happens or after.
struct Breaking {
    inner: MemStore,
    after: bool,
    broken: Arc<AtomicBool>,
}

struct BreakingRows {
    inner: Box<dyn CompleteRows>,
    after: bool,
    broken: Arc<AtomicBool>,
}

struct BreakingStage {
    inner: Box<dyn StagedRows>,
    after: bool,
    broken: Arc<AtomicBool>,
}

impl Store for Breaking {
    fn partition(&self, partition: PartitionId) -> Result<Arc<dyn Rows>, TableFault> {
        self.inner.partition(partition)
    }

    fn import(
        &self,
        partition: PartitionId,
        dir: &std::path::Path,
    ) -> Result<Arc<dyn Rows>, TableFault> {
        self.inner.import(partition, dir)
    }

    fn stage(&self, partition: PartitionId) -> Result<Box<dyn StagedRows>, TableFault> {
        Ok(Box::new(BreakingStage {
            inner: self.inner.stage(partition)?,
            after: self.after,
            broken: self.broken.clone(),
        }))
    }

    fn partitions(&self) -> Result<Vec<PartitionId>, TableFault> {
        self.inner.partitions()
    }

    fn remove(&self, partition: PartitionId) -> Result<(), TableFault> {
        self.inner.remove(partition)
    }

    fn node_fact(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.inner.node_fact(key)
    }

    fn put_node_fact(&self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.inner.put_node_fact(key, value)
    }
}

impl StagedRows for BreakingStage {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.inner.put(key, value)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn CompleteRows>, TableFault> {
        Ok(Box::new(BreakingRows {
            inner: self.inner.finish()?,
            after: self.after,
            broken: self.broken,
        }))
    }
}

impl CompleteRows for BreakingRows {
    fn install(self: Box<Self>) -> Result<Arc<dyn Rows>, TableFault> {
        if self.after {
            drop(self.inner.install()?);
        }
        self.broken.store(true, Ordering::Relaxed);
        Err(TableFault {
            place: "installation".to_owned(),
            reason: "the disk is gone".to_owned(),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_a_state_is_taken_over_leaves_the_old_or_the_new_one() {
    for after in [false, true] {
        let (mut cluster, away) = with_one_left_behind(Config::default()).await;
        cluster.members[away].purge().await;
        let before = cluster.members[away].rows_at();
        let broken = Arc::new(AtomicBool::new(false));
        let member = &mut cluster.members[away];
        member.through = Arc::new(Breaking {
            inner: member.store.clone(),
            after,
            broken: broken.clone(),
        });
        member.crash().await;
        cluster.network.reconnect(cluster.members[away].id);
        until(|| broken.load(Ordering::Relaxed)).await;
        let faults = cluster.members[away].faults.clone();
        until(|| !faults.lock().is_empty()).await;
        let fault = faults.lock().drain(..).collect::<Vec<_>>();
        assert!(fault[0].contains("the disk is gone"), "{fault:?}");

        let member = &mut cluster.members[away];
        member.through = Arc::new(member.store.clone());
        member.crash().await;
        let there = cluster.members[away].rows_at();
        assert_eq!(there > before, after, "{there:?} was {before:?}");
        cluster.create(&ALL, "after", 5).await;
        cluster.converge(&ALL).await;
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_hands_out_work() {
    let cluster = Cluster::start(3, Config::default()).await;
    cluster.create(&ALL, "instance", 3).await;
    cluster.converge(&ALL).await;
    for _ in 0..3 {
        let leader = cluster.leader(&ALL).await;
        for at in ALL {
            let figures = cluster.members[at].partition().figures();
            let expected = if at == leader { (true, 3) } else { (false, 0) };
            assert_eq!((figures.leads, figures.queued), expected);
        }
        // Who waits at a leader is sent away when another one leads.
        let partition = cluster.members[leader].partition();
        let waiting = tokio::spawn({
            let partition = partition.clone();
            async move { partition.wait(&key("instance 0"), WaitFor::Ended).await }
        });
        until(|| partition.figures().waiters == 1).await;
        let next = cluster.members[(leader + 1) % 3].id;
        let handed = partition.group().transfer_leader(next).await;
        handed.expect("reachable");
        assert!(waiting.await.expect("no panic").is_err());
        until(|| !partition.figures().leads).await;
    }
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_never_ahead_of_the_log_of_their_node() {
    for interval in [0, 1_000] {
        let config = Config {
            checkpoint_interval: Duration::from_millis(interval),
            ..Config::default()
        };
        let mut cluster = Cluster::start(3, config).await;
        cluster.create(&ALL, "before", 3).await;
        cluster.converge(&ALL).await;
        let slow = (cluster.leader(&ALL).await + 1) % 3;
        cluster.members[slow].stalled.send_replace(true);
        cluster.create(&ALL, "meanwhile", 20).await;
        let member = &cluster.members[slow];
        let partition = member.partition();
        until(|| partition.group().progress().applied > member.log.durable_index()).await;
        let begun = tokio::time::Instant::now();
        until(|| begun.elapsed() > Duration::from_secs(10)).await;
        assert!(partition.group().progress().applied > member.log.durable_index());
        assert!(member.rows_at() <= member.log.durable_index());
        drop(partition);

        cluster.members[slow].stalled.send_replace(false);
        cluster.create(&ALL, "after", 1).await;
        cluster.converge(&ALL).await;
        let member = &cluster.members[slow];
        let applied = member.partition().group().progress().applied;
        until(|| member.rows_at() == applied).await;
        cluster.members[slow].crash().await;
        cluster.create(&ALL, "once more", 1).await;
        cluster.converge(&ALL).await;
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_removed_begins_anew_elsewhere_or_again() {
    let mut cluster = Cluster::start(3, Config::default()).await;
    cluster.create(&ALL, "before", 30).await;
    cluster.converge(&ALL).await;
    let leader = cluster.leader(&ALL).await;
    let (moved, new) = ((leader + 1) % 3, cluster.add().await);
    let group = cluster.members[leader].partition().group().clone();
    let node = cluster.members[new].id;
    group.add_learner(node).await.expect("leads");
    until(|| group.membership().learners.get(&node) == Some(&Some(0))).await;
    let staying: Vec<usize> = (0..4).filter(|at| *at != moved).collect();
    let voters = staying.iter().map(|at| cluster.members[*at].id).collect();
    group.change_voters(voters).await.expect("leads");

    // Its replica and its data go, even if nobody remembers that they have gone already.
    let member = &cluster.members[moved];
    for _ in 0..2 {
        let store = Arc::new(member.store.clone());
        let discarded = member
            .partitions
            .discard(PARTITION, &member.log, store)
            .await;
        discarded.expect("removed, or nothing there");
    }
    assert!(member.partitions.hosted(PARTITION).is_none());
    assert_eq!((member.log.last(), member.log.purged()), (None, None));
    assert!(member.log.vote().is_some(), "how it voted is not forgotten");
    assert_eq!(member.store.partitions().expect("memory"), []);
    cluster.create(&staying, "without it", 30).await;
    cluster.converge(&staying).await;
    for at in &staying {
        cluster.members[*at].purge().await;
    }

    // Hosted again it is empty, and gets everything.
    cluster.members[moved].crash().await;
    let again = cluster.members[moved].partition();
    assert_eq!(again.group().progress().applied, None);
    assert!(again.group().membership().voters.is_empty());
    let leader = cluster.leader(&staying).await;
    let group = cluster.members[leader].partition().group().clone();
    group
        .add_learner(cluster.members[moved].id)
        .await
        .expect("leads");
    cluster.create(&staying, "with it", 5).await;
    cluster.converge(&[0, 1, 2, 3]).await;
    drop(again);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_majority_stops_in_time() {
    let cluster = Cluster::start(3, Config::default()).await;
    cluster.create(&ALL, "before", 3).await;
    let leader = cluster.leader(&ALL).await;
    for at in others(leader) {
        cluster.network.cut_off(cluster.members[at].id);
    }
    let partition = cluster.members[leader].partition();
    let stuck = tokio::spawn(async move { partition.propose(creation("lost")).await });
    let queued = cluster.members[leader].partition();
    until(|| !queued.shared.core.lock().calls.is_empty()).await;
    let begun = tokio::time::Instant::now();
    cluster.members[leader].partitions.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    let outcome = stuck.await.expect("no panic");
    assert!(
        matches!(outcome, Err(ProposeError::Unknown(_))),
        "{outcome:?}"
    );
    assert!(
        cluster.members[leader]
            .partitions
            .hosted(PARTITION)
            .is_none()
    );
    for at in others(leader) {
        cluster.network.reconnect(cluster.members[at].id);
    }
    let others = others(leader);
    cluster.create(&others, "after", 3).await;
    cluster.converge(&others).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_hosted_once_and_founded_where_it_is() {
    let cluster = Cluster::start(1, Config::default()).await;
    cluster.create(&[0], "instance", 1).await;
    let member = &cluster.members[0];
    let voters = BTreeSet::from([member.id]);
    let again = member.partitions.found(PARTITION, voters.clone()).await;
    again.expect("does nothing");
    let rows = member.store.partition(PARTITION).expect("memory");
    let count = PartitionCount::new(1).expect("a power of two");
    let new = longhaul_engine::tables::PartitionState::new(PARTITION, count);
    let tables = PartitionTables::open(rows, new, 0).expect("readable");
    let log = member.log.clone();
    let second = member.partitions.host(PARTITION, tables, log, None).await;
    assert!(matches!(second, Err(StartError::Hosted(PARTITION))));
    member.partitions.retire(PARTITION).await;
    let nowhere = member.partitions.found(PARTITION, voters).await;
    assert!(matches!(nowhere, Err(StartError::NotHosted(PARTITION))));
    member.host().await;
    let leader = cluster.leader(&[0]).await;
    let view = cluster.members[leader].partition();
    assert!(
        view.view(&key("instance 0"))
            .await
            .expect("leads")
            .is_some()
    );
    let repeated = view.propose(creation("instance 0")).await;
    assert_eq!(repeated.expect("leads"), Reply::Done);
    drop(view);
    cluster.stop().await;
}
