//! Clusters form over calls that get lost, among nodes that start and crash at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use longhaul_types::NodeId;
use parking_lot::Mutex;
use proptest::{collection, prelude::*};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time;

use super::{founding, join};
use crate::catalog::{Command, Join, Reply};
use crate::formation::{
    Admitted, Begin, Belonging, Call, CallFailure, Denied, Description, Desk, Formation,
    FormationError, FormationSetup, Invitation, Peer, Settled, Standing, Way,
};
use crate::testing::{Disk, Nodes, eventually};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Who answers where, and how much gets lost.
#[derive(Clone, Default)]
struct Net(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    desks: BTreeMap<Box<str>, Arc<Desk>>,
    /// Out of 100.
    lost: u64,
    random: u64,
}

impl Net {
    fn chance(&self) -> bool {
        let mut wires = self.0.lock();
        wires.random = wires
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (wires.random >> 33) % 100 < wires.lost
    }

    /// Answers, unless the question or the answer is lost.
    fn call<T: Send + 'static>(
        &self,
        address: &str,
        answer: impl FnOnce(Arc<Desk>) -> futures::future::BoxFuture<'static, Result<T, Denied>>
        + Send
        + 'static,
    ) -> Call<T> {
        let (net, address) = (self.clone(), Box::<str>::from(address));
        let lost = || CallFailure::Unreachable("lost".to_owned());
        async move {
            // tidy: the clock is paused; what a packet takes.
            time::sleep(Duration::from_millis(3)).await;
            let desk = net.0.lock().desks.get(&address).cloned();
            let Some(desk) = desk.filter(|_| !net.chance()) else {
                return Err(lost());
            };
            let answer = answer(desk).await;
            if net.chance() {
                return Err(lost());
            }
            answer.map_err(|denied| match denied {
                Denied::Later(reason) => CallFailure::Unreachable(reason),
                Denied::Refused(reason) => CallFailure::Refused(reason),
            })
        }
        .boxed()
    }
}

impl Way for Net {
    fn describe(&self, address: &str) -> Call<Description> {
        self.call(address, |desk| async move { Ok(desk.describe()) }.boxed())
    }

    fn invite(&self, address: &str, invitation: Invitation) -> Call<()> {
        self.call(address, |desk| {
            async move { desk.be_invited(invitation) }.boxed()
        })
    }

    fn join(&self, address: &str, join: Join) -> Call<Admitted> {
        self.call(address, |desk| {
            async move { desk.admit(join).await }.boxed()
        })
    }
}

/// A node's directory, and its process if it runs.
struct Node {
    name: &'static str,
    peers: Vec<&'static str>,
    directory: TempDir,
    /// Of this directory, and of the cluster that would be founded from it.
    id: u8,
    running: Option<(Formation, JoinSet<()>)>,
    settled: Arc<Mutex<Option<Result<Settled, FormationError>>>>,
}

impl Node {
    fn new(name: &'static str, id: u8) -> Self {
        Self {
            name,
            peers: NAMES.to_vec(),
            directory: tempfile::tempdir().expect("a directory"),
            id,
            running: None,
            settled: Arc::default(),
        }
    }

    fn formation(&self, net: &Net, known: Option<Belonging>) -> Formation {
        let peers = self.peers.iter();
        let setup = FormationSetup {
            me: join(self.name, self.id),
            peers: peers
                .map(|name| Peer {
                    name: (*name).into(),
                    address: format!("{name}:8083").into(),
                })
                .collect(),
            known,
            begin: Begin::WithPeers,
            founding: founding(self.id),
            record: self.directory.path().join("formation.bin"),
            sync: false,
            way: Arc::new(net.clone()),
        };
        Formation::new(setup).expect("a record that can be read")
    }

