//! Three groups of three replicas on three nodes, over TCP on this machine, in real time.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, future::join_all};
use longhaul_peer::{
    AddressBook, BackoffConfig, ClusterId, Dial, GrpcConfig, GrpcLinks, GrpcSetup, Identity,
    Security, Socket,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time,
};

use super::*;
use crate::{
    Group, GroupConfig, GroupSetup, ProposeError,
    testing::{Ledger, LogDisk},
};

const GROUPS: [GroupId; 3] = [GroupId(1), GroupId(2), GroupId(3)];

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a test does to the connections to one node.
#[derive(Clone)]
pub(super) struct Wire {
    stalled: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    connections: watch::Sender<usize>,
}

impl Wire {
    fn new() -> Self {
        Self {
            stalled: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        }
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets a stalled node be reached again, without what was on its way.
    fn bring_back(&self) {
        self.cut();
        self.stalled.send_replace(false);
    }

    async fn flows(&self) {
        let mut stalled = self.stalled.subscribe();
        stalled.wait_for(|stalled| !stalled).await.expect("kept");
    }

    /// Carries bytes both ways until one side ends or the wire is cut.
    async fn carry(self, near: tokio::io::DuplexStream, far: TcpStream) {
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = far.into_split();
        let mut cuts = self.cuts.subscribe();
        tokio::select! {
            // What is cut carries nothing more, even if it flows again.
            biased;
            _ = cuts.changed() => {}
            _ = self.copy(near_read, far_write) => {}
            _ = self.copy(far_read, near_write) => {}
        }
    }

    async fn copy(
        &self,
        mut from: impl tokio::io::AsyncRead + Unpin,
        mut to: impl tokio::io::AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            self.flows().await;
            to.write_all(&buffer[..read]).await?;
        }
    }
}

/// Connections through wires, by the port they lead to.
#[derive(Clone, Default)]
pub(super) struct Wires(Arc<Mutex<BTreeMap<u16, Wire>>>);

impl Dial for Wires {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Socket>> {
        let wires = self.0.clone();
        async move {
            let address: SocketAddr = address.parse().map_err(io::Error::other)?;
            let wire = wires.lock().get(&address.port()).cloned();
            let wire = wire.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
            let far = TcpStream::connect(address).await?;
            far.set_nodelay(true)?;
            wire.connections
                .send_modify(|connections| *connections += 1);
            let (near, end) = tokio::io::duplex(16 << 10);
            tokio::spawn(wire.carry(end, far));
            Ok(Socket {
                io: Box::new(near),
                peer: address,
            })
        }
        .boxed()
    }
}

struct Node {
    id: NodeId,
    network: Network,
    /// The connections that others make to it.
    wire: Wire,
    ledgers: Vec<Ledger>,
    disks: Vec<LogDisk>,
    groups: Vec<Group>,
}

struct Cluster {
    nodes: Vec<Node>,
    acknowledged: Vec<Vec<Bytes>>,
}

pub(super) fn timing() -> GroupConfig {
    GroupConfig {
        heartbeat_interval: Duration::from_millis(150),
        election_timeout_min: Duration::from_millis(800),
        election_timeout_max: Duration::from_millis(1_200),
        quorum_loss_probe_interval: Duration::from_millis(2_400),
        snapshot_timeout: Duration::from_secs(10),
        ..GroupConfig::default()
    }
}

impl Cluster {
    async fn start(config: RemoteConfig) -> Self {
        let book = AddressBook::default();
        let wires = Wires::default();
        let mut nodes = Vec::new();
        for id in 1..=3 {
            let node = Node::start(id, &book, &wires, &config).await;
            nodes.push(node);
        }
        for at in 0..GROUPS.len() {
            let voters = nodes.iter().map(|node| node.id).collect();
            nodes[at].groups[at]
                .initialize(voters)
                .await
                .expect("running");
        }
        Self {
            nodes,
            acknowledged: vec![Vec::new(); GROUPS.len()],
        }
    }

    /// The node that leads a group, its replica there, and the term.
    async fn leader(&self, group: usize) -> (usize, Group, u64) {
        eventually("a leader", || {
            let leaders = self.nodes.iter().enumerate().filter_map(|(at, node)| {
                let replica = node.groups[group].clone();
                let seen = *replica.leadership().borrow();
                seen.is_leader.then_some((at, replica, seen.term))
            });
            leaders.max_by_key(|(_, _, term)| *term)
        })
        .await
    }

