//! One process of the node: the real log, store, groups and partitions over a simulated disk, clock and randomness.

use std::sync::Arc;
use std::time::Duration;

use longhaul_engine::tables::PartitionState;
use longhaul_partition::{Clock, Config, Partitions, Randomness, Setup};
use longhaul_replication::{CheckpointThread, GroupConfig, GroupId, Network, NodeId};
use longhaul_routing::{Router, RouterSetup};
use longhaul_storage::{PartitionTables, Rows, Store};
use longhaul_types::{PartitionCount, PartitionId};
use longhaul_wal::{Files, Hooks, Identity, Progress, Wal, Writer};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::plan::Plan;
use crate::randomness::SimRandomness;
use crate::sabotage::{
    DeafFiles, HastyClock, LazyRows, LeakyRows, Sabotage, StaleRows, StuckRandomness,
};
use crate::world::{Machine, World};

/// A running process.
pub struct Node {
    /// The way to its partitions.
    pub router: Router,
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
    pub(crate) fn raise(&self, reason: String) {
        self.first.lock().get_or_insert(reason);
        self.raised.notify_one();
    }

    /// The first one so far.
    #[must_use]
    pub fn seen(&self) -> Option<String> {
        self.first.lock().clone()
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
        let machine = world.machine(0);
        let count = PartitionCount::new(plan.partitions).expect("a power of two");
        let dice = Dice::new(plan.seed, &format!("node {life}"));
        let log = Log::open(world, &machine, 1, faults)?;
        let (wal, writer) = log.run(dice.clone(), plan.sync_millis);
        let replicas = count
            .all()
            .map(|id| {
                let rows = machine.disk.store.partition(id)?;
                let new = PartitionState::new(id, count);
                let rows = sabotaged(world.sabotage(), rows);
                let tables = PartitionTables::open(rows, new, plan.resident_bytes_max)?;
                Ok((tables, wal.group(group_of(id))))
            })
            .collect::<Result<Vec<_>, longhaul_engine::TableFault>>()
            .map_err(|fault| fault.to_string())?;
        let on_fault = faults.clone();
        let randomness = randomness(world.sabotage(), dice);
        let setup = Setup {
            count,
            node: NodeId(1),
            config: config(plan),
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            network: Network::none(),
            courier: None,
            clock: clock(world.sabotage(), &machine),
            randomness: randomness.clone(),
            token_key: [7; 32],
            on_fault: Arc::new(move |id, reason| {
                on_fault.raise(format!("partition {id}: {reason}"));
            }),
        };
        let partitions = Partitions::start(setup, replicas)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let router = Router::new(RouterSetup {
            node: NodeId(1),
            partitions,
            cluster: None,
            hold: Duration::ZERO,
            randomness,
        });
        Ok(Self {
            router,
            wal,
            writer,
        })
    }

    /// Its partitions.
    #[must_use]
    pub fn partitions(&self) -> &Partitions {
        self.router.partitions()
    }

    /// Ends the process as it should end.
    pub async fn stop(self) {
        self.partitions().stop().await;
        drop(self.router);
        drop(self.wal);
        self.writer.await.expect("the log's writer ends well");
    }
}

/// The group of a partition.
pub(crate) fn group_of(id: PartitionId) -> GroupId {
    GroupId(u32::from(id.0) + 1)
}

/// Sizes and times of partitions.
pub(crate) fn config(plan: &Plan) -> Config {
    Config {
        entries_in_flight_max: plan.entries_in_flight_max,
        entry_commands_max: plan.entry_commands_max,
        queue_bytes_max: plan.queue_bytes_max,
        checkpoint_interval: plan.checkpoint_interval,
        checkpoint_thread: CheckpointThread::Caller,
        // Alone, whoever waits for a search sees to it that nothing else happens meanwhile.
        search_thread: match plan.alone {
            true => CheckpointThread::Blocking,
            false => CheckpointThread::Caller,
        },
        durable_checkpoint_bytes: plan.durable_checkpoint_bytes,
        turn_lease_max: Duration::from_secs(30),
        entity_lease_max: Duration::from_secs(30),
        // However often workers are out of order, no operation is given up.
        batch_failures_max: u32::MAX,
        ..Config::default()
    }
}

/// The clock that a node goes by.
pub(crate) fn clock(sabotage: Sabotage, machine: &Machine) -> Arc<dyn Clock> {
    let clock = Arc::new(machine.clock.clone());
    match sabotage {
        Sabotage::HastyClock => Arc::new(HastyClock(clock)),
        _ => clock,
    }
}

/// The randomness that a process is given.
pub(crate) fn randomness(sabotage: Sabotage, dice: Dice) -> Arc<dyn Randomness> {
    match sabotage {
        Sabotage::StuckRandomness => Arc::new(StuckRandomness),
        _ => Arc::new(SimRandomness::new(dice)),
    }
}

/// A node's log, open, with nobody writing yet.
pub(crate) struct Log {
    wal: Wal,
    writer: Writer,
    work: Arc<Notify>,
}

impl Log {
    pub(crate) fn open(
        world: &World,
        machine: &Machine,
        node: u64,
        faults: &Faults,
    ) -> Result<Self, String> {
        let plan = world.plan();
        let work = Arc::new(Notify::new());
        let (wake, on_fault) = (work.clone(), faults.clone());
        let mut files: Arc<dyn Files> = Arc::new(machine.disk.files.clone());
        if world.sabotage() == Sabotage::DeafDisk {
            files = Arc::new(DeafFiles::new(files));
        }
        let config = longhaul_wal::Config {
            segment_bytes: plan.segment_bytes,
            cache_bytes: plan.cache_bytes,
            watermark_batches: plan.watermark_batches,
            must_exist: machine.opened(),
            hooks: Hooks {
                wake: Arc::new(move || wake.notify_one()),
                on_fault: Arc::new(move |fault| on_fault.raise(format!("the log: {fault}"))),
                ..Hooks::default()
            },
            ..longhaul_wal::Config::new("/data/wal")
        };
        let identity = Identity {
            cluster_id: [7; 16],
            node_id: node,
        };
        let (wal, writer) = Wal::open_unthreaded(config, identity, files)
            .map_err(|error| format!("the log cannot be opened: {error}"))?;
        machine.note_opened();
        Ok(Self { wal, writer, work })
    }

    /// Lets a task of this runtime write it.
    pub(crate) fn run(self, dice: Dice, sync_millis: u64) -> (Wal, JoinHandle<()>) {
        let writing = write(self.writer, self.work, dice, sync_millis);
        (self.wal, tokio::spawn(writing))
    }
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

/// The rows that a replica is given.
pub(crate) fn sabotaged(sabotage: Sabotage, rows: Arc<dyn Rows>) -> Arc<dyn Rows> {
    match sabotage {
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