    fn start(&mut self, net: &Net) {
        if self.running.is_some() {
            return;
        }
        let formation = self.formation(net, None);
        let address = join(self.name, self.id).addresses.peers;
        net.0.lock().desks.insert(address, formation.desk());
        let (mut job, settled) = (JoinSet::new(), self.settled.clone());
        *settled.lock() = None;
        let settling = formation.clone();
        job.spawn(async move {
            let outcome = settling.settle().await;
            *settled.lock() = Some(outcome);
        });
        self.running = Some((formation, job));
    }

    fn crash(&mut self, net: &Net) {
        let address = join(self.name, self.id).addresses.peers;
        net.0.lock().desks.remove(&address);
        self.running = None;
    }

    fn wipe(&mut self, net: &Net, id: u8) {
        self.crash(net);
        *self = Self::new(self.name, id);
    }

    /// Where it belongs, by what it has written down.
    fn recorded(&self) -> Option<Belonging> {
        let formation = self.formation(&Net::default(), None);
        formation.desk().describe().belongs
    }

    fn settled(&self) -> Option<Belonging> {
        let settled = self.settled.lock();
        let settled = settled.as_ref()?.as_ref().expect("lists are equal");
        Some(Belonging {
            cluster_id: settled.cluster_id,
            node: settled.node_id,
        })
    }
}

