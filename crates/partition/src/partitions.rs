//! The partitions of this node: started together, found by instance or token, stopped together.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use longhaul_engine::message::Message;
use longhaul_engine::{Command, InstanceKey, TableFault};
use longhaul_replication::{Group, GroupConfig, GroupFault, GroupLog, GroupSetup, Network, NodeId};
use longhaul_storage::PartitionTables;
use longhaul_types::{HubId, PartitionCount, PartitionId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::checkpoint;
use crate::clock::{Clock, Randomness, fresh_number};
use crate::config::Config;
use crate::core::{Core, OnFault, Shared};
use crate::dispatch::{Dispatcher, LeaseId, Patience, Ready, Sessions, Tokens, WorkKind};
use crate::errors::ProposeError;
use crate::leader::{Leader, Wakes};
use crate::machine::{ApplyMetrics, PartitionMachine};
use crate::outbox::{self, Courier};
use crate::partition::{OVERDUE_INTERVAL, Partition};
use crate::proposer::{self, Queue};

/// Durable timers proposed in one command.
const TIMERS_PER_COMMAND_MAX: usize = 256;

/// Longest sleep, so that a clock that was set does not leave a timer waiting.
const SLEEP_MAX: Duration = Duration::from_secs(30);

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
    /// State and log of each partition, in order.
    pub replicas: Vec<(PartitionTables, GroupLog)>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and tokens.
    pub randomness: Arc<dyn Randomness>,
    /// Authenticates completion tokens and page tokens; the same for every node of the cluster, and secret.
    pub token_key: [u8; 32],
    /// Told when a partition cannot go on; nothing is acknowledged after it.
    pub on_fault: Arc<dyn Fn(PartitionId, String) + Send + Sync>,
}

/// A partition cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its replica cannot start.
    #[error("partition {0} cannot start: {1}")]
    Replica(PartitionId, #[source] longhaul_replication::StartError),
    /// Its replica stopped at once.
    #[error("partition {0} stopped while it was started")]
    Stopped(PartitionId),
}

/// The partitions of this node. Cheap to clone.
#[derive(Clone)]
pub struct Partitions(Arc<Directory>);

struct Directory {
    count: PartitionCount,
    tokens: Tokens,
    token_key: [u8; 32],
    all: Vec<Partition>,
    sessions: Sessions,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    /// End when the queues are closed.
    proposers: Vec<JoinHandle<()>>,
    /// Ended by force.
    others: Vec<JoinHandle<()>>,
}

