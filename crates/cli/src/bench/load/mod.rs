//! `longhaul bench run`: load on a server, and what came of it.
//!
//! ```text
//! Pace ──intended starts──► runners (fixed number) ──► Scenario over Client ──► Recorder
//!                                                      Worker (same process, own connections)
//! ```

mod args;
mod pace;
mod report;
mod runners;
mod scenario;
mod tally;
mod window;

use std::{num::NonZeroUsize, process::ExitCode, time::Duration};

use anyhow::Context;
use longhaul_client::{
    Client, Worker,
    worker::{Slots, Totals},
};

pub use args::RunArgs;
pub(super) use pace::Pace;
pub(super) use runners::{Load, drive};
pub(super) use scenario::run_prefix;
pub(super) use tally::Failure;
pub(super) use window::Window;

use super::{
    empty_call::{self, EmptyServer, Unit},
    interrupted, orchestrators,
    process::Process,
    target::Target,
    unless_interrupted,
};
use report::{Report, Usage};
use scenario::Run;

/// Runs the scenario against the server that the arguments name, or a scratch one.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    if args.worker_only {
        return serve_as_worker(&args).await;
    }
    let target = unless_interrupted(Target::find(&args.target)).await?;
    let report = unless_interrupted(measure(&args, &target)).await;
    target.release().await?;
    let report = report?;
    args.output.print(&report, Report::rows)?;
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Hosts the scenarios' orchestrators and activities until interrupted.
async fn serve_as_worker(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let worker = start_worker(args, &Target::attach(&args.target).await?).await?;
    eprintln!("serving work items until interrupted");
    interrupted().await?;
    let Totals {
        turns,
        activities,
        unanswered,
        streams,
    } = worker.stop().await;
    eprintln!(
        "answered {turns} turns and {activities} activities, left {unanswered} unanswered, opened {streams} streams"
    );
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &RunArgs, target: &Target) -> anyhow::Result<Report> {
    let unit = Units::start(args, target).await?;
    let first = unit.measure().await?;

    let worker = match args.no_worker || !args.scenario.needs_worker() {
        true => None,
        false => Some(start_worker(args, target).await?),
    };
    let client = Client::connect_many(&target.endpoint, args.client_connections()).await?;
    let run = Run::new(client, args.scenario, args.plan(), args.timeout);
    let rss_before = target.process.and_then(Process::rss_bytes);
    eprintln!(
        "measuring {} for {:?} after {:?} of warm-up",
        args.scenario.name(),
        args.duration,
        args.warmup
    );
    let window = Window::starting_now(args.warmup, args.duration);
    let pace = match args.rate {
        Some(rate) => Pace::open(window, rate),
        None => Pace::closed(window),
    };
    let load = Load {
        pace,
        runners: args.concurrency,
        drain_max: args.timeout,
    };
    let readings = drive(
        load,
        || run.runner(),
        || Usage::read(target.process, worker.as_ref()),
    )
    .await;
    if let Some(worker) = worker {
        worker.stop().await;
    }

    let unit = first.plus(unit.measure().await?);
    Ok(Report::of(
        args,
        target,
        rss_before,
        &readings,
        unit.report(),
    ))
}

async fn start_worker(args: &RunArgs, target: &Target) -> anyhow::Result<Worker> {
    let endpoint = target
        .endpoint
        .clone()
        .with_worker_id(format!("longhaul-bench,{}", std::process::id()));
    let client = Client::connect_many(&endpoint, args.worker_connections).await?;
    let slots = Slots {
        orchestrations: args.worker_slots(),
        activities: args.worker_slots(),
    };
    Ok(Worker::start(client, orchestrators::registry(), slots))
}

/// Measures the unit twice, half before and half after the load, so that a machine that drifts does not favour either.
struct Units {
    server: Option<EmptyServer>,
    duration: Duration,
    in_flight: NonZeroUsize,
    connections: NonZeroUsize,
}

impl Units {
    /// Measures nothing if no time is given for it, or if the server's own CPU cannot be read to compare it with.
    async fn start(args: &RunArgs, target: &Target) -> anyhow::Result<Self> {
        let server = match args.unit_duration.is_zero() || target.process.is_none() {
            true => None,
            false => Some(EmptyServer::start().await?),
        };
        let (in_flight, connections) = (args.concurrency, args.client_connections());
        Ok(Self {
            server,
            duration: args.unit_duration / 2,
            in_flight,
            connections,
        })
    }

    async fn measure(&self) -> anyhow::Result<Unit> {
        match &self.server {
            None => Ok(Unit::default()),
            Some(server) => {
                empty_call::measure(server, self.duration, self.in_flight, self.connections)
                    .await
                    .context("cannot measure the unit of cost; --unit-duration 0s skips it")
            }
        }
    }
}
