//! Three nodes that hold every partition and one that holds none, in one process on a paused clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::message::Creation;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::{Command, InstanceKey, Reply};
use longhaul_partition::{Clock, Config, Partition, Partitions, Randomness, Setup};
use longhaul_peer::{Links, MemoryLinks};
use longhaul_replication::{CheckpointThread, GroupConfig, GroupId, Network, RemoteConfig};
use longhaul_storage::{MemStore, PartitionTables, Store};
use longhaul_types::{
    ExecutionId, HubId, InstanceId, NodeId, PartitionCount, PartitionId, Timestamp,
};
use longhaul_wal::testing::SimFiles;
use longhaul_wal::{Hooks, Identity, Progress, Wal};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cuts::Cuts;
use crate::{ClusterSetup, Home, LateCourier, Router, RouterSetup};

pub(crate) const HUB: HubId = HubId(1);
/// Those with replicas.
pub(crate) const REPLICAS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// The one without.
pub(crate) const BYSTANDER: NodeId = NodeId(4);
pub(crate) const PARTITIONS: u16 = 2;
/// As long as a call is held up.
pub(crate) const HOLD: Duration = Duration::from_secs(5);
/// Events that may wait for an instance.
pub(crate) const PENDING_MAX: usize = 40;

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) links: MemoryLinks,
    _members: watch::Sender<BTreeSet<NodeId>>,
}

pub(crate) struct Node {
    pub(crate) router: Router,
    pub(crate) partitions: Partitions,
    /// Of the links that this node opens.
    pub(crate) cuts: Arc<Cuts>,
}

impl Cluster {
    /// Starts all nodes and waits until every partition is led.
    pub(crate) async fn start() -> Self {
        let links = MemoryLinks::new();
        let all: BTreeSet<NodeId> = REPLICAS.into_iter().chain([BYSTANDER]).collect();
        let members = watch::Sender::new(all.clone());
        let mut nodes = BTreeMap::new();
        for node in all {
            nodes.insert(node, Node::new(node, &links, members.subscribe()));
        }
        for node in REPLICAS {
            nodes[&node].host(node).await;
        }
        for id in count().all() {
            let founder = &nodes[&REPLICAS[usize::from(id.0) % REPLICAS.len()]];
            let founded = founder.partitions.found(id, REPLICAS.into());
            founded.await.expect("begins");
        }
        let cluster = Self {
            nodes,
            links,
            _members: members,
        };
        for id in count().all() {
            cluster.leader(id).await;
        }
        cluster
    }

    pub(crate) fn router(&self, node: NodeId) -> &Router {
        &self.nodes[&node].router
    }

    /// Who leads, once somebody does.
    pub(crate) async fn leader(&self, id: PartitionId) -> NodeId {
        let leads = |node: &NodeId| self.replica(*node, id).is_some_and(|it| leads(&it));
        until(|| REPLICAS.iter().any(leads)).await;
        REPLICAS.into_iter().find(leads).expect("just seen")
    }

    pub(crate) fn replica(&self, node: NodeId, id: PartitionId) -> Option<Partition> {
        self.nodes[&node].partitions.hosted(id)
    }
}

fn leads(partition: &Partition) -> bool {
    partition.leadership().borrow().is_leader
}

impl Node {
    fn new(node: NodeId, links: &MemoryLinks, members: watch::Receiver<BTreeSet<NodeId>>) -> Self {
        let cuts = Arc::new(Cuts::new(links.of(node)));
        let links: Arc<dyn Links> = cuts.clone();
        let courier = LateCourier::new();
        let randomness = Arc::new(Counting(AtomicU64::new(node.0 << 32)));
        let partitions = Partitions::new(Setup {
            count: count(),
            node,
            config: Config {
                checkpoint_thread: CheckpointThread::Caller,
                pending_events_max: PENDING_MAX,
                ..Config::default()
            },
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            network: Network::remote(node, links.clone(), RemoteConfig::default()),
            courier: Some(Arc::new(courier.clone())),
            clock: Arc::new(TokioClock(Instant::now())),
            randomness: randomness.clone(),
            token_key: [5; 32],
            on_fault: Arc::new(|_, fault| panic!("{fault}")),
        });
        let router = Router::new(RouterSetup {
            node,
            partitions: partitions.clone(),
            cluster: Some(ClusterSetup {
                links,
                members,
                replicas: Arc::new(|_| REPLICAS.to_vec()),
            }),
            hold: HOLD,
            randomness,
        });
        router.serve(&courier);
        Self {
            router,
            partitions,
            cuts,
        }
    }

