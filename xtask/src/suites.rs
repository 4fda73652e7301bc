//! The test runs: which phases there are and what each of them calls.

use std::{path::Path, process::ExitCode};

use anyhow::{Result, ensure};

use crate::{
    build_env::{self, BuildEnv},
    cache, chaos,
    counts::Counts,
    dev::SERVER_PACKAGE,
    fuzz,
    phases::{self, Report},
    setup,
    shared_target::SharedTarget,
    tidy,
};

/// Rounds of the kill -9 suite in a complete run.
pub(crate) const CRASH_ROUNDS: u32 = 50;

/// The deterministic simulation: a workspace of its own, compiled with flags that its cargo configuration holds.
const SIMULATION: &str = "chaos/sim";

/// The fuzz targets and their corpora.
const FUZZ_PACKAGE: &str = "longhaul-fuzz";

/// Replays the corpora. Asking for the whole workspace keeps cargo from choosing other features of dependencies, and
/// compiling them anew.
const FUZZ_REPLAY: [&str; 5] = ["test", "--workspace", "--no-fail-fast", "--test", "fuzz"];

/// A suite that drives the server with an official SDK.
struct SdkSuite {
    name: &'static str,
    script: &'static str,
    /// Commands that succeed where the language's tools are installed: how to ask each for its version.
    needs: &'static [&'static [&'static str]],
}

const SDK_SUITES: [SdkSuite; 4] = [
    SdkSuite {
        name: "Python SDK",
        script: "tests/sdk/python/run.sh",
        needs: &[&["python3", "--version"]],
    },
    SdkSuite {
        name: "JavaScript SDK",
        script: "tests/sdk/javascript/run.sh",
        needs: &[&["node", "--version"], &["npm", "--version"]],
    },
    SdkSuite {
        name: "Java SDK",
        script: "tests/sdk/java/run.sh",
        needs: &[&["javac", "-version"], &["mvn", "--version"]],
    },
    SdkSuite {
        name: "Go SDK",
        script: "tests/sdk/go/run.sh",
        needs: &[&["go", "version"]],
    },
];

/// The complete run.
pub(crate) fn test(root: &Path) -> Result<ExitCode> {
    with_build(root, |report, build| {
        report.phase("tidy", || tidy::check(root));
        static_checks(report, build);
        let all = ["test", "--workspace", "--no-fail-fast"];
        let all = [all.as_slice(), &["--exclude", FUZZ_PACKAGE]].concat();
        report.phase("tests", || phases::cargo_tests(build.cargo(&all)));
        report.phase("fuzz corpora", || {
            phases::cargo_tests(build.cargo(&FUZZ_REPLAY))
        });
        let built = release_build(report, build);
        for suite in &SDK_SUITES {
            report.phase(suite.name, || sdk_suite(root, build, built, suite));
        }
        report.phase("kill -9", || crash_suite(root, build, built, CRASH_ROUNDS));
        report.phase("chaos", || chaos::short(build, built));
        let simulation = build.of_workspace(SIMULATION, "sim");
        report.phase("simulation", || {
            phases::cargo_tests(simulation.cargo(&["test", "--no-fail-fast"]))
        });
    })
}

/// The kill -9 suite alone.
pub(crate) fn crash(root: &Path, rounds: u32) -> Result<ExitCode> {
    with_build(root, |report, build| {
        let built = release_build(report, build);
        report.phase("kill -9", || crash_suite(root, build, built, rounds));
    })
}

/// A search with the fuzz targets.
pub(crate) fn fuzz(root: &Path, options: &fuzz::Options) -> Result<ExitCode> {
    setup::prepare(root)?;
    fuzz::run(root, &BuildEnv::of_checkout(root)?, options)
}

/// The checks that need no build.
pub(crate) fn tidy(root: &Path) -> Result<ExitCode> {
    let mut report = Report::new();
    report.phase("tidy", || tidy::check(root));
    Ok(report.finish())
}

/// Prepares the machine, then runs `phases` in a target directory all checkouts share.
fn with_build(root: &Path, phases: impl FnOnce(&mut Report, &BuildEnv)) -> Result<ExitCode> {
    let mut report = Report::new();
    if !report.phase("setup", || {
        setup::prepare(root).map(|()| Counts::ONE_PASSED)
    }) {
        return Ok(report.finish());
    }
    if build_env::chosen_target().is_some() {
        phases(&mut report, &BuildEnv::of_checkout(root)?);
        return Ok(report.finish());
    }
    let target = SharedTarget::claim(cache::dir()?.join("test-target"), root)?;
    phases(
        &mut report,
        &BuildEnv::with_target(root, target.dir().to_owned())?,
    );
    Ok(report.finish())
}

fn static_checks(report: &mut Report, build: &BuildEnv) {
    let simulation = build.of_workspace(SIMULATION, "sim");
    for (name, build) in [("the workspace", build), ("the simulation", &simulation)] {
        let format = ["fmt", "--all", "--check"];
        report.phase(&format!("format of {name}"), || {
            phases::check(build.cargo(&format))
        });
        let lints = ["clippy", "--workspace", "--all-targets"];
        let lints = [lints.as_slice(), &["--", "--deny", "warnings"]].concat();
        report.phase(&format!("lints of {name}"), || {
            phases::check(build.cargo(&lints))
        });
    }
}

fn release_build(report: &mut Report, build: &BuildEnv) -> bool {
    let args = ["build", "--release", "--package", SERVER_PACKAGE];
    report.phase("release build", || phases::check(build.cargo(&args)))
}

fn sdk_suite(root: &Path, build: &BuildEnv, built: bool, suite: &SdkSuite) -> Result<Counts> {
    let missing = suite.needs.iter().find(|command| !setup::succeeds(command));
    if let Some(command) = missing {
        println!(
            "SKIPPED: `{}` fails, so the {} suite cannot run",
            command.join(" "),
            suite.name
        );
        return Ok(Counts::ONE_SKIPPED);
    }
    script(root, build, built, suite.script, &[])
}

fn crash_suite(root: &Path, build: &BuildEnv, built: bool, rounds: u32) -> Result<Counts> {
    let rounds = rounds.to_string();
    script(
        root,
        build,
        built,
        "tests/crash/run.sh",
        &["--rounds", &rounds],
    )
}

/// Runs a script of ours against the optimised binary.
fn script(
    root: &Path,
    build: &BuildEnv,
    built: bool,
    script: &str,
    args: &[&str],
) -> Result<Counts> {
    ensure!(built, "there is no binary to test");
    let script = root.join(script);
    ensure!(script.is_file(), "{} is missing", script.display());
    let mut command = build.command("bash");
    command
        .arg(script)
        .args(args)
        .env("LONGHAUL_BIN", build.binary());
    phases::suite(command)
}
