//! What tests of a cluster need around it: nodes in one process with logs on simulated disks, and groups of partitions
//! that exist in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_peer::{Links, MemoryLinks};
use longhaul_replication::{
    CheckpointThread, GroupConfig, GroupId, GroupLog, Network, RemoteConfig,
};
use longhaul_types::{NodeId, PartitionId};
use longhaul_wal::{Config, Identity, Progress, Wal, testing::SimFiles};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time;

use crate::catalog::{Catalog, Join};
use crate::controller::{self, Group};
use crate::meta::{FirstNodes, GROUP, Hosting, Me, Meta, MetaSetup};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until there is something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            // tidy: what is waited for tells nobody; there is a deadline.
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = time::timeout(DEADLINE, found).await;
    found.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A simulated disk with a node's write-ahead log. Clones are the same disk.
#[derive(Clone, Default)]
struct LogDisk {
    files: SimFiles,
    writer: Arc<Mutex<Option<AbortHandle>>>,
}

impl LogDisk {
    /// Opens the log again, and ends whoever wrote to it before.
    fn open(&self) -> GroupLog {
        if let Some(before) = self.writer.lock().take() {
            before.abort();
        }
        self.files.crash(0);
        let work = Arc::new(Notify::new());
        let mut config = Config::new("/wal");
        config.segment_bytes = 64 << 10;
        let wake = work.clone();
        config.hooks.wake = Arc::new(move || wake.notify_one());
        let identity = Identity {
            cluster_id: [7; 16],
            node_id: 1,
        };
        let (wal, mut writer) =
            Wal::open_unthreaded(config, identity, Arc::new(self.files.clone()))
                .expect("a log that was only crashed");
        let log = wal.group(GROUP);
        let writing = tokio::spawn(async move {
            loop {
                // tidy: what a disk takes to sync.
                time::sleep(Duration::from_millis(2)).await;
                match writer.run_once() {
                    Progress::Worked => {}
                    Progress::Idle => {
                        writer.settle();
                        work.notified().await;
                    }
                    Progress::Closed => break drop(wal),
                }
            }
        });
        *self.writer.lock() = Some(writing.abort_handle());
        log
    }
}

/// The groups of partitions, without logs; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Groups(Arc<Mutex<BTreeMap<PartitionId, Group>>>);

impl Groups {
    pub(crate) fn all(&self) -> BTreeMap<PartitionId, Group> {
        self.0.lock().clone()
    }

    /// The replicas of a partition that was placed find each other, and another leads when the leader is gone.
    pub(crate) fn settle(&self, catalog: &Catalog, up: &BTreeSet<NodeId>) {
        let mut groups = self.0.lock();
        for (partition, plan) in catalog.founding.partitions.all().zip(&catalog.plans) {
            let Some(first) = plan.founders.first() else {
                continue;
            };
            let group = groups.entry(partition).or_insert_with(|| Group {
                leader: *first,
                voters: plan.founders.clone(),
                changing: false,
                learners: BTreeMap::new(),
            });
            let mut alive = group.voters.iter().filter(|node| up.contains(node));
            if !up.contains(&group.leader)
                && let Some(next) = alive.next()
            {
                group.leader = *next;
            }
        }
    }

    pub(crate) fn hosting(&self, node: NodeId) -> Arc<dyn Hosting> {
        let groups = self.clone();
        Arc::new(FakeHosting { node, groups })
    }
}

struct FakeHosting {
    node: NodeId,
    groups: Groups,
}

impl FakeHosting {
    fn change(
        &self,
        partition: PartitionId,
        change: impl FnOnce(&mut Group),
    ) -> BoxFuture<'static, Result<(), String>> {
        let mut groups = self.groups.0.lock();
        let group = groups
            .get_mut(&partition)
            .filter(|it| it.leader == self.node);
        let changed = group.map(change).ok_or("another node leads".to_owned());
        async move { changed }.boxed()
    }
}

impl Hosting for FakeHosting {
    fn led(&self) -> Vec<(PartitionId, Group)> {
        let mut groups = self.groups.0.lock();
        let led = groups
            .iter_mut()
            .filter(|(_, group)| group.leader == self.node);
        let seen = led.map(|(partition, group)| {
            // With every look it has caught up a bit.
            for lag in group.learners.values_mut() {
                *lag = Some(lag.map_or(5_000, |lag| lag / 10));
            }
            (*partition, group.clone())
        });
        seen.collect()
    }