    async fn host(&self, node: NodeId) {
        let wal = log(node);
        let store = MemStore::new();
        for (id, group) in count().all().zip(1..) {
            let rows = store.partition(id).expect("memory");
            let state = PartitionState::new(id, count());
            let tables = PartitionTables::open(rows, state, usize::MAX).expect("memory");
            let hosted = self
                .partitions
                .host(id, tables, wal.group(GroupId(group)), None);
            hosted.await.expect("starts");
        }
    }
}

pub(crate) fn count() -> PartitionCount {
    PartitionCount::new(PARTITIONS).expect("a power of two")
}

pub(crate) fn key(id: &str) -> InstanceKey {
    InstanceKey::new(HUB, InstanceId::trusted(id))
}

/// The number of the partition where the instance lives.
pub(crate) fn partition_of(id: &str) -> PartitionId {
    count().partition_of(HUB, &key(id).id)
}

pub(crate) fn create(id: &str) -> Command {
    Command::CreateInstance(Box::new(CreateInstance {
        key: key(id),
        creation: Creation {
            execution: ExecutionId::new(format!("execution of {id}")),
            name: "A".into(),
            version: None,
            input: Some(Bytes::from(id.to_owned())),
            scheduled_start: None,
            tags: None,
            parent: None,
            parent_trace: None,
            request_fingerprint: 0,
        },
        reuse: ReusePolicy::Default,
    }))
}

pub(crate) fn raise(id: &str) -> Command {
    Command::RaiseEvent {
        key: key(id),
        event: Bytes::from_static(b"event"),
    }
}

pub(crate) fn terminate(id: &str) -> Command {
    Command::Terminate {
        key: key(id),
        output: None,
        recurse: false,
    }
}

/// Proposes what must succeed.
pub(crate) async fn done(home: &Home, command: Command) {
    let reply = home.propose(command).await;
    assert_eq!(reply, Ok(Reply::Done));
}

/// Waits until it is so; fails if that takes a minute.
pub(crate) async fn until(so: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    let looking = async {
        while !so() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .expect("it becomes so");
}

/// The paused clock.
pub(crate) struct TokioClock(pub(crate) Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let begin = Timestamp {
            seconds: 1_000_000,
            nanos: 0,
        };
        begin + self.0.elapsed()
    }
}

/// Different every time and on every node, and the same in every run.
pub(crate) struct Counting(pub(crate) AtomicU64);

impl Randomness for Counting {
    fn fill(&self, out: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        out.fill(0);
        let len = out.len().min(8);
        out[..len].copy_from_slice(&number.to_le_bytes()[..len]);
    }
}

/// A node's log in memory, written to by a job of the current runtime, since a paused clock waits for no other thread.
pub(crate) fn log(node: NodeId) -> Arc<Wal> {
    let work = Arc::new(Notify::new());
    let wake = work.clone();
    let config = longhaul_wal::Config {
        segment_bytes: 1 << 20,
        hooks: Hooks {
            wake: Arc::new(move || wake.notify_one()),
            ..Hooks::default()
        },
        ..longhaul_wal::Config::new("/wal")
    };
    let identity = Identity {
        cluster_id: [7; 16],
        node_id: node.0,
    };
    let files = Arc::new(SimFiles::default());
    let (wal, mut writer) = Wal::open_unthreaded(config, identity, files).expect("a new log");
    let wal = Arc::new(wal);
    let kept = wal.clone();
    tokio::spawn(async move {
        loop {
            // What a disk takes to sync.
            tokio::time::sleep(Duration::from_millis(1)).await; // tidy: simulated disk latency
            match writer.run_once() {
                Progress::Worked => {}
                Progress::Idle => {
                    writer.settle();
                    work.notified().await;
                }
                Progress::Closed => break drop(kept),
            }
        }
    });
    wal
}
