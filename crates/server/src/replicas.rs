//! The replicas of this node: begun and ended as the catalog has it, and what the controller has their leaders do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_cluster::catalog::{Catalog, Plan};
use longhaul_cluster::controller;
use longhaul_cluster::meta::Hosting;
use longhaul_engine::tables::PartitionState;
use longhaul_partition::{Partition, Partitions, StartError};
use longhaul_replication::{GroupId, NodeId, StartError as GroupStartError};
use longhaul_storage::{PartitionTables, RocksStore, Store};
use longhaul_types::PartitionId;
use longhaul_wal::Wal;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// Between a pass that failed and the next one.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Starts and ends replicas.
pub(crate) struct Replicas {
    pub(crate) node: NodeId,
    pub(crate) partitions: Partitions,
    pub(crate) store: Arc<RocksStore>,
    pub(crate) wal: Arc<Wal>,
    /// Memory for the instances of one partition.
    pub(crate) resident_bytes_max: usize,
    /// Partitions of which nothing is here.
    pub(crate) absent: Mutex<BTreeSet<PartitionId>>,
    /// Partitions whose replica here is not what the others are.
    pub(crate) diverged: Mutex<BTreeSet<PartitionId>>,
}

impl Replicas {
    /// Makes this node host what the catalog says, now and after every change; returns when it is closed.
    pub(crate) async fn follow(&self, mut catalog: watch::Receiver<Arc<Catalog>>) {
        loop {
            let newest = catalog.borrow_and_update().clone();
            let done = self.bring_about(&newest).await;
            if let Err(error) = &done {
                tracing::error!(
                    error = format!("{error:#}"),
                    "a replica is started or removed later"
                );
            }
            tokio::select! {
                changed = catalog.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY_PAUSE), if done.is_err() => {}
            }
        }
    }

    /// One pass: whatever fails keeps nothing else from being done.
    pub(crate) async fn bring_about(&self, catalog: &Catalog) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for (partition, plan) in catalog.founding.partitions.all().zip(&catalog.plans) {
            let here = self.partitions.hosted(partition).is_some();
            let done = match plan.holds(self.node) {
                true if here || self.diverged.lock().contains(&partition) => Ok(()),
                true => self.begin(catalog, partition, plan).await,
                false => self.end(partition).await,
            };
            if done.is_err() {
                outcome = done;
            }
        }
        outcome
    }

    async fn begin(
        &self,
        catalog: &Catalog,
        partition: PartitionId,
        plan: &Plan,
    ) -> anyhow::Result<()> {
        self.absent.lock().remove(&partition);
        let (store, count) = (self.store.clone(), catalog.founding.partitions);
        let resident_bytes_max = self.resident_bytes_max;
        let tables = spawn_blocking(move || {
            let rows = store.partition(partition)?;
            PartitionTables::open(
                rows,
                PartitionState::new(partition, count),
                resident_bytes_max,
            )
        });
        let tables = tables.await??;
        let log = self.wal.group(group_of(partition));
        let store: Arc<dyn Store> = self.store.clone();
        match self
            .partitions
            .host(partition, tables, log, Some(store))
            .await
        {
            Err(StartError::Replica(_, GroupStartError::Diverged { .. })) => {
                self.diverged.lock().insert(partition);
                tracing::error!(
                    %partition,
                    "the replica here differs from the others and is not started; they go on without it. Stop this \
                     node, empty its data directory and start it again, so that it joins anew"
                );
                return Ok(());
            }
            hosted => hosted?,
        };
        // Only one node ever does, and only with those who were there at the beginning.
        if plan.founders.first() == Some(&self.node) {
            let founders = BTreeSet::from_iter(plan.founders.iter().copied());
            self.partitions.found(partition, founders).await?;
        }
        tracing::debug!(%partition, "a replica begins");
        Ok(())
    }

    /// Ends a replica that is not wanted here, and removes what it had. Does nothing if there is none.
    async fn end(&self, partition: PartitionId) -> anyhow::Result<()> {
        if self.absent.lock().contains(&partition) {
            return Ok(());
        }
        let here = self.partitions.hosted(partition).is_some();
        let log = self.wal.group(group_of(partition));
        self.partitions
            .discard(partition, &log, self.store.clone())
            .await?;
        self.diverged.lock().remove(&partition);
        self.absent.lock().insert(partition);
        if here {
            tracing::info!(%partition, "the replica that was here has moved away");
        }
        Ok(())
    }
}

/// The group of a partition's replicas; that of the catalog comes before all of them.
pub(crate) fn group_of(partition: PartitionId) -> GroupId {
    GroupId(longhaul_cluster::meta::GROUP.0 + 1 + u32::from(partition.0))
}

/// The partitions of this node as the controller sees them. The catalog is known before there are any.
#[derive(Clone, Default)]
pub(crate) struct Led(Arc<Mutex<Option<Partitions>>>);

impl Led {
    pub(crate) fn serve(&self, partitions: Partitions) {
        *self.0.lock() = Some(partitions);
    }

    fn partitions(&self) -> Option<Partitions> {
        self.0.lock().clone()
    }

    fn ask<F>(
        &self,
        partition: PartitionId,
        act: impl FnOnce(Partition) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<(), String>>
    where
        F: Future<Output = Result<(), longhaul_replication::ChangeError>> + Send,
    {
        let hosted = self.partitions().and_then(|it| it.hosted(partition));
        async move {
            let hosted = hosted.ok_or_else(|| format!("partition {partition} is not here"))?;
            act(hosted).await.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

impl Hosting for Led {
    fn led(&self) -> Vec<(PartitionId, controller::Group)> {
        let hosted = self.partitions().map(|it| it.all_hosted());
        let led = hosted.into_iter().flatten().filter_map(|partition| {
            let leads = partition.leadership().borrow().is_leader;
            leads.then(|| (partition.id(), as_led(&partition)))
        });
        led.collect()
    }

    fn add_learner(
        &self,
        partition: PartitionId,
        node: NodeId,
    ) -> BoxFuture<'static, Result<(), String>> {
        self.ask(partition, move |it| async move {
            it.group().add_learner(node).await
        })
    }

    fn change_voters(
        &self,
        partition: PartitionId,
        voters: Vec<NodeId>,
    ) -> BoxFuture<'static, Result<(), String>> {
        self.ask(partition, move |it| async move {
            it.group().change_voters(voters.into_iter().collect()).await
        })
    }

    fn transfer_leader(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> BoxFuture<'static, Result<(), String>> {
        self.ask(partition, move |it| async move {
            it.group().transfer_leader(to).await
        })
    }
}

fn as_led(partition: &Partition) -> controller::Group {
    let membership = partition.group().membership();
    controller::Group {
        leader: partition.group().node(),
        voters: membership.voters.into_iter().collect(),
        changing: membership.changing,
        learners: membership.learners,
    }
}