    fn add_learner(
        &self,
        partition: PartitionId,
        node: NodeId,
    ) -> BoxFuture<'static, Result<(), String>> {
        self.change(partition, |group| {
            group.learners.insert(node, None);
        })
    }

    fn change_voters(
        &self,
        partition: PartitionId,
        voters: Vec<NodeId>,
    ) -> BoxFuture<'static, Result<(), String>> {
        self.change(partition, |group| {
            for node in &voters {
                group.learners.remove(node);
            }
            if !voters.contains(&group.leader) {
                group.leader = voters[0];
            }
            group.voters = voters;
        })
    }

    fn transfer_leader(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> BoxFuture<'static, Result<(), String>> {
        self.change(partition, |group| group.leader = to)
    }
}

/// What a node has on disk.
pub(crate) struct Disk {
    log: LogDisk,
    files: TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            log: LogDisk::default(),
            files: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Starts a node's part of the meta group, as after a start of its process.
    pub(crate) async fn start(
        &self,
        me: Me,
        first: Option<FirstNodes>,
        links: Arc<dyn Links>,
        groups: &Groups,
    ) -> Meta {
        static STARTS: AtomicU64 = AtomicU64::new(1);
        let node = me.node;
        let remote = RemoteConfig {
            snapshot_thread: CheckpointThread::Caller,
            ..RemoteConfig::default()
        };
        let setup = MetaSetup {
            first,
            state_file: self.file("catalog.bin"),
            sync: false,
            log: self.log.open(),
            network: Network::remote(node, links.clone(), remote),
            links,
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            controller: controller::Config {
                steady_after: Duration::from_secs(2),
                ..controller::Config::default()
            },
            hosting: groups.hosting(node),
            seed: STARTS.fetch_add(1, Ordering::Relaxed),
            on_fault: Arc::new(move |group: GroupId, fault| {
                panic!("node {node}, group {group:?}: {fault}")
            }),
            me,
        };
        Meta::start(setup).await.expect("it starts")
    }
}

/// Nodes that share a process.
pub(crate) struct Nodes {
    pub(crate) links: MemoryLinks,
    pub(crate) groups: Groups,
    pub(crate) first: FirstNodes,
    pub(crate) disks: BTreeMap<NodeId, (Disk, Join)>,
    pub(crate) running: BTreeMap<NodeId, Meta>,
}

impl Nodes {
    /// The first nodes of a cluster, none of which runs.
    pub(crate) fn new(first: FirstNodes) -> Self {
        let disks = first.ids().zip(&first.nodes);
        Self {
            links: MemoryLinks::new(),
            groups: Groups::default(),
            disks: disks
                .map(|(node, join)| (node, (Disk::new(), join.clone())))
                .collect(),
            running: BTreeMap::new(),
            first,
        }
    }

    pub(crate) async fn start(&mut self, node: NodeId) {
        let (disk, join) = &self.disks[&node];
        let mut known = self.first.nodes.iter();
        let is_first = known.any(|first| first.directory == join.directory);
        let me = Me {
            node,
            described: join.clone(),
        };
        let first = is_first.then(|| self.first.clone());
        self.links.reconnect(node);
        let meta = disk
            .start(me, first, self.links.of(node), &self.groups)
            .await;
        self.running.insert(node, meta);
    }

    /// As if its process was killed.
    pub(crate) fn kill(&mut self, node: NodeId) {
        self.running.remove(&node);
        self.links.cut_off(node);
    }

    pub(crate) fn up(&self) -> BTreeSet<NodeId> {
        self.running.keys().copied().collect()
    }

    pub(crate) fn at(&self, node: u64) -> &Meta {
        &self.running[&NodeId(node)]
    }

    pub(crate) async fn leader(&self) -> NodeId {
        eventually("a leader of the meta group", || {
            let leaders = self.running.iter();
            let mut leaders = leaders.filter(|(_, meta)| meta.leadership().borrow().is_leader);
            leaders.next().map(|(node, _)| *node)
        })
        .await
    }

    /// Waits until a node's catalog is as it should be. Partitions find their leaders meanwhile.
    pub(crate) async fn until<T>(
        &self,
        node: u64,
        what: &str,
        mut look: impl FnMut(&Catalog) -> Option<T>,
    ) -> T {
        let catalog = self.at(node).catalog();
        eventually(what, || {
            let catalog = catalog.borrow().clone()?;
            self.groups.settle(&catalog, &self.up());
            look(&catalog)
        })
        .await
    }
}
