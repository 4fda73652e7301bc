//! The directory of everything durable, locked for one process and tied to one node.
//!
//! ```text
//! longhaul-data/
//!   LOCK            held while a process uses the directory; its process id
//!   identity.json   format, this directory's id, cluster and node, how often it was started
//!   founding.json   what this node founds its cluster with, on the node that does
//!   catalog         this node's copy of what all nodes agree on: members, placement, task hubs, the key of tokens
//!   wal/            the write-ahead log       wal.watermark   how long it must at least be
//!   state/          the state of instances, as of the last checkpoint
//! ```
//!
//! Losing a part of it is noticed; nothing here repairs anything.

pub(crate) mod durable_file;
mod identity;
mod lock;

#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use longhaul_types::NodeId;
use tempfile::TempDir;

pub use durable_file::{FileError, Sync};
pub use identity::{FORMAT, Identity, IdentityError, Membership, hex};
pub use lock::LockError;

use durable_file::{failed, sync_directory_of};
use lock::DirLock;

/// A directory in use by this process; dropping it lets others use it, and deletes it if it is ephemeral.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
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
    /// It belongs to another cluster, or to it as another node, than it is to.
    #[error(
        "{dir} belongs to node {node} of cluster {cluster}, and cannot become another one's; choose another data directory with --data"
    )]
    Taken {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        node: NodeId,
        /// Of which cluster.
        cluster: String,
    },
}

/// What a new directory is given.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// Its id.
    pub directory: [u8; 16],
    /// When it is first used.
    pub now: SystemTime,
}

impl DataDir {
    /// Uses `path`, created if missing; only a new directory is given what is `fresh`.
    ///
    /// # Errors
    /// It is in use, not ours, of another format, or damaged: see [`OpenError`].
    pub fn open(path: &Path, fresh: Fresh) -> Result<Self, OpenError> {
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
        Self::open_in(path, fresh, Sync::Always, None)
    }

    /// A new directory among the temporary files, deleted in the end, in which nothing is synced.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn ephemeral(fresh: Fresh) -> Result<Self, OpenError> {
        let dir = tempfile::Builder::new().prefix("longhaul-").tempdir();
        let dir = dir.map_err(failed("create a directory in", &std::env::temp_dir()))?;
        let path = dir.path().to_owned();
        Self::open_in(path, fresh, Sync::Never, Some(dir))
    }

    fn open_in(
        path: PathBuf,
        fresh: Fresh,
        sync: Sync,
        ephemeral: Option<TempDir>,
    ) -> Result<Self, OpenError> {
        let lock = DirLock::take(&path)?;
        let mut identity = match Identity::read(&path)? {
            Some(identity) => identity,
            None => {
                check_empty(&path)?;
                Identity::create(fresh.directory, fresh.now)
            }
        };
        // Written before anybody is told of it: no two starts have the same number.
        identity.incarnation += 1;
        identity.write(&path, sync)?;
        Ok(Self {
            path,
            identity,
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

    /// Makes the directory that of a node, for good. Does nothing if it is that node's already.
    ///
    /// # Errors
    /// It is another one's, or the note cannot be written.
    pub fn become_member(&mut self, membership: Membership) -> Result<(), OpenError> {
        match self.identity.membership {
            Some(known) if known == membership => Ok(()),
            Some(known) => Err(OpenError::Taken {
                dir: self.path.clone(),
                node: known.node,
                cluster: hex(&known.cluster_id),
            }),
            None => Ok(self.change(|identity| identity.membership = Some(membership))?),
        }
    }

    /// Notes that the write-ahead log exists: from now on, its absence is a loss.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn note_log(&mut self) -> Result<(), FileError> {
        if self.identity.has_log {
            return Ok(());
        }
        self.change(|identity| identity.has_log = true)
    }

    fn change(&mut self, change: impl FnOnce(&mut Identity)) -> Result<(), FileError> {
        let mut identity = self.identity.clone();
        change(&mut identity);
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

    /// What this node founds its cluster with.
    #[must_use]
    pub fn founding_file(&self) -> PathBuf {
        self.path.join("founding.json")
    }

    /// This node's copy of the catalog.
    #[must_use]
    pub fn catalog_file(&self) -> PathBuf {
        self.path.join("catalog")
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

/// Whatever else lies around may stay: volumes come with directories of their own.
fn check_empty(dir: &Path) -> Result<(), OpenError> {
    let ours = ["wal", "wal.watermark", "state", "catalog"];
    match ours.into_iter().find(|name| dir.join(name).exists()) {
        Some(found) => Err(OpenError::Orphaned {
            dir: dir.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}
