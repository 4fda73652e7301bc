//! Groups of one and of three replicas, on a paused clock and simulated disks.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use parking_lot::Mutex as PlainMutex;
use tokio::{task::JoinHandle, time};

use super::*;
use crate::{
    GroupFault,
    config::CheckpointThread,
    network::InProcess,
    testing::{FAULT, Ledger, LogDisk, PANIC},
};

const GROUP: GroupId = GroupId(3);

/// What a node keeps when its process dies, and what its process has told.
#[derive(Clone)]
struct Node {
    id: NodeId,
    disk: LogDisk,
    ledger: Ledger,
    network: Network,
    /// The fault of the newest replica.
    fault: Arc<PlainMutex<watch::Sender<Option<String>>>>,
}

impl Node {
    fn new(id: u64, network: Network) -> Self {
        let fault = Arc::new(PlainMutex::new(watch::Sender::new(None)));
        Self {
            id: NodeId(id),
            disk: LogDisk::default(),
            ledger: Ledger::default(),
            network,
            fault,
        }
    }

    async fn start(&self) -> Result<Group, StartError> {
        let faults = watch::Sender::new(None);
        *self.fault.lock() = faults.clone();
        let config = GroupConfig {
            checkpoint_thread: CheckpointThread::Caller,
            ..GroupConfig::default()
        };
        let setup = GroupSetup {
            id: GROUP,
            node: self.id,
            config,
            log: self.disk.open(GROUP),
            machine: self.ledger.machine(),
            network: self.network.clone(),
            seed: self.id.0,
            on_fault: Arc::new(move |group, fault: GroupFault| {
                assert_eq!(group, GROUP);
                let earlier = faults.send_replace(Some(fault.to_string()));
                assert_eq!(earlier, None, "one fault ends a replica");
            }),
        };
        Group::start(setup).await
    }

    async fn start_single(&self) -> (Group, u64) {
        let group = self.start().await.expect("starts");
        group.initialize_single().await.expect("running");
        let leadership = group.wait_for_leadership().await.expect("running");
        (group, leadership.term)
    }

    async fn fault(&self) -> String {
        let mut fault = self.fault.lock().subscribe();
        let fault = fault
            .wait_for(Option::is_some)
            .await
            .expect("the node keeps its sender");
        fault.clone().expect("waited for")
    }
}

fn single() -> Node {
    Node::new(1, Network::none())
}

fn commands(n: usize) -> Bytes {
    format!("commands {n}").into()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(commands).collect()
}

