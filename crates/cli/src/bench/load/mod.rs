//! `longhaul bench run`: load on a server, and what came of it.
//!
//! ```text
//! Pace ──intended starts──► runners (fixed number) ──► Scenario over Client ──► Recorder
//!                                                      Worker (same process, own connections)
//! ```
//!
//! Scenarios with entities add ones to counters. A run is only right if, in the end, the counters show every operation that
//! the server has acknowledged, at most those that were begun, and nothing is queued any more: `right` in the report.

mod args;
mod entities;
mod figures;
mod pace;
mod report;
mod runners;
mod scenario;
mod tally;
mod units;
mod window;

use std::{process::ExitCode, time::Duration};

use longhaul_client::{
    Client, Worker,
    worker::{History, Slots, Totals},
};

pub use args::RunArgs;
pub(super) use args::{positive_rate, threads_default};
pub(super) use figures::{Errors, Figures, Latency, Usage};
pub(super) use pace::Pace;
pub(super) use runners::{Load, drive};
pub(super) use scenario::{Run, Scenario, called, failure, run_prefix};
pub(super) use tally::Failure;
pub(super) use units::Units;
pub(super) use window::Window;

use super::{interrupted, orchestrators, process::Process, target::Target, unless_interrupted};
use report::Report;

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

/// Hosts the code of all scenarios until interrupted.
async fn serve_as_worker(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let worker = start_worker(args, &Target::attach(&args.target).await?).await?;
    eprintln!("serving work items until interrupted");
    interrupted().await?;
    let Totals {
        turns,
        activities,
        operations,
        unanswered,
        streams,
        ..
    } = worker.stop().await;
    eprintln!(
        "answered {turns} turns, {activities} activities and {operations} operations of entities, \
         left {unanswered} work items unanswered, opened {streams} streams"
    );
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &RunArgs, target: &Target) -> anyhow::Result<Report> {
    let unit_duration = match target.process {
        Some(_) => args.unit_duration,
        // Without the server's own CPU there is nothing to compare it with.
        None => Duration::ZERO,
    };
    let in_flight = args.calls_in_flight();
    let connections = args.connections_for(in_flight);
    let unit = Units::start(unit_duration, in_flight, connections).await?;
    let first = unit.measure().await?;

    let worker = match args.no_worker || !args.scenario.needs_worker() {
        true => None,
        false => Some(start_worker(args, target).await?),
    };
    let client = Client::connect_many(&target.endpoint, args.client_connections()).await?;
    let run = Run::new(
        client,
        args.scenario,
        args.plan(),
        args.entities(),
        args.timeout,
    );
    let rss_before = target.process.and_then(Process::rss_bytes);
    let load = Load {
        pace: pace(args),
        runners: args.runners(),
        drain_max: args.timeout,
    };
    let readings = drive(
        load,
        || run.runner(),
        || Usage::read(target.process, worker.as_ref()),
    )
    .await;
    let entities = run.settle_entities().await?;
    if let Some(worker) = worker {
        worker.stop().await;
    }

    let unit = first.plus(unit.measure().await?);
    Ok(Report::of(
        args,
        target,
        rss_before,
        &Figures::of(&readings),
        entities,
        unit.report(),
    ))
}

fn pace(args: &RunArgs) -> Pace {
    let name = args.scenario.name();
    if let Some(count) = args.orchestrations {
        eprintln!("measuring {name}, {count} in all");
        return Pace::counted(count.get() as u64);
    }
    eprintln!(
        "measuring {name} for {:?} after {:?} of warm-up",
        args.duration, args.warmup
    );
    let window = Window::starting_now(args.warmup, args.duration);
    match args.rate {
        Some(rate) => Pace::open(window, rate),
        None => Pace::closed(window),
    }
}

async fn start_worker(args: &RunArgs, target: &Target) -> anyhow::Result<Worker> {
    let endpoint = target
        .endpoint
        .clone()
        .with_worker_id(format!("longhaul-bench,{}", std::process::id()));
    let client = Client::connect_many(&endpoint, args.worker_connections).await?;
    Ok(Worker::start(
        client,
        orchestrators::registry(),
        Slots::of_each(args.worker_slots()),
        History::Streamed,
    ))
}
