//! `cargo xtask`: everything this repository asks of a developer's machine and of CI.
//!
//! ```text
//! setup ─► rocksdb        one archive per machine, in the cache
//!    │
//!    ├─► dev              optimised build, then `longhaul dev`
//!    └─► test             tidy, format, lints, tests, fuzz corpora, real SDKs, kill -9, live chaos, simulation
//! ```

mod build_env;
mod cache;
mod chaos;
mod counts;
mod dev;
mod files;
mod fuzz;
mod phases;
mod rocksdb;
mod setup;
mod shared_target;
mod suites;
mod tidy;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  setup               install or name what the build needs; make the RocksDB archive
  dev [-- ARGS]       build the optimised binary and run `longhaul dev ARGS`
  test                the complete test run
  crash [--rounds N]  only the kill -9 suite (default: 50 rounds)
  chaos FAULT... | all | short [--rounds N] [--minutes N] [--nodes N] [--bin PATH] [--debug]
                      real faults on real nodes, see docs/chaos.md
  fuzz [TARGET] [--seconds N] [--keep]
                      search for inputs that break a promise (default: all targets, 60 s each);
                      --keep puts what reaches something new into the corpus
  tidy                only the checks on structure, style and links
  env                 print the exports that let plain cargo use the RocksDB archive:
                      eval \"$(cargo xtask env)\"
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = root()?;
    match args.as_slice() {
        ["setup"] => setup::prepare(&root)?,
        ["dev", rest @ ..] => dev::run(&root, rest.strip_prefix(&["--"]).unwrap_or(rest))?,
        ["test"] => return suites::test(&root),
        ["crash"] => return suites::crash(&root, suites::CRASH_ROUNDS),
        ["crash", "--rounds", rounds] => {
            let rounds = rounds
                .parse()
                .with_context(|| format!("{rounds} is not a number"))?;
            return suites::crash(&root, rounds);
        }
        ["chaos", rest @ ..] => return chaos::run(&root, &chaos::Options::parse(rest)?),
        ["fuzz", rest @ ..] => return suites::fuzz(&root, &fuzz::Options::parse(rest)?),
        ["tidy"] => return suites::tidy(&root),
        ["env"] => build_env::print_exports(&root)?,
        [] | ["help" | "-h" | "--help"] => print!("{USAGE}"),
        _ => bail!("unknown arguments: {}\n\n{USAGE}", args.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The workspace root: the directory above this package.
fn root() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let package = PathBuf::from(package);
    Ok(package
        .parent()
        .context("xtask is not in a workspace")?
        .to_owned())
}
