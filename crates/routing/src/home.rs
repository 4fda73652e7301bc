//! One partition, wherever it is led.

use longhaul_engine::command::PurgeTarget;
use longhaul_engine::query::{EndedFilter, EntityQuery, EntityView, InstanceFilter, TimePosition};
use longhaul_engine::{Command, InstanceKey, InstanceView, Reply};
use longhaul_partition::{CommittedHistory, Partition, WaitFor};
use longhaul_peer::AskError;
use longhaul_types::{HubId, InstanceId, NodeId, PartitionId};
use tokio::time::Instant;

use crate::answers::WorkerAnswer;
use crate::attempts::{Attempts, Hold, Next};
use crate::codec;
use crate::desk::CALL;
use crate::errors::{Failure, ProposeError, ReadError};
use crate::once;
use crate::operation::{HistoryPage, KnownHistory, Operation, Outcome, perform};
use crate::router::{Cluster, Router};
use crate::table::Target;

/// Instances deleted in one command: few enough that others hardly wait for it.
const PURGE_TARGETS_MAX: usize = 128;

/// A partition, wherever it is led. Cheap to clone. A call whose future is dropped is given up at the leader, too.
#[derive(Clone)]
pub struct Home {
    router: Router,
    id: PartitionId,
}

impl Home {
    pub(crate) fn new(router: Router, id: PartitionId) -> Self {
        Self { router, id }
    }

    /// Which partition this is.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The replica on this node, if it leads: workers' answers can be judged here.
    #[must_use]
    pub fn here(&self) -> Option<Partition> {
        let partition = self.local().ok()?;
        let leads = self.cluster().is_none() || partition.leadership().borrow().is_leader;
        leads.then_some(partition)
    }

    /// Forwards a worker's answer to the leader, to be judged there.
    ///
    /// # Errors
    /// [`ProposeError`]: the delivery stands, and the same answer may be sent again.
    pub async fn answer(&self, answer: WorkerAnswer) -> Result<(), ProposeError> {
        self.call(Operation::Judge(answer)).await?;
        Ok(())
    }

