//! The partitions that have a replica on this node: begun and ended one by one, found by instance or token, stopped
//! together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use longhaul_engine::message::Message;
use longhaul_engine::{InstanceKey, TableFault};
use longhaul_replication::{
    CheckpointThread, Group, GroupConfig, GroupFault, GroupLog, GroupSetup, Leadership, Network,
    NodeId, destroy_log,
};
use longhaul_storage::{PartitionTables, Store};
use longhaul_types::{HubId, PartitionCount, PartitionId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::backup::Shipping;
use crate::clock::{Clock, Randomness, fresh_number};
use crate::config::Config;
use crate::core::{Core, OnFault, Shared};
use crate::dispatch::{LeaseId, Ready, Sessions, Tokens, WorkKind};
use crate::errors::ProposeError;
use crate::jobs::{Jobs, LastCheckpoint};
use crate::machine::PartitionMachine;
use crate::outbox::Courier;
use crate::partition::Partition;
use crate::proposer::Queue;

/// What the partitions of a node are started with.
pub struct Setup {
    /// How many the cluster has.
    pub count: PartitionCount,
    /// This node.
    pub node: NodeId,
    /// Sizes and times.
    pub config: Config,
    /// Timing of the replicated groups.
    pub group_config: GroupConfig,
    /// The way to the replicas of other nodes.
    pub network: Network,
    /// The way to the leaders of other partitions; `None` if every partition is led from here.
    pub courier: Option<Arc<dyn Courier>>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and tokens.
    pub randomness: Arc<dyn Randomness>,
    /// Authenticates completion tokens and page tokens; the same for every node of the cluster, and secret.
    pub token_key: [u8; 32],
    /// Told when a partition cannot go on; nothing is acknowledged after it.
    pub on_fault: Arc<dyn Fn(PartitionId, String) + Send + Sync>,
}

/// A replica cannot be hosted.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its replica cannot start.
    #[error("partition {0} cannot start: {1}")]
    Replica(PartitionId, #[source] longhaul_replication::StartError),
    /// Its replica stopped at once.
    #[error("partition {0} stopped while it was started")]
    Stopped(PartitionId),
    /// This node has a replica of it already.
    #[error("partition {0} is hosted here already")]
    Hosted(PartitionId),
    /// This node has no replica of it.
    #[error("partition {0} is not hosted here")]
    NotHosted(PartitionId),
}

/// What a node keeps of a replica cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    /// Its log, and so nothing.
    #[error("the log of partition {0} cannot be removed: {1}")]
    Log(PartitionId, String),
    /// Its rows.
    #[error("the rows of partition {0} cannot be removed: {1}")]
    Rows(PartitionId, #[source] TableFault),
}

/// The partitions that have a replica on this node. Cheap to clone.
#[derive(Clone)]
pub struct Partitions(Arc<Directory>);

struct Directory {
    setup: Setup,
    tokens: Tokens,
    courier: Arc<dyn Courier>,
    sessions: Sessions,
    hosted: Mutex<BTreeMap<PartitionId, Hosted>>,
    /// Held by whoever changes which replicas run.
    changing: tokio::sync::Mutex<()>,
    /// Of a node that was started with all of them.
    all: OnceLock<Vec<Partition>>,
}

struct Hosted {
    partition: Partition,
    jobs: Jobs,
}

impl Partitions {
    /// The partitions of a node that has no replica yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self(Arc::new_cyclic(|directory: &Weak<Directory>| Directory {
            tokens: Tokens::new(&setup.token_key),
            courier: setup
                .courier
                .clone()
                .unwrap_or_else(|| Arc::new(LocalCourier(directory.clone()))),
            sessions: Sessions::default(),
            hosted: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            all: OnceLock::new(),
            setup,
        }))
    }

    /// Hosts every partition and waits until this node, which is the whole cluster, leads them all.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        setup: Setup,
        replicas: Vec<(PartitionTables, GroupLog)>,
    ) -> Result<Self, StartError> {
        let voters = BTreeSet::from([setup.node]);
        let count = setup.count;
        let partitions = Self::new(setup);
        let mut all = Vec::new();
        for (id, (tables, log)) in count.all().zip(replicas) {
            all.push(partitions.host(id, tables, log, None).await?);
            partitions.found(id, voters.clone()).await?;
        }
        for partition in &all {
            let mut leadership = partition.leadership();
            let leads = leadership.wait_for(|leadership| leadership.is_leader).await;
            leads.map_err(|_| StartError::Stopped(partition.id()))?;
        }
        partitions.0.all.get_or_init(|| all);
        Ok(partitions)
    }

    /// Starts this node's replica of a partition: it follows, or is elected in time. `log` is its part of the node's log
    /// and `tables` its state; both are empty if there never was a replica here. What another replica has that is too far
    /// ahead is taken over through `store`, which the tables are of; without one it is refused.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn host(
        &self,
        id: PartitionId,
        tables: PartitionTables,
        log: GroupLog,
        store: Option<Arc<dyn Store>>,
    ) -> Result<Partition, StartError> {
        let directory = &*self.0;
        let _one_at_a_time = directory.changing.lock().await;
        if self.hosted(id).is_some() {
            return Err(StartError::Hosted(id));
        }
        let (leadership, told) = watch::channel(Leadership::default());
        let shared = directory.shared(id, tables, told);
        let setup = &directory.setup;
        let on_fault = setup.on_fault.clone();
        let group = Group::start(GroupSetup {
            id: log.id(),
            node: setup.node,
            config: setup.group_config.clone(),
            machine: Box::new(PartitionMachine::new(shared.clone(), log.clone(), store)),
            log,
            network: setup.network.clone(),
            seed: fresh_number(&*setup.randomness),
            on_fault: Arc::new(move |_, fault: GroupFault| on_fault(id, fault.to_string())),
        })
        .await
        .map_err(|error| StartError::Replica(id, error))?;
        let partition = Partition { shared, group };
        let hosted = Hosted {
            jobs: Jobs::spawn(&partition, &directory.courier, leadership),
            partition: partition.clone(),
        };
        directory.hosted.lock().insert(id, hosted);
        directory.tell_sessions();
        Ok(partition)
    }

    /// Begins the life of a partition's group with these voters, of which this node is one. Does nothing if it has begun.
    /// Only one of the voters needs to be asked, and all that are asked must be asked alike.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn found(&self, id: PartitionId, voters: BTreeSet<NodeId>) -> Result<(), StartError> {
        let partition = self.hosted(id).ok_or(StartError::NotHosted(id))?;
        let founded = partition.group.initialize(voters).await;
        founded.map_err(|_| StartError::Stopped(id))
    }

    /// Stops this node's replica of a partition, if there is one. When this returns, nothing of it touches its rows and its
    /// log any more; they may be removed, or the partition hosted again.
    pub async fn retire(&self, id: PartitionId) {
        let _one_at_a_time = self.0.changing.lock().await;
        let retired = self.0.hosted.lock().remove(&id);
        let Some(Hosted { partition, jobs }) = retired else {
            return;
        };
        self.0.tell_sessions();
        jobs.stop(&partition, LastCheckpoint::Skip).await;
    }

    /// Stops this node's replica of a partition, if it runs, and removes what the node keeps of it: its log, then its
    /// rows. Does nothing where nothing is left; hosted again, the replica begins empty. A crash leaves everything, or rows
    /// without a log, which are then found among [`Store::partitions`].
    ///
    /// What it has voted for and how far its log reached stays known, so that a replica that is hosted here again helps
    /// nobody to lead who lacks what this one had. Only for a replica that is no member of its group any more: a member
    /// that begins empty gets nothing from its leader.
    ///
    /// # Errors
    /// [`DiscardError`]; to be repeated, if the node goes on at all.
    pub async fn discard(
        &self,
        id: PartitionId,
        log: &GroupLog,
        store: Arc<dyn Store>,
    ) -> Result<(), DiscardError> {
        self.retire(id).await;
        let destroyed = destroy_log(log).await;
        destroyed.map_err(|error| DiscardError::Log(id, error.to_string()))?;
        let removing = move || store.remove(id);
        let removed = match self.0.setup.config.checkpoint_thread {
            CheckpointThread::Caller => removing(),
            // The join fails only if the runtime ends, and everything with it.
            CheckpointThread::Blocking => tokio::task::spawn_blocking(removing)
                .await
                .unwrap_or(Ok(())),
        };
        removed.map_err(|fault| DiscardError::Rows(id, fault))
    }

    /// This node's replica of a partition.
    #[must_use]
    pub fn hosted(&self, id: PartitionId) -> Option<Partition> {
        let hosted = self.0.hosted.lock();
        hosted.get(&id).map(|it| it.partition.clone())
    }

    /// All replicas of this node, in order of their partitions.
    #[must_use]
    pub fn all_hosted(&self) -> Vec<Partition> {
        self.0.all_hosted()
    }

    /// How many partitions the cluster has.
    #[must_use]
    pub fn count(&self) -> PartitionCount {
        self.0.setup.count
    }

    /// The partition that an instance lives in, on a node that was started with all of them.
    ///
    /// # Panics
    /// On any other node.
    #[must_use]
    pub fn home(&self, key: &InstanceKey) -> &Partition {
        self.get(self.count().partition_of(key.hub, &key.id))
            .expect("the node has all partitions")
    }

    /// A partition by number, on a node that was started with all of them.
    #[must_use]
    pub fn get(&self, id: PartitionId) -> Option<&Partition> {
        self.0.all.get()?.get(usize::from(id.0))
    }

    /// Every partition, in order, of a node that was started with all of them.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.0.all.get().into_iter().flatten()
    }

    /// Deletes everything of a task hub, a little at a time, in the partitions that are hosted here. To be repeated for as
    /// long as messages to it may be on their way.
    ///
    /// # Errors
    /// [`ProposeError`]: some of it may be left.
    pub async fn remove_hub(&self, hub: HubId) -> Result<(), ProposeError> {
        for partition in self.all_hosted() {
            partition.remove_hub(hub).await?;
        }
        Ok(())
    }

    /// The worker streams of this node.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Where a completion token belongs, and to which delivery; `None` unless it was made for this hub and this kind of
    /// work. The partition need not be hosted here.
    #[must_use]
    pub fn open_token(
        &self,
        hub: HubId,
        kind: WorkKind,
        token: &str,
    ) -> Option<(PartitionId, LeaseId)> {
        self.0.tokens.open(self.count(), hub, kind, token)
    }

    /// As [`Partitions::open_token`], on a node that was started with all partitions.
    #[must_use]
    pub fn by_token(
        &self,
        hub: HubId,
        kind: WorkKind,
        token: &str,
    ) -> Option<(&Partition, LeaseId)> {
        let (partition, lease) = self.open_token(hub, kind, token)?;
        Some((self.get(partition)?, lease))
    }

    /// The key of [`crate::paging`].
    #[must_use]
    pub fn token_key(&self) -> &[u8; 32] {
        &self.0.setup.token_key
    }

    /// Stops taking commands, finishes those on their way, makes everything durable and stops every replica.
    pub async fn stop(&self) {
        let _one_at_a_time = self.0.changing.lock().await;
        let all = std::mem::take(&mut *self.0.hosted.lock());
        for hosted in all.values() {
            hosted.partition.shared.queue.close();
        }
        join_all(
            all.into_values()
                .map(|Hosted { partition, jobs }| async move {
                    jobs.stop(&partition, LastCheckpoint::Write).await;
                }),
        )
        .await;
        self.0.tell_sessions();
    }
}

