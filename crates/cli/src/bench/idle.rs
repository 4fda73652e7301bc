//! `longhaul bench idle`: what a server with nothing to do costs, and how soon it is ready.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    output::{Output, Rows, mebibytes, rounded},
    target::{ScratchArgs, ScratchServer, Stop},
};

/// Arguments of `longhaul bench idle`.
#[derive(Debug, Args)]
pub struct IdleArgs {
    /// How long to watch
    #[arg(short, long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,

    #[command(flatten)]
    scratch: ScratchArgs,

    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What was seen of a server on an empty directory.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From starting the process to its first answer, ms.
    ready_ms: f64,
    /// How long it was watched, s.
    duration_s: f64,
    /// CPU used meanwhile, in percent of one core.
    cpu_percent: f64,
    /// Resident memory at the end.
    rss_bytes: Option<u64>,
    /// Threads at the end.
    threads: Option<u64>,
    /// Size of its empty data directory.
    data_bytes: u64,
}

pub(super) async fn run(args: IdleArgs) -> anyhow::Result<ExitCode> {
    let mut server = ScratchServer::create(&args.scratch)?;
    let ready = server.start().await?;
    // A connection, even a silent one, is not idleness.
    drop(ready.client);
    let process = server.process().context("the server has ended")?;
    let before = process.cpu().context("cannot read the server's CPU")?;
    sleep(args.duration).await;
    let spent = process
        .cpu()
        .context("the server has ended")?
        .saturating_sub(before);
    let report = Report {
        ready_ms: rounded(ready.after.as_secs_f64() * 1e3),
        duration_s: rounded(args.duration.as_secs_f64()),
        cpu_percent: rounded(100.0 * spent.as_secs_f64() / args.duration.as_secs_f64()),
        rss_bytes: process.rss_bytes(),
        threads: process.threads(),
        data_bytes: server.data_bytes(),
    };
    server.stop(Stop::Gracefully).await?;
    args.output.print(&report, Report::rows)?;
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn rows(&self) -> Rows {
        vec![
            (
                "ready",
                format!(
                    "{:.0} ms after its start on an empty directory",
                    self.ready_ms
                ),
            ),
            (
                "CPU",
                format!(
                    "{:.2} % of a core over {} s",
                    self.cpu_percent, self.duration_s
                ),
            ),
            ("memory", mebibytes(self.rss_bytes)),
            (
                "threads",
                self.threads
                    .map_or_else(|| "-".to_owned(), |threads| threads.to_string()),
            ),
            ("data directory", mebibytes(Some(self.data_bytes))),
        ]
    }
}
