//! Groups of several replicas, over every network between nodes of one process.

use std::collections::BTreeMap;

use longhaul_peer::MemoryLinks;
use tokio::task::JoinHandle;

use super::*;
use crate::network::{InProcess, RemoteConfig};

/// The networks between nodes of one process.
#[derive(Clone)]
enum Wires {
    Calls(InProcess),
    Links(MemoryLinks),
}

/// Which of them.
#[derive(Clone, Copy)]
enum Kind {
    Calls,
    Links,
}

impl Wires {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Calls => Self::Calls(InProcess::new()),
            Kind::Links => Self::Links(MemoryLinks::new()),
        }
    }

    fn of(&self, node: u64) -> Network {
        match self {
            Self::Calls(network) => network.network(),
            Self::Links(links) => {
                let config = RemoteConfig {
                    snapshot_thread: CheckpointThread::Caller,
                    // Several requests for what the tests propose at once.
                    message_bytes: 200,
                    window_requests: 8,
                    ..RemoteConfig::default()
                };
                Network::remote(NodeId(node), links.of(NodeId(node)), config)
            }
        }
    }

    fn cut_off(&self, node: NodeId) {
        match self {
            Self::Calls(network) => network.cut_off(node),
            Self::Links(links) => links.cut_off(node),
        }
    }

    fn reconnect(&self, node: NodeId) {
        match self {
            Self::Calls(network) => network.reconnect(node),
            Self::Links(links) => links.reconnect(node),
        }
    }
}

/// The same tests over every network, each in a module of its own.
macro_rules! over_every_network {
    ($($test:ident),* $(,)?) => {
        mod calls {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test(super::Kind::Calls).await;
            })*
        }
        mod links {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test(super::Kind::Links).await;
            })*
        }
    };
}

mod beginning;
mod divergence;
mod gray;
mod members;
mod rejoin;

over_every_network!(
    two_of_three_go_on_without_their_leader,
    a_follower_behind_the_log_gets_the_state_instead,
    reads_wait_for_what_a_majority_knows,
    leadership_can_be_handed_over,
    a_node_that_was_away_does_not_depose_the_leader,
    a_node_that_was_set_back_gets_nothing_more,
    a_vote_outlives_a_crash,
);

/// Voters, and what was acknowledged to whom asked them.
struct Cluster {
    nodes: Vec<Node>,
    groups: Vec<Option<Group>>,
    network: Wires,
    acknowledged: Vec<Bytes>,
    proposed: usize,
}

