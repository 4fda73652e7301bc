//! `cargo xtask dev`: from a fresh checkout to a running server.

use std::{os::unix::process::CommandExt, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{build_env::BuildEnv, setup};

/// The package of the server binary.
pub(crate) const SERVER_PACKAGE: &str = "longhaul-server";

/// Builds the optimised binary and becomes it. Returns only on failure.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    setup::prepare(root)?;
    let build = BuildEnv::of_checkout(root)?;
    let status = build
        .cargo(&["build", "--release", "--package", SERVER_PACKAGE])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the build failed");
    let binary = build.binary();
    let error = Command::new(&binary).arg("dev").args(args).exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}
