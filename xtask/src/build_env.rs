//! The environment of every cargo call: which RocksDB to link, where to put the output.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::rocksdb;

/// Cargo, set up so that nothing is compiled twice.
#[derive(Clone, Debug)]
pub(crate) struct BuildEnv {
    root: PathBuf,
    rocksdb: PathBuf,
    target: PathBuf,
}

impl BuildEnv {
    /// Builds into `$CARGO_TARGET_DIR`, or else the checkout's own `target`.
    pub(crate) fn of_checkout(root: &Path) -> Result<Self> {
        let target = chosen_target().unwrap_or_else(|| root.join("target"));
        Self::with_target(root, target)
    }

    /// Builds into `target`.
    pub(crate) fn with_target(root: &Path, target: PathBuf) -> Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            rocksdb: rocksdb::archive_dir(root)?,
            target,
        })
    }

    /// For another workspace of this checkout, in a directory of its own below our target: its compiler flags differ,
    /// and would have everything compiled anew each time.
    pub(crate) fn of_workspace(&self, dir: &str, target: &str) -> Self {
        Self {
            root: self.root.join(dir),
            rocksdb: self.rocksdb.clone(),
            target: self.target.join(target),
        }
    }

    /// A program run in the workspace root with this environment.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command
            .current_dir(&self.root)
            .env("ROCKSDB_LIB_DIR", &self.rocksdb)
            .env("ROCKSDB_STATIC", "1")
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// `cargo` with these arguments.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.command(cargo());
        command.args(args);
        command
    }

    /// Where output goes.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The optimised server binary, whether built yet or not.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("release/longhaul")
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The target directory the caller asks for, if any.
pub(crate) fn chosen_target() -> Option<PathBuf> {
    let dir = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty())?;
    // A relative directory counts from where the user is, our children run elsewhere.
    std::path::absolute(dir).ok()
}

/// Makes the archive if need be and prints what a shell must export to link it.
pub(crate) fn print_exports(root: &Path) -> Result<()> {
    rocksdb::ensure_archive(root)?;
    let quoted = rocksdb::archive_dir(root)?
        .display()
        .to_string()
        .replace('\'', r"'\''");
    println!("export ROCKSDB_LIB_DIR='{quoted}' ROCKSDB_STATIC=1");
    Ok(())
}
