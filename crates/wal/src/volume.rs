//! The log's directory: names of segments and spares, and the file operations on them, with errors
//! that name the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::FileError;
use crate::files::{File, Files, Lock};

const SEGMENT_SUFFIX: &str = ".seg";
const SPARE_SUFFIX: &str = ".spare";
const LOCK_NAME: &str = "LOCK";

/// Zeros are written in pieces of this size when segments are prewritten.
const PREWRITE_BYTES: usize = 1 << 20;

/// A directory of segments. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    files: Arc<dyn Files>,
    dir: PathBuf,
    sync: bool,
}

/// A file with blocks reserved, waiting to become a segment. Its content means nothing.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
}

/// What the directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Numbers of the segments, ascending.
    pub(crate) segments: Vec<u64>,
    /// Files waiting for reuse.
    pub(crate) spares: Vec<PathBuf>,
}

impl Volume {
    /// With `sync` false, every sync becomes a no-op.
    pub(crate) fn new(files: Arc<dyn Files>, dir: PathBuf, sync: bool) -> Volume {
        Volume { files, dir, sync }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a segment.
    pub(crate) fn segment_path(&self, seq: u64) -> PathBuf {
        self.dir.join(format!("{seq:016x}{SEGMENT_SUFFIX}"))
    }

    /// Creates the directory and the one `outside` lives in.
    pub(crate) fn create_dirs(&self, outside: &Path) -> Result<(), FileError> {
        for dir in [&self.dir, parent(outside)] {
            self.files.create_dir(dir).map_err(failed("create", dir))?;
            // The new name lives in the directory above.
            self.sync_dir_of(dir)?;
        }
        Ok(())
    }

    /// Locks the directory; `None` if someone else has it.
    pub(crate) fn lock(&self) -> Result<Option<Box<dyn Lock>>, FileError> {
        let path = self.dir.join(LOCK_NAME);
        match self.files.lock(&path) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(failed("lock", &path)(error)),
        }
    }

    /// What the directory holds.
    pub(crate) fn list(&self) -> Result<Listing, FileError> {
        let mut listing = Listing::default();
        for name in self
            .files
            .list(&self.dir)
            .map_err(failed("list", &self.dir))?
        {
            if let Some(digits) = name.strip_suffix(SEGMENT_SUFFIX) {
                listing
                    .segments
                    .extend(u64::from_str_radix(digits, 16).ok());
            } else if name.ends_with(SPARE_SUFFIX) {
                listing.spares.push(self.dir.join(name));
            }
        }
        listing.segments.sort_unstable();
        Ok(listing)
    }

    /// Opens a file; `None` if there is none.
    pub(crate) fn open(&self, path: &Path) -> Result<Option<Arc<dyn File>>, FileError> {
        match self.files.open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", path)(error)),
        }
    }

    /// Creates a file of `bytes` zeros that no one knows yet.
    pub(crate) fn create(&self, path: &Path, bytes: u64) -> Result<Arc<dyn File>, FileError> {
        let file = self.files.create(path).map_err(failed("create", path))?;
        file.allocate(bytes)
            .map_err(failed("reserve space for", path))?;
        Ok(file)
    }

    /// Makes the `number`th new spare.
    pub(crate) fn create_spare(
        &self,
        number: u64,
        bytes: u64,
        prewrite: bool,
    ) -> Result<Spare, FileError> {
        let path = self.dir.join(format!("new-{number}{SPARE_SUFFIX}"));
        let file = self.create(&path, bytes)?;
        if prewrite {
            let zeros = vec![0; PREWRITE_BYTES];
            let mut at = 0;
            while at < bytes {
                let len = (bytes - at).min(zeros.len() as u64);
                write_at(
                    &*file,
                    &path,
                    &zeros[..usize::try_from(len).expect("at most 1 MiB")],
                    at,
                )?;
                at += len;
            }
        }
        self.sync(&*file, &path)?;
        Ok(Spare { path, file, bytes })
    }

    /// Turns the segment `seq` into a spare.
    pub(crate) fn recycle(
        &self,
        seq: u64,
        file: Arc<dyn File>,
        bytes: u64,
    ) -> Result<Spare, FileError> {
        let path = self.dir.join(format!("{seq:016x}{SPARE_SUFFIX}"));
        self.rename(&self.segment_path(seq), &path)?;
        Ok(Spare { path, file, bytes })
    }

    /// Renames a file, durably once its directory is synced.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.files.rename(from, to).map_err(failed("rename", from))
    }

    /// Removes a file, durably once its directory is synced.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.files.remove(path).map_err(failed("remove", path))
    }

    /// Makes a file's content durable.
    pub(crate) fn sync(&self, file: &dyn File, path: &Path) -> Result<(), FileError> {
        if self.sync {
            file.sync().map_err(failed("sync", path))
        } else {
            Ok(())
        }
    }

    /// Makes the names in the segments' directory durable.
    pub(crate) fn sync_dir(&self) -> Result<(), FileError> {
        self.sync_names(&self.dir)
    }

    /// Makes the names in the directory of `path` durable.
    pub(crate) fn sync_dir_of(&self, path: &Path) -> Result<(), FileError> {
        self.sync_names(parent(path))
    }

    fn sync_names(&self, dir: &Path) -> Result<(), FileError> {
        if self.sync {
            self.files.sync_dir(dir).map_err(failed("sync", dir))
        } else {
            Ok(())
        }
    }
}

/// The directory of a path, which for a bare name is the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Turns the system's answer into an error that says what was tried on which file.
pub(crate) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_path_buf();
    move |source| FileError {
        action,
        path,
        source: Arc::new(source),
    }
}

/// Writes `bytes` at `at`.
pub(crate) fn write_at(
    file: &dyn File,
    path: &Path,
    bytes: &[u8],
    at: u64,
) -> Result<(), FileError> {
    file.write_at(bytes, at).map_err(failed("write", path))
}

/// Reads a whole file.
pub(crate) fn read_all(file: &dyn File, path: &Path) -> Result<Vec<u8>, FileError> {
    let len = file.len().map_err(failed("measure", path))?;
    let mut bytes = vec![0; usize::try_from(len).expect("files of the log fit into memory")];
    file.read_at(&mut bytes, 0).map_err(failed("read", path))?;
    Ok(bytes)
}