impl Directory {
    fn all_hosted(&self) -> Vec<Partition> {
        let hosted = self.hosted.lock();
        hosted.values().map(|it| it.partition.clone()).collect()
    }

    fn tell_sessions(&self) {
        // Under the lock: of two changes the later one must be told last.
        let hosted = self.hosted.lock();
        let partitions = hosted.values().map(|it| it.partition.clone()).collect();
        self.sessions.set_partitions(partitions);
    }

    fn shared(
        &self,
        id: PartitionId,
        tables: PartitionTables,
        leadership: watch::Receiver<Leadership>,
    ) -> Arc<Shared> {
        let setup = &self.setup;
        Arc::new(Shared {
            id,
            config: setup.config.clone(),
            clock: setup.clock.clone(),
            randomness: setup.randomness.clone(),
            tokens: self.tokens.clone(),
            proposer: fresh_number(&*setup.randomness).max(1),
            core: Mutex::new(Core {
                tables,
                generation: 0,
                leader: None,
                calls: BTreeMap::new(),
                bytes_since_durable: 0,
                bytes_since_written: 0,
            }),
            queue: Queue::default(),
            sessions: self.sessions.downgrade(),
            ready: Ready::default(),
            timers_changed: Notify::new(),
            outbox_changed: setup
                .count
                .all()
                .filter(|it| *it != id)
                .map(|it| (it, Notify::new()))
                .collect(),
            leadership,
            on_fault: table_faults(setup.on_fault.clone()),
            checkpointing: tokio::sync::Mutex::default(),
            shipping: Shipping::new(),
        })
    }
}

fn table_faults(on_fault: Arc<dyn Fn(PartitionId, String) + Send + Sync>) -> OnFault {
    Arc::new(move |id, fault: TableFault| on_fault(id, fault.to_string()))
}

/// Every partition is led from this node.
struct LocalCourier(Weak<Directory>);

impl Courier for LocalCourier {
    fn deliver(
        &self,
        source: PartitionId,
        target: PartitionId,
        first: u64,
        messages: Vec<Message>,
    ) -> BoxFuture<'static, Result<u64, ProposeError>> {
        let directory = self.0.clone();
        async move {
            let target = directory.upgrade().and_then(|directory| {
                let hosted = directory.hosted.lock();
                hosted.get(&target).map(|it| it.partition.clone())
            });
            let target = target.ok_or(ProposeError::NotApplied("the node is stopping"))?;
            target.deliver(source, first, messages).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
