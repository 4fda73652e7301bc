//! Task hubs by name: a durable list whose ids are part of every key on disk and never used again.
//!
//! ```text
//!   no such hub ──create──► listed ──delete──► doomed: its content is being removed ──removed──► forgotten
//!                             └──recreate──► doomed, and a new id is listed under the name
//! ```

pub(crate) mod ageing;
mod record;
pub(crate) mod removal;
mod rpc;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use longhaul_partition::RetentionPolicy;
use longhaul_types::limits::HUBS_MAX;
use longhaul_types::{HubId, HubName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Retention;
use crate::data_dir::durable_file::{self, FileError, Sync};
use crate::fault::FaultHandler;

pub(crate) use rpc::HubsOverRpc;

/// The list, in memory and in its file.
#[derive(Debug)]
pub struct HubRegistry {
    /// Serialises changes; lookups do not wait for the disk.
    changes: Mutex<Store>,
    hubs: RwLock<Hubs>,
    creation: Creation,
    retention: Retention,
    policy: watch::Sender<RetentionPolicy>,
    /// Told whenever a hub is doomed.
    doomed: Notify,
}

/// What a list is opened with.
#[derive(Debug)]
pub struct Opening {
    /// Its file.
    pub path: PathBuf,
    /// Whether changes are synced.
    pub sync: Sync,
    /// Whether there was a list before, so that its absence is a loss.
    pub must_exist: bool,
    /// Which names become hubs on their first use.
    pub creation: Creation,
    /// How long ended instances stay, by hub name.
    pub retention: Retention,
    /// Told when a hub that is used for the first time cannot be made durable.
    pub on_fault: FaultHandler,
}

/// Which names become hubs on their first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Those of [`HubRegistry::create`] alone.
    Explicit,
    /// Every valid one, unless it was deleted since the list was opened: a worker that connects again must not undo
    /// the deletion.
    OnFirstUse,
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Written by another release.
    #[error(
        "{path} has format {found}, this binary reads formats up to {newest}; run the release that wrote it",
        newest = record::FORMAT
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not what was written.
    #[error(
        "{path} is damaged: {reason}; restore it from a copy, since instances are found by the ids in it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There was a list, and it is gone.
    #[error(
        "{path} is missing, though this directory was used before; restore it from a copy, since instances are found by the ids in it"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There are [`HUBS_MAX`] hubs.
    #[error(
        "there are {HUBS_MAX} task hubs, counting deleted ones whose content is still being removed, so {name} cannot be created"
    )]
    Full {
        /// The name.
        name: HubName,
    },
}

#[derive(Debug)]
struct Store {
    path: PathBuf,
    sync: Sync,
    on_fault: FaultHandler,
}

/// What is known of hubs. All but `deleted` and the tokens is durable.
#[derive(Debug, Clone, Default)]
struct Hubs {
    /// Above every id ever given.
    next_id: u32,
    by_folded_name: BTreeMap<String, Hub>,
    doomed: BTreeSet<HubId>,
    /// Folded names, at most [`HUBS_MAX`].
    deleted: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Hub {
    id: HubId,
    name: HubName,
    /// Cancelled once the hub is no longer listed.
    gone: CancellationToken,
}

impl HubRegistry {
    /// Reads the list in its file, or begins an empty one there unless there must be one.
    ///
    /// # Errors
    /// It cannot be read, or is not ours to read.
    pub fn open(opening: Opening) -> Result<Self, RegistryError> {
        let Opening { path, sync, .. } = opening;
        let hubs = match durable_file::read(&path)? {
            Some(content) => record::read(&path, &content)?,
            None if opening.must_exist => return Err(RegistryError::Missing { path }),
            None => {
                let none = Hubs {
                    next_id: 1,
                    ..Hubs::default()
                };
                durable_file::replace(&path, &record::write(&none), sync)?;
                none
            }
        };
        Ok(Self {
            policy: watch::Sender::new(hubs.policy(&opening.retention)),
            changes: Mutex::new(Store {
                path,
                sync,
                on_fault: opening.on_fault,
            }),
            hubs: RwLock::new(hubs),
            creation: opening.creation,
            retention: opening.retention,
            doomed: Notify::new(),
        })
    }

    /// The id of `name`, created if need be and allowed; `None` if there is no such hub.
    pub fn resolve(&self, name: &HubName) -> Option<HubId> {
        let folded = name.folded();
        let hubs = self.hubs.read();
        if let Some(hub) = hubs.by_folded_name.get(&folded) {
            return Some(hub.id);
        }
        if self.creation == Creation::Explicit || hubs.deleted.contains(&folded) {
            return None;
        }
        drop(hubs);
        match self.create(name) {
            Ok(id) => Some(id),
            Err(RegistryError::File(error)) => {
                self.changes.lock().on_fault.raise(&error);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "task hub not created");
                None
            }
        }
    }