async fn propose_all(group: &Group, term: u64, range: std::ops::Range<usize>) -> Vec<Position> {
    let proposals: Vec<_> = range.map(|n| group.propose(term, commands(n))).collect();
    join_all(proposals)
        .await
        .into_iter()
        .map(|position| position.expect("applied"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn entries_are_applied_in_the_order_of_the_proposals() {
    let node = single();
    let (group, term) = node.start_single().await;
    group
        .initialize_single()
        .await
        .expect("a second time does nothing");

    let positions = propose_all(&group, term, 0..500).await;

    assert_eq!(node.ledger.commands(), numbered(0..500));
    assert!(
        positions
            .iter()
            .zip(&positions[1..])
            .all(|(before, after)| before < after)
    );
    assert!(group.0.solo.leads());
    assert_eq!(group.read_barrier().await, Ok(()));
    assert_eq!(group.progress().applied, Some(positions[499].index));
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn proposals_of_another_leadership_are_refused() {
    let node = single();
    let (group, term) = node.start_single().await;

    let leader = Some(node.id);
    assert_eq!(
        group.propose(term - 1, commands(0)).await,
        Err(ProposeError::NotLeader { leader })
    );
    assert_eq!(
        group.propose(term + 1, commands(0)).await,
        Err(ProposeError::NotLeader { leader })
    );
    propose_all(&group, term, 1..2).await;

    assert_eq!(node.ledger.commands(), numbered(1..2));
    group.stop().await;
    assert_eq!(
        group.propose(term, commands(2)).await,
        Err(ProposeError::Stopped(Stopped))
    );
    assert_eq!(group.read_barrier().await, Err(ReadError::Stopped(Stopped)));
    assert_eq!(group.checkpoint().await, Err(Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_up_the_answer_not_the_entry() {
    let node = single();
    let (group, term) = node.start_single().await;
    drop(group.propose(term, commands(0)));
    propose_all(&group, term, 1..2).await;
    assert_eq!(node.ledger.commands(), numbered(0..2));
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_applies_again_what_it_had_acknowledged() {
    let node = single();
    let (group, first_term) = node.start_single().await;
    propose_all(&group, first_term, 0..100).await;
    drop(group);
    node.disk.crash();

    let (group, second_term) = node.start_single().await;
    assert_eq!(node.ledger.commands(), numbered(0..100));
    assert!(
        second_term > first_term,
        "a term names one leadership of one process"
    );
    propose_all(&group, second_term, 100..101).await;
    assert_eq!(node.ledger.commands(), numbered(0..101));
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_where_recovery_begins_and_the_log_may_end() {
    let node = single();
    let (group, term) = node.start_single().await;
    let positions = propose_all(&group, term, 0..100).await;

    let durable = group.checkpoint().await.expect("running");
    assert_eq!(durable, positions.last().copied());
    assert_eq!(group.checkpoint().await, Ok(durable), "nothing new");
    assert_eq!(node.ledger.disk().commands.len(), 100);
    purged(&group, durable).await;
    propose_all(&group, term, 100..110).await;
    drop(group);
    node.disk.crash();

    // The ledger refuses entries it has already.
    let (group, term) = node.start_single().await;
    assert_eq!(node.ledger.commands(), numbered(0..110));
    propose_all(&group, term, 110..111).await;
    let durable = group.checkpoint().await.expect("running");
    purged(&group, durable).await;
    drop(group);
    node.disk.crash();

    // Nothing is left of the log but where it continues.
    let (group, term) = node.start_single().await;
    propose_all(&group, term, 111..112).await;
    assert_eq!(node.ledger.commands(), numbered(0..112));
    group.stop().await;
}

async fn purged(group: &Group, upto: Option<Position>) {
    let upto = upto.map(|position| position.index);
    eventually("the log is purged", || {
        (group.progress().purged >= upto).then_some(())
    })
    .await;
}

/// Waits for a condition on the paused clock, so in no time, but not for ever.
async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(value) = condition() {
            return value;
        }
        // tidy: the clock is paused.
        time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn a_checkpoint_may_block_a_thread_of_its_own() {
    let node = single();
    let config = GroupConfig {
        checkpoint_thread: CheckpointThread::Blocking,
        ..GroupConfig::default()
    };
    let setup = GroupSetup {
        id: GROUP,
        node: node.id,
        config,
        log: node.disk.open(GROUP),
        machine: node.ledger.machine(),
        network: Network::none(),
        seed: 1,
        on_fault: Arc::new(|_, fault| panic!("{fault}")),
    };
    let group = Group::start(setup).await.expect("starts");
    group.initialize_single().await.expect("running");
    let term = group.wait_for_leadership().await.expect("running").term;
    propose_all(&group, term, 0..3).await;
    group.checkpoint().await.expect("running");
    assert_eq!(node.ledger.disk().commands.len(), 3);
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_replica_has_let_go_of_its_machine() {
    let node = single();
    let (group, _) = node.start_single().await;
    assert!(node.ledger.has_machine());
    group.stop().await;
    assert!(!node.ledger.has_machine());
    assert!(!group.leadership().borrow().is_leader);
    assert!(group.wait_for_leadership().await.is_err());
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_machine_stops_its_replica() {
    let node = single();
    let (group, term) = node.start_single().await;
    let last = group.propose(term, Bytes::from_static(FAULT));
    assert_eq!(last.await, Err(ProposeError::Unknown));
    assert!(node.fault().await.contains("asked to break"));
    closed(group.leadership()).await;
    assert_eq!(
        group.propose(term, commands(0)).await,
        Err(ProposeError::Stopped(Stopped))
    );
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_machine_stops_its_replica() {
    let node = single();
    let (group, term) = node.start_single().await;
    let last = group.propose(term, Bytes::from_static(PANIC));
    assert_eq!(last.await, Err(ProposeError::Unknown));
    assert!(node.fault().await.contains("panicked"));
    closed(group.leadership()).await;
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_log_stops_its_replica() {
    let node = single();
    let (group, term) = node.start_single().await;
    propose_all(&group, term, 0..1).await;
    node.disk.fail();
    let lost = group.propose(term, commands(1));
    assert_eq!(lost.await, Err(ProposeError::Unknown));
    assert!(node.fault().await.contains("the log failed"));
    closed(group.leadership()).await;
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_done_before_the_group_begins() {
    let node = single();
    let group = node.start().await.expect("starts");
    assert_eq!(
        group.propose(0, commands(0)).await,
        Err(ProposeError::NotLeader { leader: None })
    );
    assert_eq!(
        group.read_barrier().await,
        Err(ReadError::NotLeader { leader: None })
    );
    assert_eq!(group.checkpoint().await, Ok(None));
    group.stop().await;
}

/// Voters, and what was acknowledged to whom asked them.
struct Cluster {
    nodes: Vec<Node>,
    groups: Vec<Option<Group>>,
    network: InProcess,
    acknowledged: Vec<Bytes>,
    proposed: usize,
}

impl Cluster {
    async fn start(size: u64) -> Self {
        let network = InProcess::new();
        let nodes: Vec<Node> = (1..=size)
            .map(|id| Node::new(id, network.network()))
            .collect();
        let mut groups = Vec::new();
        for node in &nodes {
            groups.push(Some(node.start().await.expect("starts")));
        }
        let cluster = Self {
            nodes,
            groups,
            network,
            acknowledged: Vec::new(),
            proposed: 0,
        };
        let voters = cluster.nodes.iter().map(|node| node.id).collect();
        cluster
            .running()
            .next()
            .expect("at least one")
            .1
            .initialize(voters)
            .await
            .expect("running");
        cluster
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.groups
            .iter()
            .enumerate()
            .filter_map(|(at, group)| group.as_ref().map(|group| (at, group)))
    }

    /// The leader among these nodes.
    async fn leader(&self, among: &[usize]) -> (usize, Group, u64) {
        eventually("a leader", || {
            let leaders = self.running().filter(|(at, _)| among.contains(at));
            let leaders =
                leaders.map(|(at, group)| (at, group.clone(), *group.leadership().borrow()));
            let newest = leaders
                .filter(|(_, _, seen)| seen.is_leader)
                .max_by_key(|(_, _, seen)| seen.term);
            newest.map(|(at, group, seen)| (at, group, seen.term))
        })
        .await
    }

    /// Proposes until `count` entries more are acknowledged by the leader among these nodes.
    async fn propose(&mut self, among: &[usize], count: usize) {
        let goal = self.acknowledged.len() + count;
        while self.acknowledged.len() < goal {
            let (_, group, term) = self.leader(among).await;
            let commands = commands(self.proposed);
            self.proposed += 1;
            match group.propose(term, commands.clone()).await {
                Ok(_) => self.acknowledged.push(commands),
                Err(ProposeError::RetryHere | ProposeError::NotLeader { .. }) => {
                    // tidy: the clock is paused.
                    time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until all nodes have applied the same, all that was acknowledged, each entry once.
    async fn converge(&self) {
        let last = self.acknowledged.last().expect("something was proposed");
        for node in &self.nodes {
            eventually("all have applied", || {
                node.ledger.commands().contains(last).then_some(())
            })
            .await;
        }
        let applied = self.nodes[0].ledger.commands();
        for node in &self.nodes {
            assert_eq!(node.ledger.commands(), applied);
        }
        let in_order: Vec<_> = applied
            .iter()
            .filter(|commands| self.acknowledged.contains(commands))
            .collect();
        assert_eq!(in_order, self.acknowledged.iter().collect::<Vec<_>>());
    }

    async fn stop(self) {
        for (_, group) in self.running() {
            group.stop().await;
        }
        for node in self.nodes {
            assert_eq!(*node.fault.lock().borrow(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_of_three_go_on_without_their_leader() {
    let mut cluster = Cluster::start(3).await;
    cluster.propose(&[0, 1, 2], 50).await;
    cluster.converge().await;

    // Cut off, the leader can neither finish a proposal nor confirm a read.
    let (at, old, old_term) = cluster.leader(&[0, 1, 2]).await;
    let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
    cluster.network.cut_off(cluster.nodes[at].id);
    let lost = tokio::spawn(old.propose(old_term, Bytes::from_static(b"lost")));
    assert_eq!(old.read_barrier().await, Err(ReadError::RetryHere));
    cluster.propose(&others, 50).await;
    let (_, _, new_term) = cluster.leader(&others).await;
    assert!(new_term > old_term);

    // Back again, it follows; what it had promised nobody is gone.
    cluster.network.reconnect(cluster.nodes[at].id);
    assert_eq!(lost.await.expect("no panic"), Err(ProposeError::Unknown));
    cluster.converge().await;
    assert!(
        !cluster.nodes[at]
            .ledger
            .commands()
            .contains(&Bytes::from_static(b"lost"))
    );
    assert!(matches!(
        old.propose(old_term, commands(0)).await,
        Err(ProposeError::NotLeader { .. })
    ));

    // Killed for good, and started again.
    let (at, _, _) = cluster.leader(&[0, 1, 2]).await;
    let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
    drop(old);
    cluster.groups[at] = None;
    cluster.nodes[at].disk.crash();
    cluster.propose(&others, 50).await;
    cluster.groups[at] = Some(cluster.nodes[at].start().await.expect("starts"));
    cluster.propose(&[0, 1, 2], 1).await;
    cluster.converge().await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_behind_the_log_gets_the_state_instead() {
    let mut cluster = Cluster::start(3).await;
    cluster.propose(&[0, 1, 2], 10).await;
    cluster.converge().await;
    let (leader, _, _) = cluster.leader(&[0, 1, 2]).await;
    let away = (leader + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|other| *other != away).collect();

    cluster.network.cut_off(cluster.nodes[away].id);
    cluster.propose(&others, 100).await;
    for (_, group) in cluster.running().filter(|(at, _)| others.contains(at)) {
        let durable = group.checkpoint().await.expect("running");
        purged(group, durable).await;
    }
    cluster.propose(&others, 5).await;
    cluster.network.reconnect(cluster.nodes[away].id);
    cluster.propose(&[0, 1, 2], 5).await;
    cluster.converge().await;
    assert!(
        cluster.nodes[away].ledger.disk().commands.len() >= 110,
        "a state was installed"
    );

    // And continues from there after a crash.
    cluster.groups[away] = None;
    cluster.nodes[away].disk.crash();
    cluster.groups[away] = Some(cluster.nodes[away].start().await.expect("starts"));
    cluster.propose(&[0, 1, 2], 5).await;
    cluster.converge().await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reads_wait_for_what_a_majority_knows() {
    let mut cluster = Cluster::start(3).await;
    cluster.propose(&[0, 1, 2], 3).await;
    let (at, group, _) = cluster.leader(&[0, 1, 2]).await;
    assert!(!group.0.solo.leads());
    assert_eq!(group.read_barrier().await, Ok(()));
    assert_eq!(cluster.nodes[at].ledger.commands(), cluster.acknowledged);
    let (_, follower) = cluster
        .running()
        .find(|(other, _)| *other != at)
        .expect("three");
    let leader = Some(cluster.nodes[at].id);
    assert_eq!(
        follower.read_barrier().await,
        Err(ReadError::NotLeader { leader })
    );
    cluster.stop().await;
}

#[test]
fn the_same_seeds_elect_the_same_leader() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(async {
            let begun = time::Instant::now();
            let mut cluster = Cluster::start(3).await;
            cluster.propose(&[0, 1, 2], 3).await;
            let (at, _, _) = cluster.leader(&[0, 1, 2]).await;
            cluster.network.cut_off(cluster.nodes[at].id);
            let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
            let (second, _, term) = cluster.leader(&others).await;
            cluster.network.reconnect(cluster.nodes[at].id);
            cluster.propose(&[0, 1, 2], 1).await;
            let result = (at, second, term, begun.elapsed());
            cluster.stop().await;
            result
        })
    };
    let first = run();
    for _ in 0..3 {
        assert_eq!(run(), first);
    }
}

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// Proposes a burst to every replica that believes it leads, and does not wait for it.
fn burst(
    cluster: &mut Cluster,
    size: usize,
) -> Vec<JoinHandle<(Bytes, Result<Position, ProposeError>)>> {
    let leaders: Vec<Group> = cluster.running().map(|(_, group)| group.clone()).collect();
    let mut proposals = Vec::new();
    for group in leaders {
        let leadership = *group.leadership().borrow();
        for _ in 0..if leadership.is_leader { size } else { 0 } {
            let commands = commands(cluster.proposed);
            cluster.proposed += 1;
            let result = group.propose(leadership.term, commands.clone());
            proposals.push(tokio::spawn(async move { (commands, result.await) }));
        }
    }
    proposals
}

/// Crashes, cuts and checkpoints in any order, with proposals on their way.
/// Answers how many proposals were acknowledged meanwhile.
async fn survives(size: u64, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut cluster = Cluster::start(size).await;
    let mut proposals = Vec::new();
    for _ in 0..40 {
        let at = dice.below(cluster.nodes.len());
        match dice.below(8) {
            0 => {
                cluster.groups[at] = None;
                cluster.nodes[at].disk.crash();
                // tidy: the clock is paused.
                time::sleep(Duration::from_millis(10 * dice.below(300) as u64)).await;
                cluster.groups[at] = Some(cluster.nodes[at].start().await.expect("starts"));
            }
            1 => cluster.network.cut_off(cluster.nodes[at].id),
            2 => cluster
                .nodes
                .iter()
                .for_each(|node| cluster.network.reconnect(node.id)),
            3 => {
                let group = cluster.groups[at].clone().expect("running");
                tokio::spawn(async move { group.checkpoint().await });
            }
            _ => proposals.extend(burst(&mut cluster, 20)),
        }
        // Sometimes long enough for an election, sometimes not even for a sync.
        match dice.below(3) {
            // tidy: the clock is paused.
            0 => time::sleep(Duration::from_millis(10 * dice.below(300) as u64)).await,
            // tidy: the clock is paused.
            1 => time::sleep(Duration::from_millis(dice.below(5) as u64)).await,
            _ => {}
        }
    }
    cluster
        .nodes
        .iter()
        .for_each(|node| cluster.network.reconnect(node.id));
    let all: Vec<usize> = (0..cluster.nodes.len()).collect();
    cluster.propose(&all, 1).await;
    cluster.converge().await;

    let applied = cluster.nodes[0].ledger.commands();
    let times: BTreeMap<&Bytes, usize> =
        applied.iter().fold(BTreeMap::new(), |mut times, commands| {
            *times.entry(commands).or_default() += 1;
            times
        });
    let mut acknowledged = 0;
    for proposal in proposals {
        let (commands, result) = proposal.await.expect("no panic");
        let times = times.get(&commands).copied().unwrap_or(0);
        match result {
            Ok(_) => assert_eq!(times, 1, "{commands:?} was acknowledged"),
            Err(ProposeError::Unknown) => assert!(times <= 1, "{commands:?}"),
            Err(error) => assert_eq!(times, 0, "{commands:?} was refused: {error}"),
        }
        acknowledged += usize::from(result.is_ok());
    }
    cluster.stop().await;
    acknowledged
}

fn survives_all(size: u64, seeds: std::ops::Range<u64>) {
    let mut acknowledged = 0;
    for seed in seeds {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        acknowledged += runtime.block_on(survives(size, seed));
    }
    assert!(
        acknowledged > 1_000,
        "runs in which nothing happens show nothing"
    );
}

#[test]
fn one_voter_survives_anything() {
    survives_all(1, 0..20);
}

#[test]
fn three_voters_survive_anything() {
    survives_all(3, 0..20);
}
