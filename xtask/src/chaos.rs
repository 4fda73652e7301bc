//! `cargo xtask chaos`: real faults on real nodes; `docs/chaos.md` says which.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{
    build_env::BuildEnv,
    counts::Counts,
    dev::SERVER_PACKAGE,
    phases::{self, Report},
    setup,
};

const PACKAGE: &str = "longhaul-chaos";
/// Where logs go when something is wrong, below the target directory.
const LOGS: &str = "chaos-logs";

/// What is to be built, and how it is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    profile: Profile,
    /// The caller's own binary, instead of one that is built.
    binary: Option<String>,
    /// The rest, for the program itself.
    run: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Release,
    Debug,
}

impl Options {
    /// From the arguments after `chaos`.
    pub(crate) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            profile: Profile::Release,
            binary: None,
            run: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--debug" => options.profile = Profile::Debug,
                "--bin" => {
                    let binary = args.next().context("--bin needs a path")?;
                    options.binary = Some((*binary).to_owned());
                }
                other => options.run.push(other.to_owned()),
            }
        }
        Ok(options)
    }
}

/// Builds what is needed and lets the faults happen.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    setup::prepare(root)?;
    let build = BuildEnv::of_checkout(root)?;
    let mut report = Report::new();
    if report.phase("build", || built(&build, options)) {
        report.phase("chaos", || faults(&build, options));
    }
    Ok(report.finish())
}

/// A minute of it, on the optimised binary that is there already.
pub(crate) fn short(build: &BuildEnv, built: bool) -> Result<Counts> {
    ensure!(built, "there is no binary to test");
    let options = Options {
        // Of the program that makes the faults: other tests have built it so already.
        profile: Profile::Debug,
        binary: Some(build.binary().display().to_string()),
        run: vec!["short".to_owned()],
    };
    let compiled = self::built(build, &options)?;
    ensure!(compiled.failed == 0, "it does not compile");
    faults(build, &options)
}

fn built(build: &BuildEnv, options: &Options) -> Result<Counts> {
    let mut args = vec!["build", "--package", PACKAGE];
    if options.binary.is_none() {
        args.extend(["--package", SERVER_PACKAGE]);
    }
    if options.profile == Profile::Release {
        args.push("--release");
    }
    phases::check(build.cargo(&args))
}

fn faults(build: &BuildEnv, options: &Options) -> Result<Counts> {
    let directory = build.target().join(match options.profile {
        Profile::Release => "release",
        Profile::Debug => "debug",
    });
    let binary = match &options.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => directory.join("longhaul"),
    };
    let mut command = build.command(directory.join(PACKAGE));
    command
        .arg("run")
        .args(&options.run)
        .arg("--bin")
        .arg(binary)
        .arg("--keep")
        .arg(build.target().join(LOGS));
    phases::suite(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_passed_on() {
        let line = ["K1", "--rounds", "30", "--debug", "--bin", "longhaul"];
        let options = Options::parse(&line).expect("valid");
        assert_eq!(options.profile, Profile::Debug);
        assert_eq!(options.binary.as_deref(), Some("longhaul"));
        assert_eq!(options.run, ["K1", "--rounds", "30"]);
        let options = Options::parse(&["short"]).expect("valid");
        assert_eq!(options.profile, Profile::Release);
        assert_eq!(options.binary, None);
        assert!(Options::parse(&["--bin"]).is_err());
    }
}