    /// The id of `name`, which is created and made durable unless it exists.
    ///
    /// # Errors
    /// It cannot be made durable, or there are too many. Then it does not exist.
    pub fn create(&self, name: &HubName) -> Result<HubId, RegistryError> {
        let store = self.changes.lock();
        // Someone may have created it while we waited.
        if let Some(hub) = self.hubs.read().by_folded_name.get(&name.folded()) {
            return Ok(hub.id);
        }
        let mut hubs = self.hubs.read().clone();
        let id = hubs.add(name)?;
        self.commit(&store, hubs)?;
        tracing::info!(hub = %name, id = id.0, "task hub created");
        Ok(id)
    }

    /// Gives `name` to a new, empty hub, durably; the content of an old one is removed later.
    ///
    /// # Errors
    /// It cannot be made durable, or there are too many. Then nothing has changed.
    pub fn recreate(&self, name: &HubName) -> Result<HubId, RegistryError> {
        let store = self.changes.lock();
        let mut hubs = self.hubs.read().clone();
        let old = hubs.doom(name);
        let id = hubs.add(name)?;
        self.commit(&store, hubs)?;
        tracing::info!(hub = %name, id = id.0, "task hub created anew");
        self.tell_doomed(old);
        Ok(id)
    }

    /// Forgets the hub called `name`, if there is one, durably; its content is removed later.
    ///
    /// # Errors
    /// It cannot be made durable. Then nothing has changed.
    pub fn delete(&self, name: &HubName) -> Result<(), RegistryError> {
        let store = self.changes.lock();
        let mut hubs = self.hubs.read().clone();
        let Some(old) = hubs.doom(name) else {
            return Ok(());
        };
        if hubs.deleted.len() >= HUBS_MAX {
            hubs.deleted.pop_first();
        }
        hubs.deleted.insert(name.folded());
        self.commit(&store, hubs)?;
        tracing::info!(hub = %name, id = old.id.0, "task hub deleted");
        self.tell_doomed(Some(old));
        Ok(())
    }

    /// The hubs that were deleted and whose content is not yet known to be removed.
    #[must_use]
    pub fn doomed(&self) -> Vec<HubId> {
        self.hubs.read().doomed.iter().copied().collect()
    }

    /// Returns when a hub may have been doomed since the last call.
    pub async fn doomed_changed(&self) {
        self.doomed.notified().await;
    }

    /// Notes durably that nothing is left of a doomed hub.
    ///
    /// # Errors
    /// It cannot be made durable. Then its content counts as not yet removed.
    pub fn removed(&self, hub: HubId) -> Result<(), RegistryError> {
        let store = self.changes.lock();
        let mut hubs = self.hubs.read().clone();
        if hubs.doomed.remove(&hub) {
            self.commit(&store, hubs)?;
        }
        Ok(())
    }

    /// Cancelled once the hub called `name` is deleted; `None` if there is no such hub.
    #[must_use]
    pub fn gone(&self, name: &HubName) -> Option<CancellationToken> {
        self.resolve(name)?;
        let hubs = self.hubs.read();
        let hub = hubs.by_folded_name.get(&name.folded())?;
        Some(hub.gone.clone())
    }

    /// Every hub, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(HubId, HubName)> {
        let hubs = self.hubs.read();
        let hubs = hubs.by_folded_name.values();
        hubs.map(|hub| (hub.id, hub.name.clone())).collect()
    }

    /// How long ended instances stay, by the ids of the hubs there are at any time.
    #[must_use]
    pub fn retention(&self) -> watch::Receiver<RetentionPolicy> {
        self.policy.subscribe()
    }

    /// Makes `hubs` durable, and only then true.
    fn commit(&self, store: &Store, hubs: Hubs) -> Result<(), RegistryError> {
        durable_file::replace(&store.path, &record::write(&hubs), store.sync)?;
        let policy = hubs.policy(&self.retention);
        *self.hubs.write() = hubs;
        self.policy.send_replace(policy);
        Ok(())
    }

    fn tell_doomed(&self, old: Option<Hub>) {
        if let Some(hub) = old {
            hub.gone.cancel();
            self.doomed.notify_one();
        }
    }
}

impl Hubs {
    fn add(&mut self, name: &HubName) -> Result<HubId, RegistryError> {
        if self.by_folded_name.len() + self.doomed.len() >= HUBS_MAX {
            return Err(RegistryError::Full { name: name.clone() });
        }
        let hub = Hub::new(HubId(self.next_id), name.clone());
        let (id, folded) = (hub.id, name.folded());
        self.next_id += 1;
        self.deleted.remove(&folded);
        self.by_folded_name.insert(folded, hub);
        Ok(id)
    }

    fn doom(&mut self, name: &HubName) -> Option<Hub> {
        let hub = self.by_folded_name.remove(&name.folded())?;
        self.doomed.insert(hub.id);
        Some(hub)
    }

    fn policy(&self, retention: &Retention) -> RetentionPolicy {
        let hubs = self.by_folded_name.values();
        retention.policy(hubs.map(|hub| (hub.id, &hub.name)))
    }
}

impl Hub {
    fn new(id: HubId, name: HubName) -> Self {
        Self {
            id,
            name,
            gone: CancellationToken::new(),
        }
    }
}
