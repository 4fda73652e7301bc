//! Reads over many instances, and what is purged because a search found it.
//!
//! The partition's lock is held only to take a look at one moment; the search runs on a thread where it may wait for the
//! disk, and nobody waits for it.

use longhaul_engine::command::PurgeTarget;
use longhaul_engine::history::Frames;
use longhaul_engine::history::read::{Stored, read};
use longhaul_engine::query::{EndedFilter, EntityQuery, EntityView, InstanceFilter, TimePosition};
use longhaul_engine::{Command, InstanceKey, InstanceView, Reply, TableFault, Tables};
use longhaul_replication::CheckpointThread;
use longhaul_storage::Look;
use longhaul_types::{HubId, InstanceId};

use crate::errors::{ProposeError, ReadError};
use crate::partition::Partition;

/// Instances deleted in one command: few enough that others hardly wait for it.
const PURGE_TARGETS_MAX: usize = 128;

impl Partition {
    /// Up to `limit` instances that match, after a position, by creation time and id; fewer only if there are no more, or
    /// with [`longhaul_types::limits::SEARCH_BYTES_MAX`] bytes of payloads.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn query_instances(
        &self,
        filter: InstanceFilter,
        after: Option<TimePosition>,
        limit: usize,
    ) -> Result<Vec<InstanceView>, ReadError> {
        self.search(move |look| look.instances(&filter, after.as_ref(), limit))
            .await
    }

    /// Up to `limit` ended instances that match, after a position, by completion time and id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn query_ended(
        &self,
        filter: EndedFilter,
        after: Option<TimePosition>,
        limit: usize,
    ) -> Result<Vec<TimePosition>, ReadError> {
        self.search(move |look| look.ended(&filter, after.as_ref(), limit))
            .await
    }

    /// Up to `limit` entities that match, after an id, by id; fewer only if there are no more, or with
    /// [`longhaul_types::limits::SEARCH_BYTES_MAX`] bytes of states.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn query_entities(
        &self,
        query: EntityQuery,
        after: Option<InstanceId>,
        limit: usize,
    ) -> Result<Vec<EntityView>, ReadError> {
        let hub = query.hub;
        let mut views = self
            .search(move |look| look.entities(&query, after.as_ref(), limit))
            .await?;
        for view in &mut views {
            self.without_operations_out(hub, view);
        }
        Ok(views)
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
        self.barrier().await?;
        let mut view = {
            let mut core = self.shared.core.lock();
            let entity = core.tables.entity(key)?;
            entity.and_then(|entity| entity.view(key, transient))
        };
        if let Some(view) = &mut view {
            self.without_operations_out(key.hub, view);
        }
        Ok(view)
    }

    /// The backlog is what no worker has been given yet; a batch stays in the record until it is committed.
    fn without_operations_out(&self, hub: HubId, view: &mut EntityView) {
        let key = InstanceKey::new(hub, view.id.clone());
        let out = self
            .shared
            .with_leader(|leader, _, _| Ok(leader.dispatcher.operations_out(&key)));
        let out = u32::try_from(out.unwrap_or(0)).unwrap_or(u32::MAX);
        view.backlog = view.backlog.saturating_sub(out);
    }

    /// The children that the instance's stored history tells of, each once.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn children(&self, key: &InstanceKey) -> Result<Vec<InstanceId>, ReadError> {
        let Some(history) = self.history(key).await? else {
            return Ok(Vec::new());
        };
        let events = history.runs.into_iter().flat_map(Frames::new);
        let mut children: Vec<InstanceId> = events
            .filter_map(|event| match read(&event.ok()?) {
                Stored::ChildCreated(child) => Some(child.instance),
                _ => None,
            })
            .collect();
        children.sort_unstable();
        children.dedup();
        Ok(children)
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
            let found = found.await.map_err(unread)?;
            if found.is_empty() {
                break;
            }
            let targets = found.into_iter().map(|position| PurgeTarget {
                key: InstanceKey::new(filter.hub, position.id),
                completed_at: Some(position.at),
            });
            let purge = Command::Purge {
                targets: targets.collect(),
            };
            match self.propose(purge).await? {
                Reply::Purged { count, .. } => deleted += u64::from(count),
                _ => break,
            }
        }
        Ok(deleted)
    }

    /// Deletes everything of a task hub that is here, a little at a time.
    ///
    /// # Errors
    /// [`ProposeError`]: some of it may be left.
    pub async fn remove_hub(&self, hub: HubId) -> Result<(), ProposeError> {
        loop {
            let keys = self.search(move |look| look.keys(hub, None, PURGE_TARGETS_MAX));
            let keys = keys.await.map_err(unread)?;
            if keys.is_empty() {
                return Ok(());
            }
            self.propose(Command::Remove { keys }).await?;
        }
    }

    async fn search<T: Send + 'static>(
        &self,
        search: impl FnOnce(&Look) -> Result<T, TableFault> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.barrier().await?;
        let look = self.shared.core.lock().tables.look()?;
        let found = match self.shared.config.search_thread {
            CheckpointThread::Caller => search(&look),
            CheckpointThread::Blocking => tokio::task::spawn_blocking(move || search(&look))
                .await
                .map_err(|_| ReadError::Unavailable("the search was interrupted"))?,
        };
        Ok(found?)
    }
}

fn unread(error: ReadError) -> ProposeError {
    match error {
        ReadError::NotLeader { leader } => ProposeError::NotLeader { leader },
        ReadError::Unavailable(reason) => ProposeError::NotApplied(reason),
        ReadError::Fault(_) => ProposeError::NotApplied("the partition's storage is broken"),
    }
}