#[derive(Clone, Debug)]
enum Event {
    Start(usize),
    Crash(usize),
    Wipe(usize),
    Pass(u64),
    Lose(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0_usize..3;
    prop_oneof![
        5 => node.clone().prop_map(Event::Start),
        3 => node.clone().prop_map(Event::Crash),
        1 => node.prop_map(Event::Wipe),
        6 => prop_oneof![1_u64..10, 100_u64..2_000].prop_map(Event::Pass),
        2 => (0_u64..90).prop_map(Event::Lose),
    ]
}

/// Lets all of it happen, then lets nothing be lost, and says whether a directory was wiped.
async fn happen(events: Vec<Event>, seed: u64) -> Result<bool, TestCaseError> {
    let net = Net::default();
    net.0.lock().random = seed;
    let mut nodes: Vec<Node> = NAMES
        .iter()
        .zip(1..)
        .map(|(name, id)| Node::new(name, id))
        .collect();
    let (mut ids, mut wiped) = (3, false);
    let mut clusters = BTreeSet::new();
    for event in events {
        match event {
            Event::Start(node) => nodes[node].start(&net),
            Event::Crash(node) => nodes[node].crash(&net),
            Event::Wipe(node) => {
                ids += 1;
                wiped = true;
                nodes[node].wipe(&net, ids);
            }
            Event::Lose(lost) => net.0.lock().lost = lost,
            // tidy: the clock is paused.
            Event::Pass(millis) => time::sleep(Duration::from_millis(millis)).await,
        }
        let recorded: Vec<_> = nodes.iter().filter_map(Node::recorded).collect();
        let now: BTreeSet<_> = recorded.iter().map(|it| it.cluster_id).collect();
        prop_assert!(now.len() <= 1, "two clusters: {now:?}");
        let distinct: BTreeSet<_> = recorded.iter().map(|it| it.node).collect();
        prop_assert_eq!(distinct.len(), recorded.len(), "an id given twice");
        clusters.extend(now);
    }
    prop_assert!(
        wiped || clusters.len() <= 1,
        "one after another: {clusters:?}"
    );
    if wiped {
        return Ok(true);
    }
    net.0.lock().lost = 0;
    nodes.iter_mut().for_each(|node| node.start(&net));
    for (node, id) in nodes.iter().zip(1..) {
        let settled = eventually("every node belongs to the cluster", || node.settled()).await;
        prop_assert_eq!(settled.node, NodeId(id));
        clusters.insert(settled.cluster_id);
        prop_assert_eq!(node.recorded(), Some(settled));
    }
    prop_assert_eq!(clusters, BTreeSet::from([[1; 16]]));
    Ok(false)
}

proptest! {
    #[test]
    fn there_is_never_a_second_cluster(
        events in collection::vec(event(), 0..40),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(happen(events, seed))?;
    }
}

fn three() -> Vec<Node> {
    let names = NAMES.iter().zip(1..);
    names.map(|(name, id)| Node::new(name, id)).collect()
}

/// Far longer than a round takes.
async fn rounds() {
    // tidy: the clock is paused.
    time::sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_says_for_whom() {
    let net = Net::default();
    let mut nodes = three();
    nodes[0].start(&net);
    nodes[1].start(&net);
    rounds().await;
    assert!(nodes.iter().all(|node| node.recorded().is_none()));
    for node in &nodes[..2] {
        let (formation, _) = node.running.as_ref().expect("it runs");
        let standing = formation.status().borrow().clone();
        let said = standing.to_string();
        assert!(matches!(standing, Standing::Waiting(_)), "{said}");
        assert!(said.contains("c does not answer"), "{said}");
    }
    nodes[2].start(&net);
    for node in &nodes {
        eventually("a cluster", || node.settled()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_one_asks_nobody() {
    for peers in [vec![], vec!["a"]] {
        let mut node = Node::new("a", 1);
        node.peers = peers;
        let formation = node.formation(&Net::default(), None);
        let settled = formation.settle().now_or_never().expect("at once");
        let settled = settled.expect("settled");
        assert_eq!((settled.cluster_id, settled.node_id), ([1; 16], NodeId(1)));
        let first = settled.first.expect("it begins the cluster");
        assert_eq!(first.nodes, [join("a", 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn different_lists_are_an_error_that_names_the_difference() {
    let net = Net::default();
    let mut nodes = three();
    nodes[1].peers = vec!["a", "b"];
    nodes.iter_mut().for_each(|node| node.start(&net));
    let outcome = nodes[0].settled.clone();
    let error = eventually("an error", || {
        let outcome = outcome.lock().take()?;
        Some(outcome.expect_err("the lists differ").to_string())
    })
    .await;
    assert!(
        error.contains("a, b, c") && error.contains("b of a, b;"),
        "{error}"
    );
    assert!(nodes.iter().all(|node| node.recorded().is_none()));
}

#[tokio::test(start_paused = true)]
async fn the_wrong_node_at_an_address_and_a_copied_directory_found_nothing() {
    let net = Net::default();
    let mut nodes = three();
    nodes.iter_mut().for_each(|node| node.start(&net));
    {
        let mut wires = net.0.lock();
        let b = wires.desks["b:8083"].clone();
        wires.desks.insert("c:8083".into(), b);
    }
    rounds().await;
    assert!(nodes.iter().all(|node| node.recorded().is_none()));
    let (formation, _) = nodes[0].running.as_ref().expect("it runs");
    let said = formation.status().borrow().to_string();
    assert!(
        said.contains("c is expected at c:8083, but there is b"),
        "{said}"
    );

    let net = Net::default();
    let mut nodes = three();
    nodes[2].id = 2;
    nodes.iter_mut().for_each(|node| node.start(&net));
    let outcome = nodes[0].settled.clone();
    let error = eventually("an error", || outcome.lock().take()).await;
    let error = error.expect_err("one directory, two nodes");
    assert!(
        matches!(error, FormationError::SameDirectory(..)),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_directory_says_and_what_was_written_down_must_agree() {
    let net = Net::default();
    let mut nodes = three();
    nodes.iter_mut().for_each(|node| node.start(&net));
    let b = eventually("a cluster", || nodes[1].settled()).await;
    nodes[1].crash(&net);
    let again = nodes[1].formation(&net, Some(b)).settle().await;
    let again = again.expect("it is what it was");
    assert_eq!((again.cluster_id, again.node_id), (b.cluster_id, b.node));
    assert_eq!(again.first.expect("one of the first").nodes.len(), 3);

    let other = Belonging {
        cluster_id: [9; 16],
        ..b
    };
    let setup = |known| {
        let record = nodes[1].directory.path().join("formation.bin");
        Formation::new(FormationSetup {
            me: join("b", 2),
            peers: Vec::new(),
            known,
            begin: Begin::WithPeers,
            founding: founding(2),
            record,
            sync: false,
            way: Arc::new(net.clone()),
        })
    };
    let refused = setup(Some(other)).map(drop).expect_err("another cluster");
    assert!(
        matches!(refused, FormationError::OtherRecord { .. }),
        "{refused}"
    );
    let path = nodes[1].directory.path().join("formation.bin");
    std::fs::write(path, b"damaged").expect("written");
    let damaged = setup(None).map(drop).expect_err("damaged");
    assert!(matches!(damaged, FormationError::Record(_)), "{damaged}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_begin_a_cluster_alone_and_others_join_it() {
    let net = Net::default();
    let mut nodes = three();
    let formation = {
        let mut alone = Node::new("b", 2);
        std::mem::swap(&mut alone.directory, &mut nodes[1].directory);
        let formation = Formation::new(FormationSetup {
            me: join("b", 2),
            peers: vec![],
            known: None,
            begin: Begin::Alone,
            founding: founding(2),
            record: nodes[1].directory.path().join("other.bin"),
            sync: false,
            way: Arc::new(net.clone()),
        });
        formation.expect("new")
    };
    let settled = formation.settle().now_or_never().expect("at once");
    let first = settled.expect("settled").first.expect("it begins");
    let mut cluster = Nodes::new(first);
    cluster.start(NodeId(1)).await;
    cluster.until(1, "the catalog", |_| Some(())).await;
    formation.admit_by(cluster.at(1).clone());
    net.0.lock().desks.insert("b:8083".into(), formation.desk());

    nodes[0].start(&net);
    let a = eventually("it has joined", || nodes[0].settled()).await;
    assert_eq!((a.cluster_id, a.node), ([2; 16], NodeId(2)));
    let (joined, _) = nodes[0].running.as_ref().expect("it runs");
    let whereabouts = joined.whereabouts().borrow().clone();
    assert_eq!(whereabouts[&NodeId(1)].as_ref(), "b:8083");
}

#[tokio::test(start_paused = true)]
async fn a_wiped_directory_joins_as_another_node_when_the_old_one_is_silent() {
    let net = Net::default();
    let mut nodes = three();
    nodes.iter_mut().for_each(|node| node.start(&net));
    let mut first = None;
    for node in &nodes {
        eventually("a cluster", || node.settled()).await;
        let settled = node.settled.lock();
        let settled = settled.as_ref().and_then(|it| it.as_ref().ok());
        first = settled.expect("settled").first.clone();
    }
    let mut cluster = Nodes::new(first.expect("the first nodes"));
    for (node, id) in nodes.iter().zip(1..) {
        cluster.start(NodeId(id)).await;
        let (formation, _) = node.running.as_ref().expect("it runs");
        formation.admit_by(cluster.at(id).clone());
    }
    cluster.until(3, "the catalog", |_| Some(())).await;

    // While the old process is still heard of, the new one waits, and says why.
    nodes[2].wipe(&net, 9);
    nodes[2].start(&net);
    rounds().await;
    let (formation, _) = nodes[2].running.as_ref().expect("it runs");
    let said = formation.status().borrow().to_string();
    assert!(said.contains("the name c belongs to node 3"), "{said}");
    cluster.kill(NodeId(3));
    let new = eventually("another id", || nodes[2].settled()).await;
    assert_eq!(new.node, NodeId(4));
    cluster.disks.insert(new.node, (Disk::new(), join("c", 9)));
    cluster.start(new.node).await;
    cluster
        .until(4, "the old id leaves", |catalog| {
            let replaced = catalog.members.get(NodeId(3));
            replaced
                .is_none_or(|it| it.replaced_by == Some(NodeId(4)))
                .then_some(())
        })
        .await;
    let asked = cluster.at(4).propose(Command::Join(join("c", 9))).await;
    assert_eq!(asked, Ok(Reply::Joined(NodeId(4))));
}
