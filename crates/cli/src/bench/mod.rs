//! `longhaul bench`: how fast a server is, and what it costs.
//!
//! ```text
//! run SCENARIO   load with a native client and worker: throughput, latency, errors, server CPU per orchestration
//! idle           a server with nothing to do: CPU, memory, time until ready
//! restart        many waiting instances: memory of each, time until ready after a kill
//! stored         many stored instances: throughput and cost against an empty node, with queries and without
//! sequence       a long orchestration: cost of an activity against that in a short one
//! ```
//!
//! It speaks the public protocol over real sockets, so `run` measures any server of it. Without `--endpoint`, and with
//! nothing listening on the default one, it starts `longhaul dev` on a scratch directory and ends it afterwards; the others
//! always do.
//!
//! # The unit
//! CPU is also given in *units*: one unit is the server CPU of one empty unary gRPC call, measured in the same run with
//! as many calls in flight (see [`empty_call`]). It survives noise and other machines better than microseconds do.
//!
//! # JSON of `run`
//! All rates are per second over the measured window; what could not be measured is `null`.
//!
//! | field | meaning |
//! |---|---|
//! | `scenario`, `count`, `payload_bytes` | what one orchestration does; of `hello` and `entity-signals`, one call or signal |
//! | `mode`, `concurrency`, `rate` | `closed` loop, `counted` with so many in all, or `open` loop with `rate` arrivals a second |
//! | `duration_s`, `warmup_s`, `endpoint`, `spawned` | how it was run |
//! | `orchestrations`, `orchestrations_per_s` | completed within the window |
//! | `actions`, `actions_per_s` | work items that this process's worker answered within the window |
//! | `latency_ms` | `p50 p90 p99 p999 max mean count`, from the *intended* start to the observed completion |
//! | `errors` | `count`, `unfinished` (arrivals never finished), `by_kind` |
//! | `operations_per_s`, `operations_per_batch` | entity operations that this process's worker applied within the window |
//! | `entities` | `count asked acknowledged applied queued behind_ms right`: the states in the end, see [`load`] |
//! | `server` | `pid cpu_us_per_orchestration cpu_us_per_action cpu_cores rss_before_bytes rss_after_bytes` |
//! | `client_cpu_us_per_orchestration` | this process, its worker included |
//! | `empty_call` | `cpu_us calls_per_s in_flight`: the unit |
//! | `units_per_orchestration`, `units_per_action` | server CPU in units |
//! | `orchestrations_to_empty_calls`, `actions_to_empty_calls` | how many per second, as a share of empty calls per second |
//!
//! The JSON of the others is that of [`idle::Report`], [`restart::Report`], [`stored::Report`] and [`sequence::Report`].

pub mod empty_call;
pub mod idle;
pub mod load;
mod orchestrators;
mod output;
mod process;
pub mod restart;
pub mod sequence;
pub mod stored;
mod target;

use std::{future::Future, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use tokio::runtime::{self, Runtime};

/// Arguments of `longhaul bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put load on a server and report throughput, latency and cost
    Run(Box<load::RunArgs>),
    /// Measure a server that has nothing to do
    Idle(idle::IdleArgs),
    /// Measure many waiting instances, and a restart with them
    Restart(restart::RestartArgs),
    /// Measure whether many stored instances slow a server down, and queries among them
    Stored(stored::StoredArgs),
    /// Measure whether a long history makes an activity dearer
    Sequence(sequence::SequenceArgs),
    /// Serve one empty call, the unit of cost; ends with its standard input
    #[command(hide = true)]
    EmptyServer(empty_call::ServerArgs),
}

/// Runs the subcommand on a runtime of its own; call it outside any async runtime.
///
/// Fails the process, after the report, if anything that was asked of the server went wrong.
///
/// # Errors
/// Whatever prevents a report: nothing to measure, a server that does not start, an interrupt.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let runtime = args.command.runtime()?;
    let outcome = runtime.block_on(async {
        match args.command {
            Command::Run(args) => load::run(*args).await,
            Command::Idle(args) => unless_interrupted(idle::run(args)).await,
            Command::Restart(args) => unless_interrupted(restart::run(args)).await,
            Command::Stored(args) => unless_interrupted(stored::run(args)).await,
            Command::Sequence(args) => unless_interrupted(sequence::run(args)).await,
            Command::EmptyServer(args) => empty_call::serve(args).await,
        }
    });
    // A reader of standard input cannot be interrupted; nothing else is left running.
    runtime.shutdown_background();
    outcome
}

impl Command {
    fn runtime(&self) -> std::io::Result<Runtime> {
        let mut builder = runtime::Builder::new_multi_thread();
        match self {
            Self::Run(args) => {
                builder.worker_threads(args.threads().get());
            }
            Self::Stored(args) => {
                builder.worker_threads(args.threads().get());
            }
            Self::Idle(_) | Self::Restart(_) | Self::Sequence(_) | Self::EmptyServer(_) => {}
        }
        builder.enable_all().build()
    }
}

/// Gives up on Ctrl-C or SIGTERM; dropping the work ends every child process that it started.
async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        outcome = work => outcome,
        interrupt = interrupted() => {
            interrupt?;
            anyhow::bail!("interrupted")
        }
    }
}

/// Resolves on Ctrl-C or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
