//! Nodes of one partition in memory, on a paused clock: one for itself, or several in a [`cluster`].

pub(crate) mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::message::Creation;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::{Command, InstanceKey, Reply};
use longhaul_replication::{CheckpointThread, GroupConfig, GroupId, Network, NodeId};
use longhaul_storage::{MemStore, PartitionTables, Store};
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionCount, PartitionId, Timestamp};
use longhaul_wal::testing::SimFiles;
use longhaul_wal::{Hooks, Identity, Progress, Wal};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::{
    Capabilities, Clock, Config, Partition, Partitions, Randomness, Session, SessionSpec, Setup,
};

pub(crate) const HUB: HubId = HubId(1);

/// A running node.
pub(crate) struct Node {
    pub(crate) partitions: Partitions,
    /// While true, the log takes nothing, and so nothing is committed.
    stalled: watch::Sender<bool>,
}

/// The paused clock.
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    /// Counts from now.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let begin = Timestamp {
            seconds: 1_000_000,
            nanos: 0,
        };
        begin + self.0.elapsed()
    }
}

/// Different every time, and the same in every run.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Counting {
    /// Begins elsewhere, so that several nodes draw different numbers.
    pub(crate) fn starting(at: u64) -> Self {
        Self(AtomicU64::new(at))
    }
}

impl Randomness for Counting {
    fn fill(&self, out: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        out.fill(0);
        let len = out.len().min(8);
        out[..len].copy_from_slice(&number.to_le_bytes()[..len]);
    }
}

impl Node {
    pub(crate) async fn start(config: Config) -> Self {
        let (stalled, stalls) = watch::channel(false);
        let count = PartitionCount::new(1).expect("a power of two");
        let rows = MemStore::new().partition(PartitionId(0)).expect("memory");
        let state = PartitionState::new(PartitionId(0), count);
        let tables = PartitionTables::open(rows, state, usize::MAX).expect("memory");
        let setup = Setup {
            count,
            node: NodeId(1),
            config: Config {
                checkpoint_thread: CheckpointThread::Caller,
                ..config
            },
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            network: Network::none(),
            courier: None,
            clock: Arc::new(TokioClock::new()),
            randomness: Arc::new(Counting::default()),
            token_key: [5; 32],
            on_fault: Arc::new(|_, fault| panic!("{fault}")),
        };
        let partitions =
            Partitions::start(setup, vec![(tables, log(&SimFiles::default(), 1, stalls))])
                .await
                .expect("starts");
        Self {
            partitions,
            stalled,
        }
    }

    pub(crate) fn partition(&self) -> &Partition {
        self.partitions.get(PartitionId(0)).expect("the only one")
    }

    /// Lets commands wait, or lets them be committed again.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    pub(crate) async fn create(&self, id: &str) {
        let reply = self.partition().propose(creation(id)).await;
        assert_eq!(reply.expect("committed"), Reply::Done);
    }

    pub(crate) fn stream(&self, limit: u32) -> Session {
        self.partitions.sessions().open(SessionSpec {
            hub: HUB,
            worker_id: None,
            limits: [limit; 3],
            filters: None,
            capabilities: Capabilities::default(),
        })
    }
}

/// Creates an instance.
pub(crate) fn creation(id: &str) -> Command {
    let creation = Creation {
        execution: ExecutionId::new(format!("execution of {id}")),
        name: "A".into(),
        version: None,
        input: None,
        scheduled_start: None,
        tags: None,
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    };
    Command::CreateInstance(Box::new(CreateInstance {
        key: key(id),
        creation,
        reuse: ReusePolicy::Default,
    }))
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

pub(crate) fn key(id: &str) -> InstanceKey {
    InstanceKey::new(HUB, InstanceId::trusted(id))
}

/// The log of a node's only partition, written to by a job of the current runtime, since a paused clock waits for no other
/// thread. While `stalled` is true it takes nothing.
pub(crate) fn log(
    files: &SimFiles,
    node_id: u64,
    mut stalled: watch::Receiver<bool>,
) -> longhaul_replication::GroupLog {
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
        node_id,
    };
    let (wal, mut writer) = Wal::open_unthreaded(config, identity, Arc::new(files.clone()))
        .expect("a log that was at most crashed");
    let log = wal.group(GroupId(1));
    tokio::spawn(async move {
        loop {
            // What a disk takes to sync.
            tokio::time::sleep(Duration::from_millis(1)).await;
            // The node is gone once nobody can stall it any more.
            let _ = stalled.wait_for(|stalled| !*stalled).await;
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
    log
}