impl Partitions {
    /// Starts every partition and waits until this node leads them all.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let sessions = Sessions::default();
        let proposer = fresh_number(&*setup.randomness).max(1);
        let tokens = Tokens::new(&setup.token_key);
        let mut all = Vec::new();
        for (id, (tables, log)) in setup.count.all().zip(setup.replicas) {
            let on_fault = setup.on_fault.clone();
            let shared = Arc::new(Shared {
                id,
                config: setup.config.clone(),
                clock: setup.clock.clone(),
                randomness: setup.randomness.clone(),
                tokens: tokens.clone(),
                proposer,
                core: Mutex::new(Core {
                    tables,
                    leader: None,
                    calls: HashMap::new(),
                    bytes_since_durable: 0,
                    bytes_since_written: 0,
                }),
                queue: Queue::default(),
                sessions: sessions.downgrade(),
                ready: Ready::default(),
                timers_changed: Notify::new(),
                outbox_changed: setup
                    .count
                    .all()
                    .filter(|it| *it != id)
                    .map(|it| (it, Notify::new()))
                    .collect(),
                on_fault: table_faults(on_fault.clone()),
                checkpointing: Mutex::new(()),
            });
            let group = Group::start(GroupSetup {
                id: log.id(),
                node: setup.node,
                config: setup.group_config.clone(),
                log,
                machine: Box::new(PartitionMachine {
                    shared: shared.clone(),
                    metrics: apply_metrics(id),
                }),
                network: Network::none(),
                seed: fresh_number(&*setup.randomness),
                on_fault: Arc::new(move |_, fault: GroupFault| on_fault(id, fault.to_string())),
            })
            .await
            .map_err(|error| StartError::Replica(id, error))?;
            group
                .initialize_single()
                .await
                .map_err(|_| StartError::Stopped(id))?;
            all.push(Partition { shared, group });
        }
        sessions.serve(all.clone());
        let directory = Arc::new(Directory {
            count: setup.count,
            tokens,
            token_key: setup.token_key,
            all,
            sessions,
            jobs: Mutex::default(),
        });
        let courier: Arc<dyn Courier> = Arc::new(LocalCourier(Arc::downgrade(&directory)));
        let mut led = Vec::new();
        for partition in &directory.all {
            led.push(directory.spawn_jobs(partition, &courier));
        }
        for (partition, leads) in directory.all.iter().zip(join_all(led).await) {
            leads.map_err(|()| StartError::Stopped(partition.id()))?;
        }
        Ok(Self(directory))
    }

    /// The partition that an instance lives in.
    #[must_use]
    pub fn home(&self, key: &InstanceKey) -> &Partition {
        &self.0.all[usize::from(self.0.count.partition_of(key.hub, &key.id).0)]
    }

    /// A partition by number.
    #[must_use]
    pub fn get(&self, id: PartitionId) -> Option<&Partition> {
        self.0.all.get(usize::from(id.0))
    }

    /// Every partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.0.all.iter()
    }

    /// Deletes everything of a task hub, a little at a time. To be repeated for as long as messages to it may be on
    /// their way.
    ///
    /// # Errors
    /// [`ProposeError`]: some of it may be left.
    pub async fn remove_hub(&self, hub: HubId) -> Result<(), ProposeError> {
        for partition in self.iter() {
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
    /// work.
    #[must_use]
    pub fn by_token(
        &self,
        hub: HubId,
        kind: WorkKind,
        token: &str,
    ) -> Option<(&Partition, LeaseId)> {
        let (partition, lease) = self.0.tokens.open(self.0.count, hub, kind, token)?;
        Some((self.get(partition)?, lease))
    }

    /// The key of [`crate::paging`].
    #[must_use]
    pub fn token_key(&self) -> &[u8; 32] {
        &self.0.token_key
    }

    /// Stops taking commands, finishes those on their way, makes everything durable and stops.
    pub async fn stop(&self) {
        for partition in &self.0.all {
            partition.shared.queue.close();
        }
        let jobs = std::mem::take(&mut *self.0.jobs.lock());
        join_all(jobs.proposers).await;
        for job in &jobs.others {
            job.abort();
        }
        // Only then have they let go of the partition.
        join_all(jobs.others).await;
        join_all(self.0.all.iter().map(|partition| async move {
            if partition.group.checkpoint().await.is_err() {
                tracing::warn!(partition = %partition.id(), "stopped without a last checkpoint; the log has it all");
            }
            partition.group.stop().await;
        }))
        .await;
    }
}

fn table_faults(on_fault: Arc<dyn Fn(PartitionId, String) + Send + Sync>) -> OnFault {
    Arc::new(move |id, fault: TableFault| on_fault(id, fault.to_string()))
}

fn apply_metrics(id: PartitionId) -> ApplyMetrics {
    const COMMANDS: &str = "longhaul_partition_commands_applied_total";
    const ENTRIES: &str = "longhaul_partition_entries_applied_total";
    metrics::describe_counter!(COMMANDS, "Commands applied.");
    metrics::describe_counter!(
        ENTRIES,
        "Log entries applied; each holds a batch of commands."
    );
    let partition = id.to_string();
    ApplyMetrics {
        commands: metrics::counter!(COMMANDS, "partition" => partition.clone()),
        entries: metrics::counter!(ENTRIES, "partition" => partition),
    }
}

impl Directory {
    /// Starts what a partition needs beside its replica; resolves once it is led from here.
    fn spawn_jobs(
        &self,
        partition: &Partition,
        courier: &Arc<dyn Courier>,
    ) -> BoxFuture<'static, Result<(), ()>> {
        let Partition { shared, group } = partition.clone();
        let mut jobs = self.jobs.lock();
        let (led, leads) = tokio::sync::oneshot::channel();
        jobs.proposers
            .push(tokio::spawn(proposer::run(shared.clone(), group.clone())));
        let mut others = vec![
            tokio::spawn(follow_leadership(partition.clone(), led)),
            tokio::spawn(run_timers(partition.clone())),
            tokio::spawn(checkpoint::run(shared.clone(), group)),
            tokio::spawn(take_back_overdue(partition.clone())),
        ];
        for target in shared.outbox_changed.keys() {
            others.push(tokio::spawn(outbox::run(
                shared.clone(),
                *target,
                courier.clone(),
            )));
        }
        jobs.others.extend(others);
        leads.map(|leads| leads.map_err(drop)).boxed()
    }
}

