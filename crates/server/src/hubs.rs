//! Task hubs by name, as this node sees them in the catalog; changes are decided by the cluster.
//!
//! ```text
//!   create, recreate, delete ─► Decisions ─► catalog ─► every node's view
//! ```

pub(crate) mod ageing;
pub(crate) mod removal;
mod rpc;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use longhaul_cluster::catalog::{Catalog, Command, Refusal, Reply};
use longhaul_partition::RetentionPolicy;
use longhaul_types::limits::HUBS_MAX;
use longhaul_types::{HubId, HubName};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Retention;

pub(crate) use rpc::HubsOverRpc;

/// The way to what the cluster decides.
pub(crate) trait Decisions: Send + Sync + 'static {
    /// Has a command decided. An error says why it is not known to be.
    fn decide(&self, command: Command) -> BoxFuture<'static, Result<Reply, String>>;

    /// Everything decided, as far as this node knows; closed when it stops.
    fn catalog(&self) -> watch::Receiver<Arc<Catalog>>;

    /// Everything decided before this was called.
    fn newest(&self) -> BoxFuture<'static, Result<Arc<Catalog>, String>>;
}

/// The hubs there are. Must be made within a tokio runtime.
pub struct HubRegistry {
    view: Arc<View>,
    decisions: Arc<dyn Decisions>,
    creation: Creation,
    _follow: AbortOnDropHandle<()>,
}

/// Which names become hubs on their first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Those of [`HubRegistry::create`] alone.
    Explicit,
    /// Every valid one, unless it was deleted since this node started: a worker that connects again must not undo the
    /// deletion.
    OnFirstUse,
}

/// A change of hubs that is not known to be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// Nothing has changed: there are [`HUBS_MAX`] hubs.
    #[error(
        "there are {HUBS_MAX} task hubs, counting deleted ones whose content is still being removed, so {name} cannot be created"
    )]
    Full {
        /// The name.
        name: HubName,
    },
    /// It may be decided yet.
    #[error("the cluster has not answered: {0}")]
    Unavailable(String),
}

/// What this node knows of hubs.
struct View {
    catalog: watch::Receiver<Arc<Catalog>>,
    hubs: RwLock<Hubs>,
    retention: Retention,
    policy: watch::Sender<RetentionPolicy>,
}

#[derive(Default)]
struct Hubs {
    by_folded_name: BTreeMap<String, Hub>,
    doomed: BTreeSet<HubId>,
    /// Folded names of hubs that are gone, at most [`HUBS_MAX`].
    deleted: BTreeSet<String>,
}

struct Hub {
    id: HubId,
    name: HubName,
    /// Cancelled once the hub is no longer listed.
    gone: CancellationToken,
}

impl HubRegistry {
    /// Follows the catalog from now on.
    pub(crate) fn follow(
        decisions: Arc<dyn Decisions>,
        creation: Creation,
        retention: Retention,
    ) -> Self {
        let mut catalog = decisions.catalog();
        let view = Arc::new(View {
            catalog: catalog.clone(),
            hubs: RwLock::default(),
            policy: watch::Sender::new(retention.policy(std::iter::empty())),
            retention,
        });
        catalog.mark_unchanged();
        view.refresh();
        let follower = view.clone();
        let follow = tokio::spawn(async move {
            while catalog.changed().await.is_ok() {
                follower.refresh();
            }
        });
        Self {
            view,
            decisions,
            creation,
            _follow: AbortOnDropHandle::new(follow),
        }
    }

    /// The id of `name`, as far as this node knows.
    #[must_use]
    pub fn resolve(&self, name: &HubName) -> Option<HubId> {
        let hubs = self.view.hubs.read();
        hubs.by_folded_name.get(&name.folded()).map(|hub| hub.id)
    }

    /// The id of a name that this node does not know: created if that is allowed, and otherwise looked up once more in what
    /// the whole cluster knows. `None` if there is no such hub.
    ///
    /// # Errors
    /// [`HubError`]: nothing is known about it.
    pub async fn first_use(&self, name: &HubName) -> Result<Option<HubId>, HubError> {
        let was_deleted = self.view.hubs.read().deleted.contains(&name.folded());
        if self.creation == Creation::OnFirstUse && !was_deleted {
            return self.create(name).await.map(Some);
        }
        let newest = self.decisions.newest().await;
        let newest = newest.map_err(HubError::Unavailable)?;
        Ok(newest.hubs.get(name).map(|hub| hub.id))
    }

