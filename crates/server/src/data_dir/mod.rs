//! The directory of everything durable, locked for one process and tied to one node.
//!
//! ```text
//! longhaul-data/
//!   LOCK            held while a process uses the directory; its process id
//!   identity.json   format, cluster and node, number of partitions
//!   secrets.json    what only this cluster knows: the key of its tokens
//!   hubs.json       task hubs and their ids
//!   wal/            the write-ahead log       wal.watermark   how long it must at least be
//!   state/          the state of instances, as of the last checkpoint
//! ```
//!
//! Losing a part of it is noticed; nothing here repairs anything. Only lost secrets are made again, since all they cost
//! is that tokens given out before are stale.

pub(crate) mod durable_file;
mod identity;
mod lock;
mod secrets;

#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use longhaul_types::PartitionCount;
use tempfile::TempDir;

pub use durable_file::{FileError, Sync};
pub use identity::{FORMAT, Identity, IdentityError};
pub use lock::LockError;
pub use secrets::SecretsError;

use durable_file::{failed, sync_directory_of};
use lock::DirLock;
use secrets::Secrets;

/// A directory in use by this process; dropping it lets others use it, and deletes it if it is ephemeral.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    secrets: Secrets,
    sync: Sync,
    /// Before the directory itself, so that it is dropped first.
    _lock: DirLock,
    _ephemeral: Option<TempDir>,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process uses it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It does not say whose it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its secrets cannot be read.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Data without an identity.
    #[error(
        "{dir} holds {found} but no identity.json, so nothing tells whose data it is; restore the file, or choose another data directory with --data"
    )]
    Orphaned {
        /// The directory.
        dir: PathBuf,
        /// What was found in it.
        found: &'static str,
    },
    /// Created with another number of partitions than was asked for.
    #[error(
        "{dir} was created with {created} partitions, but {asked_by} asks for {asked}; the number never changes, so drop the setting or choose another data directory"
    )]
    Partitions {
        /// The directory.
        dir: PathBuf,
        /// How many it has.
        created: u16,
        /// How many were asked for.
        asked: u16,
        /// Where.
        asked_by: String,
    },
}

/// How many partitions a new directory gets, and whether an old one must have as many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionsWanted {
    /// For a new directory.
    pub count: PartitionCount,
    /// Who insists on that number; a default does not.
    pub insisted_by: Option<String>,
}

/// What a new directory is given.
#[derive(Clone, Copy)]
pub struct Fresh {
    /// For its identity.
    pub cluster_id: [u8; 16],
    /// For its secrets, if it has none.
    pub token_key: [u8; 32],
    /// When it is first used.
    pub now: SystemTime,
}

impl DataDir {
    /// Uses `path`, created if missing; only a new directory is given what is `fresh`.
    ///
    /// # Errors
    /// It is in use, not ours, of another format, or damaged: see [`OpenError`].
    pub fn open(path: &Path, wanted: &PartitionsWanted, fresh: Fresh) -> Result<Self, OpenError> {
        if !path.exists() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(failed("create", path))?;
            sync_directory_of(path, Sync::Always)?;
        }
        // Messages should name a place that means the same from anywhere.
        let path = path.canonicalize().map_err(failed("find", path))?;
        Self::open_in(path, wanted, fresh, Sync::Always, None)
    }

    /// A new directory among the temporary files, deleted in the end, in which nothing is synced.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn ephemeral(wanted: &PartitionsWanted, fresh: Fresh) -> Result<Self, OpenError> {
        let dir = tempfile::Builder::new().prefix("longhaul-").tempdir();
        let dir = dir.map_err(failed("create a directory in", &std::env::temp_dir()))?;
        let path = dir.path().to_owned();
        Self::open_in(path, wanted, fresh, Sync::Never, Some(dir))
    }

    fn open_in(
        path: PathBuf,
        wanted: &PartitionsWanted,
        fresh: Fresh,
        sync: Sync,
        ephemeral: Option<TempDir>,
    ) -> Result<Self, OpenError> {
        let lock = DirLock::take(&path)?;
        let identity = match Identity::read(&path)? {
            Some(identity) => {
                check_partitions(&path, &identity, wanted)?;
                identity
            }
            None => {
                check_empty(&path)?;
                let identity = Identity::create(fresh.cluster_id, wanted.count, fresh.now);
                identity.write(&path, sync)?;
                identity
            }
        };
        let secrets = match Secrets::read(&path)? {
            Some(secrets) => secrets,
            None => {
                if identity.has_log {
                    tracing::warn!(
                        directory = %path.display(),
                        "no secrets.json: a new one is made, and tokens that were given out before are stale"
                    );
                }
                let secrets = Secrets::new(fresh.token_key);
                secrets.write(&path, sync)?;
                secrets
            }
        };
        Ok(Self {
            path,
            identity,
            secrets,
            sync,
            _lock: lock,
            _ephemeral: ephemeral,
        })
    }

    /// Whose data it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key of the tokens that this cluster gives out. Never to be logged or shown.
    #[must_use]
    pub fn token_key(&self) -> [u8; 32] {
        self.secrets.token_key()
    }

    /// Notes that the write-ahead log exists: from now on, its absence is a loss.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn note_log(&mut self) -> Result<(), FileError> {
        if self.identity.has_log {
            return Ok(());
        }
        let identity = Identity {
            has_log: true,
            ..self.identity.clone()
        };
        identity.write(&self.path, self.sync)?;
        self.identity = identity;
        Ok(())
    }

    /// Whether its files are synced.
    #[must_use]
    pub fn sync(&self) -> Sync {
        self.sync
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of task hubs.
    #[must_use]
    pub fn hubs_file(&self) -> PathBuf {
        self.path.join("hubs.json")
    }

    /// The directory of the write-ahead log.
    #[must_use]
    pub fn wal_dir(&self) -> PathBuf {
        self.path.join("wal")
    }

    /// The directory of the state.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path.join("state")
    }
}

fn check_partitions(
    dir: &Path,
    identity: &Identity,
    wanted: &PartitionsWanted,
) -> Result<(), OpenError> {
    match &wanted.insisted_by {
        Some(asked_by) if identity.partitions != wanted.count => Err(OpenError::Partitions {
            dir: dir.to_owned(),
            created: identity.partitions.get(),
            asked: wanted.count.get(),
            asked_by: asked_by.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whatever else lies around may stay: volumes come with directories of their own.
fn check_empty(dir: &Path) -> Result<(), OpenError> {
    let ours = ["wal", "wal.watermark", "state", "hubs.json", "secrets.json"];
    match ours.into_iter().find(|name| dir.join(name).exists()) {
        Some(found) => Err(OpenError::Orphaned {
            dir: dir.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}