impl Cluster {
    async fn start(size: u64, kind: Kind) -> Self {
        let network = Wires::new(kind);
        let nodes: Vec<Node> = (1..=size).map(|id| Node::new(id, network.of(id))).collect();
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

async fn two_of_three_go_on_without_their_leader(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
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

async fn a_follower_behind_the_log_gets_the_state_instead(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
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

async fn reads_wait_for_what_a_majority_knows(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
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

async fn leadership_can_be_handed_over(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 10).await;
    let (at, old, old_term) = cluster.leader(&[0, 1, 2]).await;
    let next = (at + 1) % 3;
    let trigger = old.0.raft.trigger();
    let asked = trigger.transfer_leader(cluster.nodes[next].id).await;
    asked.expect("running");
    let begun = time::Instant::now();
    let (led, _, term) = eventually("the other leads", || {
        let group = cluster.groups[next].as_ref()?;
        let seen = *group.leadership().borrow();
        seen.is_leader.then(|| (next, group.clone(), seen.term))
    })
    .await;
    assert_eq!(led, next);
    assert!(term > old_term);
    let config = GroupConfig::default();
    assert!(
        begun.elapsed() < config.election_timeout_min,
        "nobody waited for an election"
    );
    cluster.propose(&[next], 10).await;
    cluster.converge().await;
    cluster.stop().await;
}

async fn a_node_that_was_away_does_not_depose_the_leader(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 1).await;
    let (at, _, term) = cluster.leader(&[0, 1, 2]).await;
    let away = (at + 1) % 3;
    cluster.network.cut_off(cluster.nodes[away].id);
    // tidy: the clock is paused; long enough for many elections it cannot win.
    time::sleep(20 * GroupConfig::default().election_timeout_max).await;
    let seen = cluster.groups[away].as_ref().expect("running").leadership();
    assert_eq!(
        seen.borrow().term,
        term,
        "it asked before it voted for itself"
    );
    cluster.network.reconnect(cluster.nodes[away].id);
    cluster.propose(&[0, 1, 2], 10).await;
    cluster.converge().await;
    let (still, _, still_term) = cluster.leader(&[0, 1, 2]).await;
    assert_eq!((still, still_term), (at, term));
    cluster.stop().await;
}

async fn a_node_that_was_set_back_gets_nothing_more(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 20).await;
    cluster.converge().await;
    let (leader, group, term) = cluster.leader(&[0, 1, 2]).await;
    let back = (leader + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|other| *other != back).collect();
    let node = cluster.nodes[back].clone();
    let older = (node.disk.fork(), node.ledger.fork());
    cluster.propose(&[0, 1, 2], 20).await;
    cluster.converge().await;

    cluster.groups[back].take().expect("running").stop().await;
    (cluster.nodes[back].disk, cluster.nodes[back].ledger) = older;
    cluster.groups[back] = Some(cluster.nodes[back].start().await.expect("starts"));
    cluster.propose(&others, 20).await;
    // tidy: the clock is paused; long enough for many attempts.
    time::sleep(20 * GroupConfig::default().election_timeout_max).await;
    cluster.propose(&others, 1).await;
    assert_eq!(
        group.leadership().borrow().term,
        term,
        "and stays the leader"
    );
    let has = cluster.nodes[back].ledger.commands();
    assert!(has.len() <= 20, "{} entries", has.len());

    // Emptied, and no member meanwhile, it is as good as new.
    cluster.groups[back].take().expect("running").stop().await;
    let staying = others.iter().map(|at| cluster.nodes[*at].id).collect();
    group.change_voters(staying).await.expect("leads");
    cluster.nodes[back].disk = LogDisk::default();
    cluster.nodes[back].ledger = Ledger::default();
    cluster.groups[back] = Some(cluster.nodes[back].start().await.expect("starts"));
    let added = group.add_learner(cluster.nodes[back].id).await;
    added.expect("leads");
    cluster.propose(&others, 1).await;
    cluster.converge().await;
    drop(group);
    cluster.stop().await;
}

async fn a_vote_outlives_a_crash(kind: Kind) {
    let mut cluster = Cluster::start(3, kind).await;
    cluster.propose(&[0, 1, 2], 1).await;
    cluster.converge().await;
    let (leader, _, _) = cluster.leader(&[0, 1, 2]).await;
    for at in (0..3).filter(|at| *at != leader) {
        let before = *cluster.groups[at]
            .as_ref()
            .expect("running")
            .leadership()
            .borrow();
        cluster.network.cut_off(cluster.nodes[at].id);
        cluster.groups[at] = None;
        cluster.nodes[at].disk.crash();
        let group = cluster.nodes[at].start().await.expect("starts");
        let mut after = group.leadership();
        let after = *after.wait_for(|seen| seen.term > 0).await.expect("running");
        assert!(after.term >= before.term, "{after:?} after {before:?}");
        assert!(!after.is_leader);
        // What it has applied may be old, and it says so.
        assert!(group.read_barrier().await.is_err());
        cluster.groups[at] = Some(group);
        cluster.network.reconnect(cluster.nodes[at].id);
        cluster.propose(&[0, 1, 2], 1).await;
        cluster.converge().await;
    }
    cluster.stop().await;
}

fn the_same_seeds_elect_the_same_leader(kind: Kind) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(async {
            let begun = time::Instant::now();
            let mut cluster = Cluster::start(3, kind).await;
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

#[test]
fn the_same_seeds_elect_the_same_leader_over_calls() {
    the_same_seeds_elect_the_same_leader(Kind::Calls);
}

#[test]
fn the_same_seeds_elect_the_same_leader_over_links() {
    the_same_seeds_elect_the_same_leader(Kind::Links);
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
async fn survives(size: u64, kind: Kind, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut cluster = Cluster::start(size, kind).await;
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

fn survives_all(size: u64, kind: Kind, seeds: std::ops::Range<u64>) {
    let mut acknowledged = 0;
    for seed in seeds {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        acknowledged += runtime.block_on(survives(size, kind, seed));
    }
    assert!(
        acknowledged > 1_000,
        "runs in which nothing happens show nothing"
    );
}

#[test]
fn one_voter_survives_anything() {
    survives_all(1, Kind::Calls, 0..20);
}

#[test]
fn three_voters_survive_anything() {
    survives_all(3, Kind::Calls, 0..20);
}

#[test]
fn three_voters_survive_anything_over_links() {
    survives_all(3, Kind::Links, 0..20);
}
