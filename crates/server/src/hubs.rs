//! Task hubs by name: a durable list whose ids are part of every key on disk and never used again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longhaul_types::{HubId, HubName};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::data_dir::durable_file::{self, FileError, Sync};
use crate::fault::FaultHandler;

/// Hubs of one cluster. Our choice; bounds what a client can create by inventing names.
pub const HUBS_MAX: usize = 10_000;

const FORMAT: u32 = 1;

/// The list, in memory and in its file.
#[derive(Debug)]
pub struct HubRegistry {
    /// Serialises changes; lookups do not wait for the disk.
    changes: Mutex<Store>,
    hubs: RwLock<Hubs>,
    creation: Creation,
}

/// Which names become hubs on their first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Those of [`HubRegistry::create`] alone.
    Explicit,
    /// Every valid one.
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
        "{path} has format {found}, this binary reads format {FORMAT}; run the release that wrote it"
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
    #[error("there are {HUBS_MAX} task hubs already, so {name} cannot be created")]
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

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hubs {
    next_id: u32,
    by_folded_name: BTreeMap<String, (HubId, HubName)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    /// Above every id ever given.
    next_id: u32,
    hubs: Vec<HubRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HubRecord {
    id: u32,
    name: String,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl HubRegistry {
    /// Reads the list in `path`, or begins an empty one there unless there must be one.
    ///
    /// # Errors
    /// It cannot be read, or is not ours to read.
    pub fn open(
        path: PathBuf,
        sync: Sync,
        must_exist: bool,
        creation: Creation,
        on_fault: FaultHandler,
    ) -> Result<Self, RegistryError> {
        let hubs = match durable_file::read(&path)? {
            Some(content) => read_record(&path, &content)?,
            None if must_exist => return Err(RegistryError::Missing { path }),
            None => {
                let none = Hubs {
                    next_id: 1,
                    by_folded_name: BTreeMap::new(),
                };
                durable_file::replace(&path, &write_record(&none), sync)?;
                none
            }
        };
        Ok(Self {
            changes: Mutex::new(Store {
                path,
                sync,
                on_fault,
            }),
            hubs: RwLock::new(hubs),
            creation,
        })
    }

    /// The id of `name`, created if need be and allowed; `None` if there is no such hub.
    pub fn resolve(&self, name: &HubName) -> Option<HubId> {
        if let Some(id) = self.get(name) {
            return Some(id);
        }
        match self.creation {
            Creation::Explicit => None,
            Creation::OnFirstUse => match self.create(name) {
                Ok(id) => Some(id),
                Err(RegistryError::File(error)) => {
                    self.changes.lock().on_fault.raise(&error);
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, "task hub not created");
                    None
                }
            },
        }
    }

    /// The id of `name`, which is created and made durable unless it exists.
    ///
    /// # Errors
    /// It cannot be made durable, or there are too many. Then it does not exist.
    pub fn create(&self, name: &HubName) -> Result<HubId, RegistryError> {
        let store = self.changes.lock();
        // Someone may have created it while we waited.
        if let Some(id) = self.get(name) {
            return Ok(id);
        }
        let mut hubs = self.hubs.read().clone();
        if hubs.by_folded_name.len() >= HUBS_MAX {
            return Err(RegistryError::Full { name: name.clone() });
        }
        let id = HubId(hubs.next_id);
        hubs.next_id += 1;
        hubs.by_folded_name
            .insert(name.folded(), (id, name.clone()));
        durable_file::replace(&store.path, &write_record(&hubs), store.sync)?;
        *self.hubs.write() = hubs;
        tracing::info!(hub = %name, id = id.0, "task hub created");
        Ok(id)
    }

    /// Every hub, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(HubId, HubName)> {
        self.hubs.read().by_folded_name.values().cloned().collect()
    }

    fn get(&self, name: &HubName) -> Option<HubId> {
        let hubs = self.hubs.read();
        hubs.by_folded_name.get(&name.folded()).map(|(id, _)| *id)
    }
}

fn write_record(hubs: &Hubs) -> Vec<u8> {
    let record = Record {
        format: FORMAT,
        next_id: hubs.next_id,
        hubs: hubs
            .by_folded_name
            .values()
            .map(|(id, name)| HubRecord {
                id: id.0,
                name: name.to_string(),
            })
            .collect(),
    };
    let mut content = serde_json::to_vec_pretty(&record).expect("plain fields have a JSON form");
    content.push(b'\n');
    content
}

