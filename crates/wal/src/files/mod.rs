//! The file layer: the few operations the log needs, so that a simulation can stand in for the
//! disk.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) mod real;
pub(crate) mod sim;

pub use real::RealFiles;

/// A file system.
///
/// Names follow POSIX: creating, renaming and removing are durable only after [`Files::sync_dir`]
/// of the directory.
pub trait Files: Debug + Send + Sync {
    /// Creates a directory and its parents if they are missing.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a file for reading and writing; an existing one is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing; [`io::ErrorKind::NotFound`] if there is
    /// none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Renames a file, replacing an existing one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on a file, created if missing, until the result is dropped or the
    /// process ends. [`io::ErrorKind::WouldBlock`] if someone else has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// An open file. It stays readable after it was renamed or removed.
pub trait File: Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// True if it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from the bytes at `at`, or fails.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `at`.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Reserves blocks up to `len` and makes the file that long; new bytes read as zero.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes content and length durable, like `fdatasync`. After an error nothing is known about
    /// earlier writes.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a file lock until dropped.
pub trait Lock: Debug + Send + Sync {}