    /// Proposes a command and waits until it has been applied.
    ///
    /// # Errors
    /// [`ProposeError`] says whether the command may have had an effect.
    pub async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.propose(command).await?);
        }
        let command = once::repeatable(command, &*self.router.0.randomness);
        match self.call(Operation::Propose(command)).await? {
            Outcome::Reply(reply) => Ok(reply),
            _ => Err(another_call().into()),
        }
    }

    /// The instance, including everything acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn view(&self, key: &InstanceKey) -> Result<Option<InstanceView>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.view(key).await?);
        }
        match self.call(Operation::View(key.clone())).await? {
            Outcome::View(view) => Ok(view.map(|view| *view)),
            _ => Err(another_call().into()),
        }
    }

    /// The instance's committed history, including everything acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history(&self, key: &InstanceKey) -> Result<Option<CommittedHistory>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.history(key).await?);
        }
        let mut read = Read::default();
        loop {
            let operation = Operation::History {
                key: key.clone(),
                known: read.known(),
            };
            let Outcome::History(page) = self.call(operation).await? else {
                return Err(another_call().into());
            };
            let Some(page) = page else {
                return Ok(None);
            };
            if !read.add(page) {
                return Ok(read.history);
            }
        }
    }

    /// Waits, for as long as the caller does and whoever leads, until the instance (which may not exist yet) has begun
    /// or ended.
    ///
    /// # Errors
    /// [`ReadError`]: storage is broken, or this is a node of its own and does not lead.
    pub async fn wait(&self, key: &InstanceKey, until: WaitFor) -> Result<InstanceView, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.wait(key, until).await?);
        }
        let operation = Operation::Wait {
            key: key.clone(),
            until,
        };
        let waited = self.run(operation, Hold::AsLongAsTheCaller);
        match waited.await? {
            Outcome::View(Some(view)) => Ok(*view),
            _ => Err(another_call().into()),
        }
    }

    /// An entity, including everything acknowledged before the call; without `transient`, only one with a state.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn entity(
        &self,
        key: &InstanceKey,
        transient: bool,
    ) -> Result<Option<EntityView>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.entity(key, transient).await?);
        }
        let operation = Operation::Entity {
            key: key.clone(),
            transient,
        };
        match self.call(operation).await? {
            Outcome::Entity(view) => Ok(view),
            _ => Err(another_call().into()),
        }
    }

    /// The children that the instance's stored history tells of, each once.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn children(&self, key: &InstanceKey) -> Result<Vec<InstanceId>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.children(key).await?);
        }
        match self.call(Operation::Children(key.clone())).await? {
            Outcome::Children(children) => Ok(children),
            _ => Err(another_call().into()),
        }
    }

    /// As [`Partition::query_instances`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn query_instances(
        &self,
        filter: InstanceFilter,
        after: Option<TimePosition>,
        limit: usize,
    ) -> Result<Vec<InstanceView>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.query_instances(filter, after, limit).await?);
        }
        let operation = Operation::QueryInstances {
            filter,
            after,
            limit,
        };
        match self.call(operation).await? {
            Outcome::Instances(views) => Ok(views),
            _ => Err(another_call().into()),
        }
    }

    /// As [`Partition::query_ended`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn query_ended(
        &self,
        filter: EndedFilter,
        after: Option<TimePosition>,
        limit: usize,
    ) -> Result<Vec<TimePosition>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.query_ended(filter, after, limit).await?);
        }
        let operation = Operation::QueryEnded {
            filter,
            after,
            limit,
        };
        match self.call(operation).await? {
            Outcome::Ended(positions) => Ok(positions),
            _ => Err(another_call().into()),
        }
    }

    /// As [`Partition::query_entities`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn query_entities(
        &self,
        query: EntityQuery,
        after: Option<InstanceId>,
        limit: usize,
    ) -> Result<Vec<EntityView>, ReadError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.query_entities(query, after, limit).await?);
        }
        let operation = Operation::QueryEntities {
            query,
            after,
            limit,
        };
        match self.call(operation).await? {
            Outcome::Entities(views) => Ok(views),
            _ => Err(another_call().into()),
        }
    }

    /// Deletes the ended instances that a search finds, a few at a time, until there are none or `go_on` says no;
    /// answers how many there were.
    ///
    /// # Errors
    /// [`ProposeError`]: so far some may have been deleted.
    pub async fn purge_ended(
        &self,
        filter: &EndedFilter,
        mut go_on: impl FnMut() -> bool + Send,
    ) -> Result<u64, ProposeError> {
        let mut deleted = 0;
        while go_on() {
            let found = self.query_ended(filter.clone(), None, PURGE_TARGETS_MAX);
            let found = found.await?;
            if found.is_empty() {
                break;
            }
            let targets = found.into_iter().map(|position| PurgeTarget {
                key: InstanceKey::new(filter.hub, position.id),
                completed_at: Some(position.at),
            });
            let targets = targets.collect();
            match self.propose(Command::Purge { targets }).await? {
                Reply::Purged { count, .. } => deleted += u64::from(count),
                _ => break,
            }
        }
        Ok(deleted)
    }

    /// Deletes everything of a task hub that is in the partition, a little at a time.
    ///
    /// # Errors
    /// [`ProposeError`]: some of it may be left.
    pub async fn remove_hub(&self, hub: HubId) -> Result<(), ProposeError> {
        if let Some(partition) = self.alone() {
            return Ok(partition?.remove_hub(hub).await?);
        }
        self.call(Operation::RemoveHub(hub)).await?;
        Ok(())
    }

    /// The replica here, if there is no other node that could lead, or could tell this one that nobody does.
    fn alone(&self) -> Option<Result<Partition, Failure>> {
        match self.cluster() {
            None => Some(self.local()),
            Some(cluster) if cluster.is_alone() => self.here().map(Ok),
            Some(_) => None,
        }
    }

    fn cluster(&self) -> Option<&Cluster> {
        self.router.0.cluster.as_ref()
    }

    /// The replica here.
    fn local(&self) -> Result<Partition, Failure> {
        let partitions = &self.router.0.partitions;
        let known = partitions.get(self.id).cloned();
        let hosted = known.or_else(|| partitions.hosted(self.id));
        hosted.ok_or(Failure::NotNow("the node is stopping".into()))
    }

    async fn call(&self, operation: Operation) -> Result<Outcome, Failure> {
        self.run(operation, Hold::For(self.router.0.hold)).await
    }

    /// Brings an operation to whoever leads, again and again: it must be one that takes effect once.
    pub(crate) async fn run(&self, operation: Operation, hold: Hold) -> Result<Outcome, Failure> {
        let judge = &self.router.0.judge;
        let Some(cluster) = self.cluster() else {
            return perform(&self.local()?, judge, operation, usize::MAX).await;
        };
        let table = &cluster.table;
        let mut attempts = Attempts::new(Instant::now(), hold);
        loop {
            let (asked, outcome) = match table.target(self.id, attempts.turn, attempts.avoid) {
                Target::Here(partition) => {
                    let performed = perform(&partition, judge, operation.clone(), usize::MAX);
                    (None, performed.await)
                }
                Target::There(node) => {
                    // A node that hangs, or cannot be reached, gives no answer for a long time.
                    let answered = tokio::select! {
                        answered = self.ask(cluster, node, &operation) => answered,
                        () = table.succeeded(self.id, node) => Err(Failure::Unknown(
                            format!("node {node} had not answered when another one became leader").into(),
                        )),
                    };
                    (Some(node), answered)
                }
                Target::Nobody => (None, Err(Failure::NotLeader { leader: None })),
            };
            let failure = match outcome {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            match attempts.failed(Instant::now(), asked, failure) {
                Next::AtOnce => {}
                Next::After(pause) => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = table.changed(self.id) => {}
                    }
                }
                Next::GiveUp(failure) => return Err(failure),
            }
        }
    }

    async fn ask(
        &self,
        cluster: &Cluster,
        node: NodeId,
        operation: &Operation,
    ) -> Result<Outcome, Failure> {
        let request = codec::encode_request(CALL, self.id, operation);
        let table = &cluster.table;
        let response = match cluster.exchange.ask(node, request).await {
            Ok(response) => response,
            Err(error) => {
                table.forget(self.id, node);
                return Err(match error {
                    AskError::NotSent(why) => {
                        Failure::NotNow(format!("node {node} cannot be reached: {why}").into())
                    }
                    AskError::Unknown(why) => {
                        Failure::Unknown(format!("node {node} gave no answer: {why}").into())
                    }
                });
            }
        };
        let outcome = codec::decode_response(response).unwrap_or_else(|malformed| {
            tracing::error!(%malformed, %node, "another node's answer cannot be understood");
            Err(Failure::Fault(
                format!("an answer between nodes: {malformed}").into(),
            ))
        });
        match &outcome {
            Err(Failure::NotLeader { leader }) => {
                table.forget(self.id, node);
                if let Some(leader) = leader {
                    table.learn(self.id, *leader);
                }
            }
            Ok(_) | Err(_) => table.learn(self.id, node),
        }
        outcome
    }
}

fn another_call() -> Failure {
    Failure::Fault("a call was answered as another one".into())
}

/// A history as it comes in, page by page.
#[derive(Default)]
struct Read {
    history: Option<CommittedHistory>,
    bytes: u64,
}

impl Read {
    fn known(&self) -> Option<KnownHistory> {
        let history = self.history.as_ref()?;
        Some(KnownHistory {
            execution: history.execution.clone(),
            bytes: self.bytes,
        })
    }

    /// Takes a page, whether it goes on where the last one ended or begins another execution; answers whether there is
    /// more.
    fn add(&mut self, page: HistoryPage) -> bool {
        let bytes: u64 = page.runs.iter().map(|run| run.len() as u64).sum();
        self.bytes = page.offset + bytes;
        match &mut self.history {
            Some(history) if page.offset > 0 => history.runs.extend(page.runs),
            _ => {
                self.history = Some(CommittedHistory {
                    execution: page.execution,
                    runs: page.runs,
                });
            }
        }
        page.has_more
    }
}
