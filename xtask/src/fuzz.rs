//! `cargo xtask fuzz`: a search for inputs that break a promise, guided by coverage.
//!
//! ```text
//!   chaos/fuzz/corpus/<target>   where each search begins; read only, unless new inputs are to be kept
//!   <target dir>/fuzz/finds/     what searches added, and what broke a promise
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    build_env::BuildEnv,
    counts::Counts,
    phases::{self, Report},
    setup,
};

/// The libFuzzer binaries, in cargo-fuzz's layout.
const LIBFUZZER: &str = "chaos/fuzz/libfuzzer";

const CORPUS: &str = "chaos/fuzz/corpus";

/// How long each target is searched, unless the caller says.
const SECONDS: u64 = 60;

/// What ends a search: an input that takes so long, an allocation or a process of so much memory.
const LIMITS: [&str; 3] = ["-timeout=10", "-malloc_limit_mb=512", "-rss_limit_mb=4096"];

/// What is to be searched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    target: Option<String>,
    seconds: u64,
    /// Inputs that reach something new are put into the corpus.
    keep: bool,
}

impl Options {
    /// From the arguments after `fuzz`.
    pub(crate) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            target: None,
            seconds: SECONDS,
            keep: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--seconds" => {
                    let seconds = args.next().context("--seconds needs a number")?;
                    let seconds = seconds.parse();
                    options.seconds = seconds.context("--seconds needs a number")?;
                }
                "--keep" => options.keep = true,
                option if option.starts_with('-') => bail!("there is no option {option}"),
                target => {
                    ensure!(
                        options.target.is_none(),
                        "one target or all, not {target} too"
                    );
                    options.target = Some(target.to_owned());
                }
            }
        }
        Ok(options)
    }
}

/// Searches one target, or one after the other.
pub(crate) fn run(root: &Path, build: &BuildEnv, options: &Options) -> Result<ExitCode> {
    let targets = targets(root, options.target.as_deref())?;
    ensure!(
        setup::succeeds(&["cargo", "fuzz", "--version"]),
        "cargo-fuzz is missing: `cargo install cargo-fuzz --locked` installs it. No nightly toolchain is needed. \
         Without it, `cargo test -p longhaul-fuzz` replays the corpora"
    );
    let build = build.of_workspace(LIBFUZZER, "fuzz");
    let mut report = Report::new();
    for target in targets {
        report.phase(&format!("fuzz {target}"), || {
            search(root, &build, &target, options)
        });
    }
    Ok(report.finish())
}

/// The target of this name, or all: those that have a corpus.
fn targets(root: &Path, name: Option<&str>) -> Result<Vec<String>> {
    let corpora = fs::read_dir(root.join(CORPUS)).context("there are no corpora")?;
    let mut all = Vec::new();
    for corpus in corpora {
        all.push(corpus?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    match name {
        None => Ok(all),
        Some(name) if all.iter().any(|target| target == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no target {name}; there are {}", all.join(", ")),
    }
}

fn search(root: &Path, build: &BuildEnv, target: &str, options: &Options) -> Result<Counts> {
    let corpus = root.join(CORPUS).join(target);
    let finds = build.target().join("finds").join(target);
    let broken = build.target().join("finds/broken").join(target);
    for dir in [&finds, &broken] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let mut command = libfuzzer(build, target, [&finds, &corpus]);
    command
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-artifact_prefix={}/", broken.display()));
    let counts = phases::check(command)?;
    if counts.failed > 0 {
        println!("what broke the promise is in {}", broken.display());
    } else if options.keep {
        let mut command = libfuzzer(build, target, [&corpus, &finds]);
        command.arg("-merge=1");
        return phases::check(command);
    }
    Ok(counts)
}

/// The binary of a target with two directories of inputs. It adds to the first.
fn libfuzzer(build: &BuildEnv, target: &str, inputs: [&PathBuf; 2]) -> Command {
    let dir = ["--fuzz-dir", "."];
    let mut command = build.cargo(&["fuzz", "run"]);
    command
        .args(dir)
        .args(["--codegen-units", "16", target])
        .args(inputs)
        .arg("--")
        .args(LIMITS)
        // Coverage is counted by flags that only this lets a stable compiler take.
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], target: Option<&str>, seconds: u64, keep: bool) {
        let target = target.map(str::to_owned);
        let expected = Options {
            target,
            seconds,
            keep,
        };
        assert_eq!(Options::parse(args).expect("understood"), expected);
    }

    #[test]
    fn options_come_in_any_order() {
        check(&[], None, SECONDS, false);
        check(&["keys"], Some("keys"), SECONDS, false);
        check(&["--seconds", "5", "keys", "--keep"], Some("keys"), 5, true);
        for args in [
            &["--seconds"][..],
            &["--seconds", "x"],
            &["a", "b"],
            &["-x"],
        ] {
            Options::parse(args).expect_err("not understood");
        }
    }

    #[test]
    fn a_target_is_a_corpus() {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["keys", "config"] {
            fs::create_dir_all(root.path().join(CORPUS).join(name)).expect("created");
        }
        let of = |name| targets(root.path(), name);
        assert_eq!(of(None).expect("listed"), ["config", "keys"]);
        assert_eq!(of(Some("keys")).expect("there"), ["keys"]);
        let error = of(Some("kays")).expect_err("missing");
        assert!(error.to_string().contains("config, keys"), "{error}");
    }
}
