//! Small files that are replaced as a whole and survive a crash: the old content or the new, never a mix.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

/// Turns a system error into one that names the file.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Whether writes are synced; not for data that may vanish with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When a function returns, its effect survives a power failure.
    Always,
    /// Never.
    Never,
}

/// The content of `path`; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces `path`: a draft beside it is written and synced, renamed over it, and the directory synced.
pub(crate) fn replace(path: &Path, content: &[u8], sync: Sync) -> Result<(), FileError> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed("create", &draft))?;
    file.write_all(content).map_err(failed("write", &draft))?;
    if sync == Sync::Always {
        file.sync_all().map_err(failed("sync", &draft))?;
    }
    fs::rename(&draft, path).map_err(failed("rename", &draft))?;
    sync_directory_of(path, sync)
}

/// Makes the names in the directory of `path` durable.
pub(super) fn sync_directory_of(path: &Path, sync: Sync) -> Result<(), FileError> {
    if sync == Sync::Never {
        return Ok(());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(failed("sync", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_one_file_with_the_new_content() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.json");
        assert_eq!(read(&path).expect("readable"), None);
        for content in [b"one".as_slice(), b"two"] {
            replace(&path, content, Sync::Always).expect("written");
            assert_eq!(read(&path).expect("readable").as_deref(), Some(content));
        }
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn errors_name_the_file() {
        let error = replace(Path::new("/nowhere/at/all.json"), b"", Sync::Always)
            .expect_err("no directory");
        assert!(
            error.to_string().contains("/nowhere/at/all.draft"),
            "{error}"
        );
    }
}