    /// Proposes until so many more are acknowledged, `batch` at a time.
    async fn propose(&mut self, group: usize, count: usize, batch: usize) {
        let goal = self.acknowledged[group].len() + count;
        let mut attempt = 0;
        while self.acknowledged[group].len() < goal {
            attempt += 1;
            let (_, replica, term) = self.leader(group).await;
            let proposals = (0..batch).map(|n| {
                let commands = Bytes::from(format!("{group}.{goal}.{attempt}.{n}"));
                let proposed = replica.propose(term, commands.clone());
                async move { (commands, proposed.await) }
            });
            let results = time::timeout(DEADLINE, join_all(proposals)).await;
            for (commands, result) in results.expect("proposals end") {
                match result {
                    Ok(_) => self.acknowledged[group].push(commands),
                    Err(ProposeError::Stopped(stopped)) => panic!("{stopped}"),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        }
    }

    /// Waits until all replicas have applied the same, and each acknowledged entry once.
    async fn converge(&self, group: usize) {
        let acknowledged = &self.acknowledged[group];
        let ledger = |node: &Node| node.ledgers[group].commands();
        eventually("all replicas are alike", || {
            let first = ledger(&self.nodes[0]);
            let alike = self.nodes.iter().all(|node| ledger(node) == first);
            let complete = acknowledged.iter().all(|commands| first.contains(commands));
            (alike && complete).then_some(())
        })
        .await;
        let applied = ledger(&self.nodes[0]);
        for commands in acknowledged {
            let times = applied.iter().filter(|found| *found == commands).count();
            assert_eq!(times, 1, "{commands:?}");
        }
    }

    async fn stop(self) {
        for node in &self.nodes {
            join_all(node.groups.iter().map(Group::stop)).await;
        }
    }
}

/// The links of one node, and the wire that leads to it.
pub(super) async fn start_links(
    id: u64,
    book: &AddressBook,
    wires: &Wires,
) -> (Arc<GrpcLinks>, Wire) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let wire = Wire::new();
    wires.0.lock().insert(address.port(), wire.clone());
    book.set(NodeId(id), Some(address.to_string()));
    let links = GrpcLinks::start(GrpcSetup {
        identity: Identity {
            cluster: ClusterId([9; 16]),
            node: NodeId(id),
            incarnation: 1,
            process: id,
        },
        config: GrpcConfig {
            backoff: BackoffConfig {
                first: Duration::from_millis(20),
                longest: Duration::from_millis(500),
            },
            seed: id,
            ..GrpcConfig::default()
        },
        security: Security::PlainTextOnLoopback,
        addresses: Arc::new(book.clone()),
        dial: Arc::new(wires.clone()),
        listen: Box::new(listener),
    });
    (Arc::new(links.expect("on loopback")), wire)
}

impl Node {
    async fn start(id: u64, book: &AddressBook, wires: &Wires, config: &RemoteConfig) -> Self {
        let (links, wire) = start_links(id, book, wires).await;
        let network = Network::remote(NodeId(id), links, config.clone());
        let mut node = Self {
            id: NodeId(id),
            network,
            wire,
            ledgers: vec![(); GROUPS.len()]
                .into_iter()
                .map(|()| Ledger::default())
                .collect(),
            disks: vec![(); GROUPS.len()]
                .into_iter()
                .map(|()| LogDisk::default())
                .collect(),
            groups: Vec::new(),
        };
        for at in 0..GROUPS.len() {
            let group = node.start_group(at).await;
            node.groups.push(group);
        }
        node
    }

