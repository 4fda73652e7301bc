//! The RocksDB archive: compiled once per machine and version, then linked by every build.
//!
//! Compiling RocksDB takes a quarter of an hour on two cores, and cargo would do it again for every
//! checkout, profile and change of flags. `librocksdb-sys` links a given archive instead when
//! `ROCKSDB_LIB_DIR` and `ROCKSDB_STATIC` are set.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{build_env, cache};

const CRATE: &str = "librocksdb-sys";
const ARCHIVE: &str = "librocksdb.a";

/// The directory of the archive for the version this workspace is locked to.
pub(crate) fn archive_dir(root: &Path) -> Result<PathBuf> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let version =
        locked_version(&lock, CRATE).with_context(|| format!("{CRATE} is not in Cargo.lock"))?;
    Ok(cache::dir()?.join(format!("rocksdb-{version}")))
}

/// Makes the archive unless this machine already has it.
pub(crate) fn ensure_archive(root: &Path) -> Result<()> {
    let dir = archive_dir(root)?;
    let archive = dir.join(ARCHIVE);
    if archive.is_file() {
        return Ok(());
    }
    eprintln!(
        "compiling RocksDB, once for this machine: {}",
        archive.display()
    );
    let target = cache::dir()?.join("rocksdb-build");
    // Two of these at a time wait for each other on cargo's own lock.
    let status = Command::new(build_env::cargo())
        .args(["build", "--release", "--package", CRATE])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("ROCKSDB_LIB_DIR")
        .env_remove("ROCKSDB_STATIC")
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "compiling RocksDB failed");
    install(&newest_archive(&target.join("release/build"))?, &archive)
}

/// The version of a package in the text of a `Cargo.lock`.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    version.strip_suffix('"')
}

/// The archive the last build script run left behind; older ones belong to other flags.
fn newest_archive(build: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(build).with_context(|| format!("no {}", build.display()))? {
        let entry = entry?;
        let archive = entry.path().join("out").join(ARCHIVE);
        if entry.file_name().to_string_lossy().starts_with(CRATE) && archive.is_file() {
            found.push((fs::metadata(&archive)?.modified()?, archive));
        }
    }
    match found.into_iter().max() {
        Some((_, archive)) => Ok(archive),
        None => bail!("the build left no {ARCHIVE} below {}", build.display()),
    }
}

/// Copies into place so that nobody ever sees half an archive.
fn install(built: &Path, archive: &Path) -> Result<()> {
    let dir = archive.parent().context("the archive has a directory")?;
    fs::create_dir_all(dir)?;
    let partial = dir.join(format!("{ARCHIVE}.{}", process::id()));
    fs::copy(built, &partial).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, archive).with_context(|| format!("cannot write {}", archive.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"librocksdb\"\nversion = \"9.0.0\"\n\n\
                    [[package]]\nname = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\n";
        assert_eq!(locked_version(lock, CRATE), Some("0.19.0+11.8.1"));
        assert_eq!(locked_version(lock, "rocksdb"), None);
    }

    #[test]
    fn archive_of_the_last_build_is_installed_whole() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let build = dir.path().join("build");
        for (name, age_s, content) in [("1", 60, "old"), ("2", 0, "new"), ("3", 30, "older")] {
            let out = build.join(format!("{CRATE}-{name}/out"));
            fs::create_dir_all(&out).expect("create");
            fs::write(out.join(ARCHIVE), content).expect("write");
            let file = fs::File::options()
                .append(true)
                .open(out.join(ARCHIVE))
                .expect("open");
            let now = file
                .metadata()
                .and_then(|metadata| metadata.modified())
                .expect("mtime");
            file.set_modified(now - std::time::Duration::from_secs(age_s))
                .expect("set mtime");
        }
        fs::create_dir_all(build.join(format!("{CRATE}-4/out"))).expect("create");

        let target = dir.path().join("rocksdb-1").join(ARCHIVE);
        install(&newest_archive(&build).expect("found"), &target).expect("installed");
        assert_eq!(fs::read_to_string(&target).expect("read"), "new");
        assert_eq!(
            fs::read_dir(target.parent().expect("parent"))
                .expect("list")
                .count(),
            1
        );
    }

    #[test]
    fn build_without_archive_is_an_error() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert!(newest_archive(dir.path()).is_err());
    }
}
