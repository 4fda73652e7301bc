//! One process at a time: an advisory lock that ends with its holder, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::durable_file::{FileError, failed};
use crate::listen::program;

/// Held while this process uses a directory.
#[derive(Debug)]
pub(super) struct DirLock {
    /// Closing it ends the lock.
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{dir} is in use by {holder}; stop it, or choose another data directory with --data")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

impl DirLock {
    /// Locks `dir` by the file `LOCK` in it, which tells others our process id.
    pub(super) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("LOCK");
        // Not truncated: until we have the lock, what it says belongs to the holder.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("create", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(LockError::InUse {
                    dir: dir.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(error) => return Err(failed("lock", &path)(error.into()).into()),
        }
        let told = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        told.map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The holder may not have written its id yet; then it stays unknown.
    let read = file.read_to_string(&mut text);
    let pid: Option<u32> = read.ok().and_then(|_| text.trim().parse().ok());
    match (pid, pid.and_then(program)) {
        (Some(pid), Some(name)) => format!("{name} (process {pid})"),
        (Some(pid), None) => format!("process {pid}"),
        (None, _) => "another process".to_owned(),
    }
}
