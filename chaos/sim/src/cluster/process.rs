//! One process of a node of a cluster: its replicas, and its way to those of others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longhaul_engine::tables::PartitionState;
use longhaul_partition::{Courier, Partition, Partitions, Setup};
use longhaul_replication::{CheckpointThread, Network, RemoteConfig};
use longhaul_routing::{ClusterSetup, LateCourier, Router, RouterSetup};
use longhaul_storage::{PartitionTables, Store};
use longhaul_types::{NodeId, PartitionCount, PartitionId};
use longhaul_wal::Wal;

use super::shared::Shared;
use crate::dice::Dice;
use crate::node::{self, Faults, Log};
use crate::sabotage::Sabotage;
use crate::sabotage::cluster::{self, SabotagedStore};
use crate::workers::Desk;
use crate::world::{Machine, ProcessId, World};

/// For how long calls are held up while nobody leads.
const HOLD: Duration = Duration::from_secs(2);

/// A running process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) router: Router,
    pub(crate) desk: Desk,
    id: ProcessId,
    node: NodeId,
    shared: Shared,
    machine: Machine,
    wal: Arc<Wal>,
}

/// Which process it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) node: NodeId,
    /// Where it runs.
    pub(crate) machine: usize,
    /// Counts the processes of the node.
    pub(crate) number: u32,
}

impl Process {
    /// Starts a process, within its runtime.
    ///
    /// # Errors
    /// Why it cannot start.
    pub(crate) async fn start(
        shared: &Shared,
        life: Life,
        sync_millis: u64,
        faults: &Faults,
    ) -> Result<Self, String> {
        let (world, plan) = (shared.world(), shared.plan());
        let sabotage = world.sabotage();
        let Life { node, number, .. } = life;
        let machine = world.machine(life.machine);
        let count = PartitionCount::new(world.plan().partitions).expect("a power of two");
        let dice = Dice::new(plan.seed, &format!("node {node} {number}"));
        let log = Log::open(world, &machine, node.0, faults)?;
        let (wal, _) = log.run(dice.clone(), sync_millis);
        let links = shared.net().of(node);
        let late = LateCourier::new();
        let courier: Arc<dyn Courier> = cluster::courier(sabotage, Arc::new(late.clone()));
        let on_fault = faults.clone();
        let randomness = node::randomness(sabotage, dice);
        let partitions = Partitions::new(Setup {
            count,
            node,
            config: node::config(world.plan()),
            group_config: plan.group_config.clone(),
            network: Network::remote(
                node,
                links.clone(),
                RemoteConfig {
                    snapshot_thread: CheckpointThread::Caller,
                    ..RemoteConfig::default()
                },
            ),
            courier: Some(courier),
            clock: node::clock(sabotage, &machine),
            randomness: randomness.clone(),
            token_key: [7; 32],
            on_fault: Arc::new(move |id, reason| {
                on_fault.raise(format!("partition {id}: {reason}"));
            }),
        });
        let replicas = shared.clone();
        let router = Router::new(RouterSetup {
            node,
            partitions,
            cluster: Some(ClusterSetup {
                links,
                members: shared.members(),
                replicas: Arc::new(move |id| replicas.replicas(id).nodes.into_iter().collect()),
            }),
            hold: HOLD,
            randomness,
        });
        router.serve(&late);
        let id = ProcessId {
            node: node.0,
            life: number,
        };
        let desk = Desk {
            world: world.clone(),
            process: Some(id),
            partitions: router.partitions().clone(),
        };
        let appointed = Arc::new(desk.clone());
        router.appoint(appointed.clone(), appointed);
        let process = Self {
            router,
            desk,
            id,
            node,
            shared: shared.clone(),
            machine,
            wal: Arc::new(wal),
        };
        for id in shared.partitions_of(node) {
            process.host(id).await?;
        }
        Ok(process)
    }

    /// Its replicas.
    pub(crate) fn partitions(&self) -> &Partitions {
        self.router.partitions()
    }

    /// Starts a replica.
    ///
    /// # Errors
    /// Why it cannot start.
    pub(crate) async fn host(&self, id: PartitionId) -> Result<(), String> {
        let world = self.shared.world();
        let sabotage = world.sabotage();
        let store: Arc<dyn Store> = Arc::new(SabotagedStore {
            world: world.clone(),
            node: self.node,
            inner: Arc::new(self.machine.disk.store.clone()),
        });
        let rows = store.partition(id).map_err(|fault| fault.to_string())?;
        let new = PartitionState::new(id, self.partitions().count());
        let tables = PartitionTables::open(rows, new, world.plan().resident_bytes_max)
            .map_err(|fault| fault.to_string())?;
        let log = self.wal.group(node::group_of(id));
        let partition = self
            .partitions()
            .host(id, tables, log, Some(store))
            .await
            .map_err(|error| format!("{error:?}"))?;
        tokio::spawn(watch(world.clone(), self.id, partition));
        let founders = self.shared.replicas(id).founders;
        let founders = match sabotage {
            Sabotage::ClustersOfOne => BTreeSet::from([self.node]),
            _ => founders,
        };
        if founders.first() == Some(&self.node) {
            let founded = self.partitions().found(id, founders).await;
            founded.map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    /// Ends a replica for good, with everything it has.
    pub(crate) async fn discard(&self, id: PartitionId) {
        let store: Arc<dyn Store> = Arc::new(self.machine.disk.store.clone());
        let log = self.wal.group(node::group_of(id));
        if let Err(fault) = self.partitions().discard(id, &log, store).await {
            let problem = format!("{id} cannot be discarded: {fault:?}");
            self.shared.world().broken("replicas can be moved", problem);
        }
    }

    /// Ends the process as it should end.
    pub(crate) async fn stop(&self) {
        self.partitions().stop().await;
    }
}

/// Takes down when a replica leads.
async fn watch(world: World, process: ProcessId, partition: Partition) {
    let mut leadership = partition.leadership();
    let id = partition.id();
    drop(partition);
    loop {
        let seen = *leadership.borrow_and_update();
        world.observe(process, id, &seen);
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