/// Builds the leader's soft state when leadership begins, and drops it when it ends.
async fn follow_leadership(partition: Partition, led: tokio::sync::oneshot::Sender<()>) {
    let shared = &partition.shared;
    let mut leadership = partition.group.leadership();
    let mut led = Some(led);
    loop {
        let now = *leadership.borrow_and_update();
        let mut wakes = Wakes::default();
        let outcome = {
            let mut core = shared.core.lock();
            let Core { tables, leader, .. } = &mut *core;
            if leader
                .as_ref()
                .is_some_and(|it| !now.is_leader || it.term != now.term)
            {
                leader.take().expect("just seen").dispatcher.release_all();
            }
            if now.is_leader && leader.is_none() {
                Leader::rebuild(
                    now.term,
                    Dispatcher::new(
                        shared.id,
                        shared.ready.clone(),
                        shared.tokens.clone(),
                        Patience::of(&shared.config),
                    ),
                    tables,
                    shared.clock.now(),
                    &mut wakes,
                )
                .map(|rebuilt| *leader = Some(rebuilt))
            } else {
                Ok(())
            }
        };
        if let Err(fault) = outcome {
            (shared.on_fault)(shared.id, fault);
            return;
        }
        shared.wake(wakes);
        if now.is_leader
            && let Some(led) = led.take()
        {
            tracing::debug!(partition = %shared.id, term = now.term, "leading");
            // Whoever started the partition may have given up.
            let _ = led.send(());
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// Fires timers and ends delays when they are due, never before.
async fn run_timers(partition: Partition) {
    let shared = &partition.shared;
    loop {
        let now = shared.clock.now();
        let due = shared.with_leader(|leader, tables, wakes| {
            let due = leader.take_due(tables, now, TIMERS_PER_COMMAND_MAX, wakes)?;
            wakes.timers = false;
            Ok((due.commands(), leader.timers.earliest()))
        });
        let (commands, earliest) = due.unwrap_or_default();
        if commands.is_empty() {
            let sleep = earliest.map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX));
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = shared.timers_changed.notified() => {}
            }
            continue;
        }
        for (command, alarms) in commands {
            let Err(error) = partition.propose(command).await else {
                continue;
            };
            tracing::debug!(partition = %shared.id, %error, "what was due will be tried again");
            // What did happen is found done the next time.
            shared.with_leader(|leader, _, wakes| {
                let again = now + Duration::from_millis(100);
                for alarm in alarms {
                    leader.arm(again, alarm, wakes);
                }
                Ok(())
            });
        }
    }
}

async fn take_back_overdue(partition: Partition) {
    loop {
        tokio::time::sleep(OVERDUE_INTERVAL).await;
        partition.take_back_overdue();
    }
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
            let partition = directory
                .upgrade()
                .and_then(|it| it.all.get(usize::from(target.0)).cloned());
            let partition = partition.ok_or(ProposeError::NotApplied("the node is stopping"))?;
            let reply = partition
                .propose(Command::Deliver {
                    source,
                    first,
                    messages,
                })
                .await?;
            Ok(outbox::received(&reply))
        }
        .boxed()
    }
}
