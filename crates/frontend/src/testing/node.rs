//! The real service over real partitions: only the log's files, the store, the time and the task hubs are in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longhaul_engine::tables::PartitionState;
use longhaul_partition::{Clock, Partitions, Setup, SystemRandomness};
use longhaul_peer::MemoryLinks;
use longhaul_replication::{GroupConfig, GroupId, Network, NodeId};
use longhaul_routing::{ClusterSetup, Router, RouterSetup};
use longhaul_storage::{MemStore, PartitionTables, Store};
use longhaul_types::{HubId, HubName, PartitionCount, Timestamp};
use longhaul_wal::testing::SimFiles;
use longhaul_wal::{Identity, Wal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxFuture;

use super::Connection;
use super::client::{Client, client};
use crate::{ChangeRefused, Config, Dependencies, Existing, Hubs, Server, UnknownHub, service};

/// The hub of calls that name none.
pub(crate) const HUB: &str = "default";
/// Another one.
pub(crate) const OTHER_HUB: &str = "other";

/// Few, so that going over it is cheap.
pub(crate) const PENDING_EVENTS_MAX: usize = 32;

/// More than one, so that what is asked of all of them has to be put together.
const PARTITIONS: u16 = 4;

const NODE: NodeId = NodeId(1);
const NEIGHBOUR: NodeId = NodeId(2);

/// A running node.
pub(crate) struct Node {
    pub(crate) partitions: Partitions,
    service: Server,
    wal: Arc<Wal>,
}

impl Node {
    /// A node of its own.
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_among(config, None).await
    }

    /// A node that leads everything, beside another one through which it can be reached.
    pub(crate) async fn start_beside(config: Config) -> (Self, Neighbour) {
        let links = MemoryLinks::new();
        let node = Self::start_among(config.clone(), Some(&links)).await;
        let partitions = Partitions::new(setup(NEIGHBOUR));
        let neighbour = Neighbour(serve(NEIGHBOUR, partitions, Some(&links), config));
        (node, neighbour)
    }

    async fn start_among(config: Config, links: Option<&MemoryLinks>) -> Self {
        config.validate().expect("valid");
        let identity = Identity {
            cluster_id: [3; 16],
            node_id: NODE.0,
        };
        let files = Arc::new(SimFiles::default());
        let wal_config = longhaul_wal::Config {
            segment_bytes: 1 << 20,
            ..longhaul_wal::Config::new("/wal")
        };
        let wal = Arc::new(Wal::open(wal_config, identity, files).expect("a new log"));
        let store = MemStore::new();
        let replicas = count().all().zip(1..).map(|(id, group)| {
            let rows = store.partition(id).expect("memory");
            let state = PartitionState::new(id, count());
            let tables = PartitionTables::open(rows, state, usize::MAX).expect("memory");
            (tables, wal.group(GroupId(group)))
        });
        let partitions = Partitions::start(setup(NODE), replicas.collect());
        let partitions = partitions.await.expect("starts");
        Self {
            service: serve(NODE, partitions.clone(), links, config),
            partitions,
            wal,
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.service.clone()).await
    }

    pub(crate) fn client(&self) -> Client {
        client(self.service.clone())
    }

    /// Changes with anything that is stored.
    pub(crate) fn state(&self) -> Vec<u128> {
        let digests = self.partitions.iter().map(|it| it.state_digest());
        digests.map(|digest| digest.expect("memory")).collect()
    }

    pub(crate) async fn stop(self) {
        self.partitions.stop().await;
        drop(self.wal);
    }
}

/// A node that has no replica of anything.
pub(crate) struct Neighbour(Server);

impl Neighbour {
    pub(crate) fn client(&self) -> Client {
        client(self.0.clone())
    }
}

fn count() -> PartitionCount {
    PartitionCount::new(PARTITIONS).expect("a power of two")
}

fn setup(node: NodeId) -> Setup {
    Setup {
        count: count(),
        node,
        config: longhaul_partition::Config {
            pending_events_max: PENDING_EVENTS_MAX,
            ..longhaul_partition::Config::default()
        },
        group_config: GroupConfig::default(),
        network: Network::none(),
        courier: None,
        clock: Arc::new(Noon),
        randomness: Arc::new(SystemRandomness::default()),
        token_key: [8; 32],
        on_fault: Arc::new(|_, fault| panic!("{fault}")),
    }
}

fn serve(
    node: NodeId,
    partitions: Partitions,
    links: Option<&MemoryLinks>,
    config: Config,
) -> Server {
    let randomness = Arc::new(SystemRandomness::default());
    let cluster = links.map(|links| ClusterSetup {
        links: links.of(node),
        members: watch::channel(BTreeSet::from([NODE, NEIGHBOUR])).1,
        replicas: Arc::new(|_| vec![NODE]),
    });
    let router = Router::new(RouterSetup {
        node,
        partitions,
        cluster,
        hold: Duration::from_secs(5),
        randomness: randomness.clone(),
    });
    service(Dependencies {
        router,
        hubs: Arc::new(TwoHubs),
        clock: Arc::new(Noon),
        randomness,
        draining: CancellationToken::new(),
        config,
    })
}

/// The time stands still, so that nothing changes by itself.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }
    }
}

/// Two hubs that nobody may change; a third, `full`, has no room.
struct TwoHubs;

impl Hubs for TwoHubs {
    fn resolve(&self, name: &HubName) -> Result<HubId, UnknownHub> {
        match name.folded().as_str() {
            HUB => Ok(HubId(1)),
            OTHER_HUB => Ok(HubId(2)),
            _ => Err(UnknownHub { name: name.clone() }),
        }
    }

    fn first_use(&self, name: HubName) -> BoxFuture<Option<HubId>, ChangeRefused> {
        let resolved = self.resolve(&name).ok();
        Box::pin(async move { Ok(resolved) })
    }

    fn create(&self, name: HubName, _: Existing) -> BoxFuture<(), ChangeRefused> {
        let refused = match name.folded().as_str() {
            "full" => ChangeRefused::TooMany { max: 2 },
            _ => not_allowed(),
        };
        Box::pin(async { Err(refused) })
    }

    fn delete(&self, _: HubName) -> BoxFuture<(), ChangeRefused> {
        Box::pin(async { Err(not_allowed()) })
    }
}

fn not_allowed() -> ChangeRefused {
    ChangeRefused::NotAllowed {
        list: "hubs.create",
        switch: "hubs.manage_over_rpc",
    }
}
