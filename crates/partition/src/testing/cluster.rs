//! Nodes with a replica each of one partition, over simulated disks and a network that can be cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longhaul_engine::Reply;
use longhaul_engine::tables::PartitionState;
use longhaul_replication::{CheckpointThread, GroupConfig, GroupLog, InProcess, NodeId};
use longhaul_storage::{MemStore, Outgoing, PartitionTables, Store};
use longhaul_types::{PartitionCount, PartitionId};
use longhaul_wal::testing::SimFiles;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Counting, TokioClock, creation, log, until};
use crate::{Config, Partition, Partitions, ProposeError, Setup};

pub(crate) const PARTITION: PartitionId = PartitionId(0);

/// What the log says to those who still wait for it when its process is made to crash.
const LOG_OF_THE_DEAD: &str = "the process that opened the file is gone";

/// The nodes.
pub(crate) struct Cluster {
    pub(crate) network: InProcess,
    pub(crate) members: Vec<Member>,
    config: Config,
}

/// One node: what it keeps when its process dies, and its process.
pub(crate) struct Member {
    pub(crate) id: NodeId,
    pub(crate) store: MemStore,
    /// What its replica takes states over through.
    pub(crate) through: Arc<dyn Store>,
    pub(crate) log: GroupLog,
    pub(crate) partitions: Partitions,
    /// While true, its log takes nothing.
    pub(crate) stalled: watch::Sender<bool>,
    /// Why its replicas could not go on.
    pub(crate) faults: Arc<Mutex<Vec<String>>>,
    files: SimFiles,
    crashes: AtomicU64,
}

impl Cluster {
    /// Nodes that have founded their partition.
    pub(crate) async fn start(nodes: u64, config: Config) -> Self {
        let mut cluster = Self {
            network: InProcess::new(),
            members: Vec::new(),
            config: Config {
                checkpoint_thread: CheckpointThread::Caller,
                ..config
            },
        };
        for _ in 0..nodes {
            cluster.add().await;
        }
        let voters: BTreeSet<NodeId> = cluster.members.iter().map(|it| it.id).collect();
        let founder = &cluster.members[0].partitions;
        founder.found(PARTITION, voters).await.expect("hosted");
        cluster
    }

    /// Another node, with a replica that is nobody's member yet; answers its place.
    pub(crate) async fn add(&mut self) -> usize {
        let id = NodeId(self.members.len() as u64 + 1);
        let (stalled, stalls) = watch::channel(false);
        let files = SimFiles::default();
        let store = MemStore::new();
        let faults = Arc::<Mutex<Vec<String>>>::default();
        let told = faults.clone();
        let partitions = Partitions::new(Setup {
            count: PartitionCount::new(1).expect("a power of two"),
            node: id,
            config: self.config.clone(),
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            network: self.network.network(),
            courier: None,
            clock: Arc::new(TokioClock::new()),
            randomness: Arc::new(Counting::starting(id.0 << 32)),
            token_key: [5; 32],
            on_fault: Arc::new(move |_, fault| {
                if !fault.contains(LOG_OF_THE_DEAD) {
                    told.lock().push(fault);
                }
            }),
        });
        self.members.push(Member {
            id,
            through: Arc::new(store.clone()),
            store,
            log: log(&files, id.0, stalls),
            partitions,
            stalled,
            faults,
            files,
            crashes: AtomicU64::new(0),
        });
        let at = self.members.len() - 1;
        self.members[at].host().await;
        at
    }

    /// The replica among these nodes that leads and serves.
    pub(crate) async fn leader(&self, among: &[usize]) -> usize {
        let leads = |at: &&usize| self.members[**at].leads();
        until(|| among.iter().any(|at| leads(&at))).await;
        let term = |at: &&usize| self.members[**at].partition().leadership().borrow().term;
        *among
            .iter()
            .filter(|at| leads(at))
            .max_by_key(term)
            .expect("just seen")
    }

    /// Creates instances through whoever leads among these nodes.
    pub(crate) async fn create(&self, among: &[usize], prefix: &str, count: usize) {
        for number in 0..count {
            let id = format!("{prefix} {number}");
            loop {
                let leader = self.leader(among).await;
                match self.members[leader]
                    .partition()
                    .propose(creation(&id))
                    .await
                {
                    Ok(Reply::Done) => break,
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => assert!(!matches!(error, ProposeError::Overloaded), "{error}"),
                }
                // tidy: the clock is paused.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until these nodes have the same state.
    pub(crate) async fn converge(&self, among: &[usize]) {
        let applied = |at: &usize| self.members[*at].partition().group().progress().applied;
        let last = |at: &usize| self.members[*at].partition().group().progress().last;
        until(|| {
            let newest = among.iter().map(last).max().expect("some");
            among.iter().all(|at| applied(at) == newest)
        })
        .await;
        let digests: BTreeSet<u128> = among
            .iter()
            .map(|at| {
                self.members[*at]
                    .partition()
                    .state_digest()
                    .expect("memory")
            })
            .collect();
        assert_eq!(digests.len(), 1, "replicas differ");
    }

    pub(crate) async fn stop(self) {
        for member in self.members {
            member.partitions.stop().await;
            assert_eq!(*member.faults.lock(), [""; 0]);
        }
    }
}

impl Member {
    pub(crate) fn partition(&self) -> Partition {
        self.partitions.hosted(PARTITION).expect("hosted")
    }

    pub(crate) fn leads(&self) -> bool {
        let partition = self.partitions.hosted(PARTITION);
        partition.is_some_and(|it| it.leadership().borrow().is_leader)
    }

    /// Starts the replica over what is on the disk.
    pub(crate) async fn host(&self) {
        let rows = self.store.partition(PARTITION).expect("memory");
        let count = PartitionCount::new(1).expect("a power of two");
        let state = PartitionState::new(PARTITION, count);
        let tables = PartitionTables::open(rows, state, usize::MAX).expect("readable");
        let store = Some(self.through.clone());
        let hosted = self
            .partitions
            .host(PARTITION, tables, self.log.clone(), store);
        hosted.await.expect("starts");
    }

    /// Loses what is neither flushed nor synced, and starts again.
    pub(crate) async fn crash(&mut self) {
        self.partitions.retire(PARTITION).await;
        self.files
            .crash(self.crashes.fetch_add(1, Ordering::Relaxed));
        self.store.crash();
        let (stalled, stalls) = watch::channel(false);
        self.log = log(&self.files, self.id.0, stalls);
        self.stalled = stalled;
        self.host().await;
    }

    /// Makes everything durable, and waits until the log begins behind it.
    pub(crate) async fn purge(&self) {
        let partition = self.partition();
        let durable = partition.checkpoint().await.expect("running");
        let durable = durable.map(|position| position.index);
        until(|| partition.group().progress().purged >= durable).await;
    }

    /// Up to which entry there are rows.
    pub(crate) fn rows_at(&self) -> Option<u64> {
        let rows = self.store.partition(PARTITION).expect("memory");
        let written = Outgoing::open(&*rows).expect("memory");
        written.and_then(|it| it.applied()).map(|it| it.index)
    }
}
