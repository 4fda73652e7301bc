//! One target directory for the test runs of all checkouts on a machine.
//!
//! A fresh clone would otherwise compile some hundred dependencies anew. Two things make sharing
//! safe. Cargo gives a workspace package the same place in whatever checkout it lies, and tells old
//! output from new by modification times alone: with two checkouts it would take one's output for
//! the other's. So a run that finds another checkout's traces marks all its sources as changed. And
//! only one run at a time may use the directory, which is why plain builds must not.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::files;

/// The claim on a shared target directory; given up when dropped.
pub(crate) struct SharedTarget {
    dir: PathBuf,
    _lock: File,
}

impl SharedTarget {
    /// Waits until no other run uses `dir`, then makes its content trustworthy for this checkout.
    pub(crate) fn claim(dir: PathBuf, root: &Path) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let lock = File::create(dir.join("in-use.lock")).context("cannot create the lock file")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting for another run that uses {}", dir.display());
            flock(&lock, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        }
        let marker = dir.join("last-checkout");
        let this = root.to_string_lossy();
        if fs::read_to_string(&marker).ok().as_deref() != Some(&*this) {
            mark_changed(root)?;
            fs::write(&marker, &*this).context("cannot note the checkout")?;
        }
        Ok(Self { dir, _lock: lock })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

fn mark_changed(root: &Path) -> Result<()> {
    let now = SystemTime::now();
    for path in files::sources(root)? {
        let path = root.join(path);
        let file = File::options().append(true).open(&path);
        let touched = file.and_then(|file| file.set_modified(now));
        touched.with_context(|| format!("cannot touch {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sources_count_as_changed_after_another_checkout_only() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let target = dir.path().join("target");
        let checkout = |name: &str| {
            let root = dir.path().join(name);
            fs::create_dir_all(&root).expect("create");
            fs::write(root.join("lib.rs"), "").expect("write");
            root
        };
        let (first, second) = (checkout("first"), checkout("second"));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let changed_by_claim = |root: &Path| {
            let open = || {
                File::options()
                    .append(true)
                    .open(root.join("lib.rs"))
                    .expect("open")
            };
            open().set_modified(long_ago).expect("set mtime");
            let claim = SharedTarget::claim(target.clone(), root).expect("claimed");
            assert_eq!(claim.dir(), target);
            open()
                .metadata()
                .and_then(|metadata| metadata.modified())
                .expect("mtime")
                != long_ago
        };
        assert!(changed_by_claim(&first));
        assert!(!changed_by_claim(&first));
        assert!(changed_by_claim(&second));
        assert!(changed_by_claim(&first));
    }
}