fn read_record(path: &std::path::Path, content: &[u8]) -> Result<Hubs, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let FormatOnly { format } =
        serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
    if format != FORMAT {
        return Err(RegistryError::Format {
            path: path.to_owned(),
            found: format,
        });
    }
    let record: Record =
        serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
    let mut by_folded_name = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for hub in record.hubs {
        let name = HubName::parse(&hub.name).map_err(|error| damaged(error.to_string()))?;
        if hub.id >= record.next_id || !ids.insert(hub.id) {
            return Err(damaged(format!(
                "the id {} of {name} is used twice",
                hub.id
            )));
        }
        if by_folded_name
            .insert(name.folded(), (HubId(hub.id), name))
            .is_some()
        {
            return Err(damaged(format!("{} is there twice", hub.name)));
        }
    }
    Ok(Hubs {
        next_id: record.next_id,
        by_folded_name,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn open(dir: &TempDir, creation: Creation) -> Result<HubRegistry, RegistryError> {
        let on_fault = FaultHandler::new(|cause| panic!("{cause}"));
        let path = dir.path().join("hubs.json");
        HubRegistry::open(path, Sync::Always, false, creation, on_fault)
    }

    fn name(name: &str) -> HubName {
        HubName::parse(name).expect("valid")
    }

    fn new_dir() -> TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn ids_are_kept_over_restarts_and_names_compared_without_case() {
        let dir = new_dir();
        let hubs = open(&dir, Creation::Explicit).expect("new");
        let default = hubs.create(&name("default")).expect("created");
        let other = hubs.create(&name("Other")).expect("created");
        assert_ne!(default, other);
        assert_eq!(hubs.create(&name("DEFAULT")).expect("there"), default);
        drop(hubs);

        let hubs = open(&dir, Creation::Explicit).expect("ours");
        assert_eq!(hubs.resolve(&name("Default")), Some(default));
        assert_eq!(hubs.resolve(&name("other")), Some(other));
        assert_eq!(hubs.resolve(&name("third")), None);
        let shown: Vec<String> = hubs
            .list()
            .iter()
            .map(|(_, name)| name.to_string())
            .collect();
        assert_eq!(shown, ["default", "Other"]);
    }

    #[test]
    fn ids_of_hubs_that_are_gone_are_not_given_again() {
        let dir = new_dir();
        let content = r#"{"format": 1, "next_id": 7, "hubs": [{"id": 2, "name": "a"}]}"#;
        fs::write(dir.path().join("hubs.json"), content).expect("written");
        let hubs = open(&dir, Creation::Explicit).expect("ours");
        assert_eq!(hubs.create(&name("b")).expect("created"), HubId(7));
    }

    #[test]
    fn first_use_creates_where_that_is_allowed() {
        let dir = new_dir();
        let hubs = open(&dir, Creation::OnFirstUse).expect("new");
        let id = hubs.resolve(&name("new")).expect("created");
        drop(hubs);
        let hubs = open(&dir, Creation::Explicit).expect("ours");
        assert_eq!(hubs.resolve(&name("new")), Some(id));
    }

    #[test]
    fn many_first_uses_at_once_create_one_hub() {
        let dir = new_dir();
        let hubs = open(&dir, Creation::OnFirstUse).expect("new");
        let ids = std::thread::scope(|scope| {
            let resolve = || hubs.resolve(&name("new")).expect("created");
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(resolve)).collect();
            let ids = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            ids.collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn hub_that_cannot_be_made_durable_is_a_fault_and_does_not_exist() {
        let dir = new_dir();
        let (sender, faults) = std::sync::mpsc::sync_channel(1);
        let on_fault =
            FaultHandler::new(move |cause| sender.send(cause.to_owned()).expect("heard"));
        let inner = dir.path().join("gone");
        fs::create_dir(&inner).expect("created");
        let path = inner.join("hubs.json");
        let hubs = HubRegistry::open(path, Sync::Always, false, Creation::OnFirstUse, on_fault)
            .expect("new");
        fs::remove_dir_all(&inner).expect("removed");
        assert_eq!(hubs.resolve(&name("new")), None);
        assert!(faults.try_recv().expect("a fault").contains("gone"));
        assert!(hubs.list().is_empty());
    }

    #[test]
    fn list_that_is_gone_is_a_loss() {
        let dir = new_dir();
        let on_fault = FaultHandler::new(|cause| panic!("{cause}"));
        let path = dir.path().join("hubs.json");
        let error = HubRegistry::open(path, Sync::Always, true, Creation::OnFirstUse, on_fault)
            .expect_err("gone");
        assert!(error.to_string().contains("missing"), "{error}");
    }

    #[test]
    fn damaged_lists_are_refused() {
        let dir = new_dir();
        for (content, part) in [
            ("", "damaged"),
            (r#"{"format": 2}"#, "format 2"),
            (
                r#"{"format": 1, "next_id": 1, "hubs": [{"id": 1, "name": "a"}]}"#,
                "id 1",
            ),
            (
                r#"{"format": 1, "next_id": 9, "hubs": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}"#,
                "id 1",
            ),
            (
                r#"{"format": 1, "next_id": 9, "hubs": [{"id": 1, "name": "a"}, {"id": 2, "name": "A"}]}"#,
                "twice",
            ),
            (
                r#"{"format": 1, "next_id": 9, "hubs": [{"id": 1, "name": "a b"}]}"#,
                "letters",
            ),
        ] {
            fs::write(dir.path().join("hubs.json"), content).expect("written");
            let error = open(&dir, Creation::Explicit)
                .expect_err("must be refused")
                .to_string();
            assert!(error.contains(part), "{part:?} in {error:?}");
        }
    }
}