    async fn start_group(&self, at: usize) -> Group {
        let setup = GroupSetup {
            id: GROUPS[at],
            node: self.id,
            config: timing(),
            log: self.disks[at].open(GROUPS[at]),
            machine: self.ledgers[at].machine(),
            network: self.network.clone(),
            seed: self.id.0 * 10 + at as u64,
            on_fault: Arc::new(|group, fault| panic!("{group}: {fault}")),
        };
        Group::start(setup).await.expect("starts")
    }
}

/// Waits for a condition, but not for ever.
async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        // tidy: between two looks at a condition with a deadline.
        time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn groups_elect_replicate_and_hand_over() {
    let mut cluster = Cluster::start(RemoteConfig::default()).await;
    for group in 0..GROUPS.len() {
        cluster.propose(group, 40, 20).await;
    }
    for group in 0..GROUPS.len() {
        cluster.converge(group).await;
    }
    let (at, old, old_term) = cluster.leader(0).await;
    old.read_barrier().await.expect("a majority answers");
    let next = (at + 1) % 3;
    let trigger = old.raft().trigger();
    let asked = trigger.transfer_leader(cluster.nodes[next].id).await;
    asked.expect("running");
    eventually("the other leads", || {
        let seen = *cluster.nodes[next].groups[0].leadership().borrow();
        (seen.is_leader && seen.term > old_term).then_some(())
    })
    .await;
    cluster.propose(0, 10, 1).await;
    cluster.converge(0).await;
    cluster.stop().await;
}

#[tokio::test]
async fn links_that_break_in_the_middle_of_appends_lose_nothing() {
    let mut cluster = Cluster::start(RemoteConfig {
        message_bytes: 100,
        ..RemoteConfig::default()
    })
    .await;
    cluster.propose(0, 1, 1).await;
    let wires: Vec<Wire> = cluster.nodes.iter().map(|node| node.wire.clone()).collect();
    let connections =
        |wires: &[Wire]| -> usize { wires.iter().map(|wire| *wire.connections.borrow()).sum() };
    let before = connections(&wires);
    let progress = watch::Sender::new(0);
    let cutting = tokio::spawn({
        let (wires, mut progress) = (wires.clone(), progress.subscribe());
        async move {
            // A cut with each round of proposals, while they are on their way.
            while progress.changed().await.is_ok() {
                let round: usize = *progress.borrow_and_update();
                wires[round % wires.len()].cut();
            }
        }
    });
    for round in 0..12 {
        progress.send_replace(round);
        cluster.propose(0, 30, 30).await;
    }
    drop(progress);
    cutting.await.expect("no panic");
    assert!(connections(&wires) >= before + 4, "links did break");
    cluster.converge(0).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_stalled_node_does_not_hold_back_the_others() {
    let mut cluster = Cluster::start(RemoteConfig::default()).await;
    for group in 0..GROUPS.len() {
        cluster.propose(group, 5, 5).await;
    }
    let (leader, _, term) = cluster.leader(0).await;
    let stalled = (leader + 1) % 3;
    cluster.nodes[stalled].wire.stalled.send_replace(true);
    let before = cluster.nodes[stalled].ledgers[0].commands().len();
    cluster.propose(0, 200, 50).await;
    assert_eq!(
        cluster.leader(0).await.2,
        term,
        "the leader is still the same"
    );
    let behind = cluster.nodes[stalled].ledgers[0].commands().len();
    assert!(behind < before + 200, "it was stalled indeed");
    cluster.nodes[stalled].wire.stalled.send_replace(false);
    for group in 0..GROUPS.len() {
        cluster.converge(group).await;
    }
    cluster.stop().await;
}

/// Leaves a follower of group 0 behind the log of the others; answers which.
async fn leave_behind(cluster: &mut Cluster) -> usize {
    cluster.propose(0, 10, 10).await;
    cluster.converge(0).await;
    let (leader, _, _) = cluster.leader(0).await;
    let away = (leader + 1) % 3;
    cluster.nodes[away].wire.stalled.send_replace(true);
    cluster.propose(0, 300, 100).await;
    for at in (0..3).filter(|at| *at != away) {
        let replica = &cluster.nodes[at].groups[0];
        let last = cluster.acknowledged[0].last().expect("proposed").clone();
        let ledger = &cluster.nodes[at].ledgers[0];
        eventually("applied", || {
            ledger.commands().contains(&last).then_some(())
        })
        .await;
        let durable = replica.checkpoint().await.expect("running");
        let durable = durable.map(|position| position.index);
        eventually("purged", || {
            (replica.progress().purged >= durable).then_some(())
        })
        .await;
    }
    away
}

#[tokio::test]
async fn a_replica_behind_the_log_gets_the_state() {
    let mut cluster = Cluster::start(RemoteConfig::default()).await;
    let away = leave_behind(&mut cluster).await;
    assert_eq!(cluster.nodes[away].ledgers[0].staged().finished, 0);
    cluster.nodes[away].wire.bring_back();
    cluster.propose(0, 5, 1).await;
    cluster.converge(0).await;
    assert!(cluster.nodes[away].ledgers[0].staged().finished > 0);
    let durable = cluster.nodes[away].ledgers[0].disk().commands.len();
    assert!(durable >= 300, "the state that arrived is durable");
    cluster.stop().await;
}

#[tokio::test]
async fn a_state_that_breaks_off_is_not_installed() {
    let mut cluster = Cluster::start(RemoteConfig {
        // Slow enough to be cut in the middle.
        snapshot_bytes_per_second: NonZeroU64::new(8_000),
        ..RemoteConfig::default()
    })
    .await;
    let away = leave_behind(&mut cluster).await;
    let durable = cluster.nodes[away].ledgers[0].disk();
    let staged = |cluster: &Cluster| cluster.nodes[away].ledgers[0].staged();
    cluster.nodes[away].wire.bring_back();
    eventually("a state arrives", || {
        (staged(&cluster).begun > 0).then_some(())
    })
    .await;
    cluster.nodes[away].wire.cut();
    eventually("it broke off", || {
        (staged(&cluster).dropped_early > 0).then_some(())
    })
    .await;
    if staged(&cluster).finished == 0 {
        assert_eq!(cluster.nodes[away].ledgers[0].disk(), durable);
    }
    eventually("another arrives", || {
        (staged(&cluster).finished > 0).then_some(())
    })
    .await;
    assert!(staged(&cluster).begun > 1, "from the beginning");
    cluster.propose(0, 5, 1).await;
    cluster.converge(0).await;
    cluster.stop().await;
}