    /// The id of `name`, created if need be.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn create(&self, name: &HubName) -> Result<HubId, HubError> {
        if let Some(id) = self.resolve(name) {
            return Ok(id);
        }
        self.made(name, Command::CreateHub(name.clone())).await
    }

    /// An empty hub called `name`; one that was there is gone, and its content is removed later.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn recreate(&self, name: &HubName) -> Result<HubId, HubError> {
        self.made(name, Command::RecreateHub(name.clone())).await
    }

    /// Forgets the hub called `name`, if there is one; its content is removed later.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn delete(&self, name: &HubName) -> Result<(), HubError> {
        let old = self.resolve(name);
        self.decide(name, Command::DeleteHub(name.clone())).await?;
        if let Some(old) = old {
            self.seen(|catalog| catalog.hubs.get(name).is_none_or(|hub| hub.id != old))
                .await?;
        }
        Ok(())
    }

    /// The hubs that were deleted and whose content is not yet known to be removed.
    #[must_use]
    pub fn doomed(&self) -> Vec<HubId> {
        self.view.hubs.read().doomed.iter().copied().collect()
    }

    /// Notes that nothing is left of a doomed hub.
    ///
    /// # Errors
    /// [`HubError`]. Then its content counts as not yet removed.
    pub async fn removed(&self, hub: HubId) -> Result<(), HubError> {
        let reply = self.decisions.decide(Command::ForgetHub(hub)).await;
        reply.map(drop).map_err(HubError::Unavailable)
    }

    /// Cancelled once the hub called `name` is deleted, which may have to be created first.
    pub(crate) async fn gone(&self, name: &HubName) {
        let folded = name.folded();
        let mut changes = self.retention();
        loop {
            let gone = {
                let hubs = self.view.hubs.read();
                let hub = hubs.by_folded_name.get(&folded);
                hub.map(|hub| hub.gone.clone())
            };
            match gone {
                Some(gone) => return gone.cancelled().await,
                None if changes.changed().await.is_ok() => {}
                // A node that stops ends calls by other means.
                None => std::future::pending().await,
            }
        }
    }

    /// Every hub, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(HubId, HubName)> {
        let hubs = self.view.hubs.read();
        let hubs = hubs.by_folded_name.values();
        hubs.map(|hub| (hub.id, hub.name.clone())).collect()
    }

    /// How long ended instances stay, by the ids of the hubs there are at any time.
    #[must_use]
    pub fn retention(&self) -> watch::Receiver<RetentionPolicy> {
        self.view.policy.subscribe()
    }

    /// Decides a command that answers the id of `name`, and waits until this node knows it.
    async fn made(&self, name: &HubName, command: Command) -> Result<HubId, HubError> {
        let Reply::Hub(id) = self.decide(name, command).await? else {
            return Err(HubError::Unavailable(
                "it answered something else".to_owned(),
            ));
        };
        // Unless it is gone again by then.
        self.seen(|catalog| {
            let listed = catalog.hubs.get(name).is_some_and(|hub| hub.id == id);
            listed || catalog.hubs.doomed().any(|doomed| doomed == id)
        })
        .await?;
        Ok(id)
    }

    async fn decide(&self, name: &HubName, command: Command) -> Result<Reply, HubError> {
        let reply = self.decisions.decide(command).await;
        match reply.map_err(HubError::Unavailable)? {
            Reply::Refused(Refusal::HubsFull { .. }) => Err(HubError::Full { name: name.clone() }),
            Reply::Refused(refusal) => Err(HubError::Unavailable(refusal.to_string())),
            reply => Ok(reply),
        }
    }

    /// Waits until this node knows of a decision.
    async fn seen(&self, is_seen: impl Fn(&Catalog) -> bool) -> Result<(), HubError> {
        let mut catalog = self.decisions.catalog();
        let seen = catalog.wait_for(|catalog| is_seen(catalog)).await;
        seen.map_err(|_| HubError::Unavailable("this node stops".to_owned()))?;
        self.view.refresh();
        Ok(())
    }
}

impl View {
    /// Makes the catalog's hubs those of this node.
    fn refresh(&self) {
        // Looked at under the lock, so that nothing older comes after something newer.
        let mut hubs = self.hubs.write();
        let catalog = self.catalog.borrow().clone();
        let Hubs {
            by_folded_name,
            doomed,
            deleted,
        } = &mut *hubs;
        let mut fresh: BTreeMap<String, Hub> = BTreeMap::new();
        for listed in catalog.hubs.list() {
            let folded = listed.name.folded();
            let known = by_folded_name.remove(&folded);
            let hub = match known {
                Some(hub) if hub.id == listed.id => hub,
                replaced => {
                    if let Some(hub) = replaced {
                        hub.leave();
                    }
                    deleted.remove(&folded);
                    Hub {
                        id: listed.id,
                        name: listed.name.clone(),
                        gone: CancellationToken::new(),
                    }
                }
            };
            fresh.insert(folded, hub);
        }
        for (folded, hub) in std::mem::replace(by_folded_name, fresh) {
            hub.leave();
            if deleted.len() >= HUBS_MAX {
                deleted.pop_first();
            }
            deleted.insert(folded);
        }
        *doomed = catalog.hubs.doomed().collect();
        let policy = self
            .retention
            .policy(by_folded_name.values().map(|hub| (hub.id, &hub.name)));
        drop(hubs);
        self.policy.send_replace(policy);
    }
}

impl Hub {
    fn leave(&self) {
        tracing::info!(hub = %self.name, id = self.id.0, "task hub deleted");
        self.gone.cancel();
    }
}

impl fmt::Debug for HubRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubRegistry").finish_non_exhaustive()
    }
}
