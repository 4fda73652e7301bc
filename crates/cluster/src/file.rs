//! Small files that are replaced as a whole and survive a crash: the old content or the new, never a mix.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The content of `path`; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces `path`: a draft beside it is written and renamed over it. With `sync` the effect survives a power failure
/// when this returns. The content may be secret: nobody else may read the file.
pub(crate) fn replace(path: &Path, content: &[u8], sync: bool) -> Result<(), FileError> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed("create", &draft))?;
    file.write_all(content).map_err(failed("write", &draft))?;
    if sync {
        file.sync_all().map_err(failed("sync", &draft))?;
    }
    fs::rename(&draft, path).map_err(failed("rename", &draft))?;
    if sync {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", directory))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("catalog.bin");
        assert_eq!(read(&path).expect("readable"), None);
        for (content, sync) in [(b"one".as_slice(), true), (b"two", false)] {
            replace(&path, content, sync).expect("written");
            assert_eq!(read(&path).expect("readable").as_deref(), Some(content));
        }
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
        let error = replace(Path::new("/nowhere/at/all.bin"), b"", true).expect_err("no directory");
        assert!(
            error.to_string().contains("/nowhere/at/all.draft"),
            "{error}"
        );
    }
}
