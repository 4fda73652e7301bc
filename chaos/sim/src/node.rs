//! One process of the node: the real log, store, groups and partitions over a simulated disk, clock and randomness.

use std::sync::Arc;
use std::time::Duration;

use longhaul_engine::tables::PartitionState;
use longhaul_partition::{Clock, Config, Partitions, Randomness, Setup};
use longhaul_replication::{CheckpointThread, GroupConfig, GroupId, NodeId};
use longhaul_storage::{PartitionTables, Rows, Store};
use longhaul_types::PartitionCount;
use longhaul_wal::{Files, Hooks, Identity, Progress, Wal, Writer};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::randomness::SimRandomness;
use crate::sabotage::{
    DeafFiles, HastyClock, LazyRows, LeakyRows, Sabotage, StaleRows, StuckRandomness,
};
use crate::world::World;

/// A running process.
pub struct Node {
    /// Its partitions.
    pub partitions: Partitions,
    wal: Wal,
    writer: JoinHandle<()>,
}

/// The first reason that a process has to give up.
#[derive(Clone, Default)]
pub struct Faults {
    first: Arc<Mutex<Option<String>>>,
    raised: Arc<Notify>,
}

impl Faults {
    fn raise(&self, reason: String) {
        self.first.lock().get_or_insert(reason);
        self.raised.notify_one();
    }

    /// Waits for the first one.
    pub async fn first(&self) -> String {
        loop {
            if let Some(reason) = self.first.lock().clone() {
                return reason;
            }
            self.raised.notified().await;
        }
    }
}

impl Node {
    /// Starts a process, the `life`th.
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn start(world: &World, life: u32, faults: &Faults) -> Result<Self, String> {
        let plan = world.plan();
        let count = PartitionCount::new(plan.partitions).expect("a power of two");
        let dice = Dice::new(plan.seed, &format!("node {life}"));
        let (wal, writer, work) = open_log(world, faults)?;
        let writer = tokio::spawn(write(writer, work, dice.clone(), plan.sync_millis));
        let replicas = count
            .all()
            .zip(1..)
            .map(|(id, group)| {
                let rows = world.disk().store.partition(id)?;
                let new = PartitionState::new(id, count);
                let tables =
                    PartitionTables::open(sabotaged(world, rows), new, plan.resident_bytes_max)?;
                Ok((tables, wal.group(GroupId(group))))
            })
            .collect::<Result<Vec<_>, longhaul_engine::TableFault>>()
            .map_err(|fault| fault.to_string())?;
        let on_fault = faults.clone();
        let clock: Arc<dyn Clock> = match world.sabotage() {
            Sabotage::HastyClock => Arc::new(HastyClock(Arc::new(world.clock().clone()))),
            _ => Arc::new(world.clock().clone()),
        };
        let randomness: Arc<dyn Randomness> = match world.sabotage() {
            Sabotage::StuckRandomness => Arc::new(StuckRandomness),
            _ => Arc::new(SimRandomness::new(dice)),
        };
        let partitions = Partitions::start(Setup {
            count,
            node: NodeId(1),
            config: Config {
                entries_in_flight_max: plan.entries_in_flight_max,
                entry_commands_max: plan.entry_commands_max,
                queue_bytes_max: plan.queue_bytes_max,
                checkpoint_interval: plan.checkpoint_interval,
                checkpoint_thread: CheckpointThread::Caller,
                durable_checkpoint_bytes: plan.durable_checkpoint_bytes,
                turn_lease_max: Duration::from_secs(30),
                entity_lease_max: Duration::from_secs(30),
                // However often workers are out of order, no operation is given up.
                batch_failures_max: u32::MAX,
                ..Config::default()
            },
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            replicas,
            clock,
            randomness,
            token_key: [7; 32],
            on_fault: Arc::new(move |id, reason| {
                on_fault.raise(format!("partition {id}: {reason}"));
            }),
        })
        .await
        .map_err(|error| format!("{error:?}"))?;
        Ok(Self {
            partitions,
            wal,
            writer,
        })
    }

    /// Ends the process as it should end.
    pub async fn stop(self) {
        self.partitions.stop().await;
        drop(self.partitions);
        drop(self.wal);
        self.writer.await.expect("the log's writer ends well");
    }
}

fn open_log(world: &World, faults: &Faults) -> Result<(Wal, Writer, Arc<Notify>), String> {
    let plan = world.plan();
    let work = Arc::new(Notify::new());
    let (wake, on_fault) = (work.clone(), faults.clone());
    let mut files: Arc<dyn Files> = Arc::new(world.disk().files.clone());
    if world.sabotage() == Sabotage::DeafDisk {
        files = Arc::new(DeafFiles::new(files));
    }
    let config = longhaul_wal::Config {
        segment_bytes: plan.segment_bytes,
        cache_bytes: plan.cache_bytes,
        watermark_batches: plan.watermark_batches,
        must_exist: world.opened(),
        hooks: Hooks {
            wake: Arc::new(move || wake.notify_one()),
            on_fault: Arc::new(move |fault| on_fault.raise(format!("the log: {fault}"))),
            ..Hooks::default()
        },
        ..longhaul_wal::Config::new("/data/wal")
    };
    let identity = Identity {
        cluster_id: [7; 16],
        node_id: 1,
    };
    let (wal, writer) = Wal::open_unthreaded(config, identity, files)
        .map_err(|error| format!("the log cannot be opened: {error}"))?;
    world.note_opened();
    Ok((wal, writer, work))
}

/// Drives the log's writer; what it takes at once is durable a while later.
async fn write(mut writer: Writer, work: Arc<Notify>, mut dice: Dice, sync_millis: u64) {
    loop {
        let stalled = dice.percent(1);
        let sync = if stalled {
            300
        } else {
            dice.below(sync_millis)
        };
        tokio::time::sleep(Duration::from_millis(sync)).await;
        match writer.run_once() {
            Progress::Worked => {}
            Progress::Idle => {
                if dice.percent(50) {
                    writer.settle();
                }
                work.notified().await;
            }
            Progress::Closed => return,
        }
    }
}

fn sabotaged(world: &World, rows: Arc<dyn Rows>) -> Arc<dyn Rows> {
    match world.sabotage() {
        Sabotage::LeakyStore => Arc::new(LeakyRows {
            inner: rows,
            written: Mutex::new(0),
        }),
        Sabotage::StaleEntities => Arc::new(StaleRows {
            inner: rows,
            written: Mutex::new(0),
        }),
        Sabotage::LazyStore => Arc::new(LazyRows(rows)),
        _ => rows,
    }
}
