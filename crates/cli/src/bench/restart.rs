//! `longhaul bench restart`: what a waiting instance costs in memory, and how soon a server with many of them is back.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use longhaul_client::{
    Client, Detail, Worker,
    worker::{History, Slots},
};
use longhaul_proto::sidecar::{CreateInstanceRequest, OrchestrationStatus};
use serde::Serialize;
use tokio::time::sleep;

use super::{
    load::run_prefix,
    orchestrators::{self, Plan},
    output::{Output, Rows, mebibytes, or_dash, ratio, rounded},
    process::Process,
    target::{ScratchArgs, ScratchServer, Stop},
};

const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");
const WORKER_SLOTS: NonZeroU32 = NonZeroU32::new(256).expect("so many are not zero");
const IN_FLIGHT: usize = 256;
/// How many of the instances are looked up after the restart.
const CHECKED_MAX: usize = 1_000;

/// Arguments of `longhaul bench restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// How many instances wait for an event that never comes
    #[arg(long, default_value = "100000", value_name = "N")]
    live: NonZeroUsize,

    /// Added to the input of each of them
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    payload_bytes: usize,

    /// How the server is ended
    #[arg(long, value_enum, default_value_t = Signal::Kill)]
    signal: Signal,

    /// How long the server may settle before its memory is read
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    settle: Duration,

    #[command(flatten)]
    scratch: ScratchArgs,

    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Signal {
    /// SIGKILL, as a crash
    Kill,
    /// SIGTERM, as an upgrade
    Term,
}

/// What was seen before and after the restart.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Instances waiting.
    live: usize,
    /// Payload of each.
    payload_bytes: usize,
    /// How many a second were started and had their first turn.
    started_per_s: Option<f64>,
    /// Memory before the first instance.
    rss_empty_bytes: Option<u64>,
    /// Memory with all of them waiting.
    rss_live_bytes: Option<u64>,
    /// The difference, for each instance.
    rss_bytes_per_instance: Option<f64>,
    /// Size of the data directory with all of them waiting.
    data_bytes: u64,
    /// How the server was ended.
    signal: Signal,
    /// From the restart to the first answer, ms.
    ready_ms: f64,
    /// From the restart to the state of one instance, ms.
    first_get_ms: f64,
    /// CPU used from the restart until then, ms.
    ready_cpu_ms: Option<f64>,
    /// Memory after the restart.
    rss_restarted_bytes: Option<u64>,
    /// Instances looked up afterwards; all of them were there and running.
    checked: usize,
}

pub(super) async fn run(args: RestartArgs) -> anyhow::Result<ExitCode> {
    let mut server = ScratchServer::create(&args.scratch)?;
    server.start().await?;
    sleep(args.settle).await;
    let rss_empty_bytes = server.process().and_then(Process::rss_bytes);

    let waiting = Waiting::new(args.live.get());
    eprintln!("starting {} instances", waiting.count);
    let begun = Instant::now();
    waiting.start(&server, args.payload_bytes).await?;
    let started_in = begun.elapsed();
    sleep(args.settle).await;
    let rss_live_bytes = server.process().and_then(Process::rss_bytes);
    let data_bytes = server.data_bytes();

    eprintln!("restarting the server");
    server
        .stop(match args.signal {
            Signal::Kill => Stop::AtOnce,
            Signal::Term => Stop::Gracefully,
        })
        .await?;
    let ready = server.start().await?;
    waiting.check(&ready.client, 0).await?;
    let first_get = ready.started.elapsed();
    let ready_cpu = server.process().and_then(Process::cpu);
    let checked = waiting.check_many(&ready.client).await?;
    sleep(args.settle).await;

    let milliseconds = |duration: Duration| rounded(duration.as_secs_f64() * 1e3);
    let grown = rss_live_bytes
        .zip(rss_empty_bytes)
        .map(|(live, empty)| live.saturating_sub(empty));
    let report = Report {
        live: waiting.count,
        payload_bytes: args.payload_bytes,
        started_per_s: ratio(waiting.count as f64, started_in.as_secs_f64()),
        rss_empty_bytes,
        rss_live_bytes,
        rss_bytes_per_instance: grown.and_then(|grown| ratio(grown as f64, waiting.count as f64)),
        data_bytes,
        signal: args.signal,
        ready_ms: milliseconds(ready.after),
        first_get_ms: milliseconds(first_get),
        ready_cpu_ms: ready_cpu.map(milliseconds),
        rss_restarted_bytes: server.process().and_then(Process::rss_bytes),
        checked,
    };
    server.stop(Stop::Gracefully).await?;
    args.output.print(&report, Report::rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Instances that wait for ever.
struct Waiting {
    prefix: String,
    count: usize,
}

impl Waiting {
    fn new(count: usize) -> Self {
        Self {
            prefix: run_prefix("waiting"),
            count,
        }
    }

    /// Starts them all and sees each through its first turn.
    async fn start(&self, server: &ScratchServer, payload_bytes: usize) -> anyhow::Result<()> {
        let client = &Client::connect_many(&server.endpoint()?, CONNECTIONS).await?;
        let worker = Worker::start(
            Client::connect(&server.endpoint()?).await?,
            orchestrators::registry(),
            Slots::of_each(WORKER_SLOTS),
            History::Streamed,
        );
        let input = &Plan {
            count: 1,
            payload: ".".repeat(payload_bytes).into(),
            ..Plan::default()
        }
        .to_json();
        stream::iter(0..self.count)
            .map(|nth| async move {
                let request = CreateInstanceRequest {
                    instance_id: self.id(nth),
                    name: orchestrators::EVENTS.to_owned(),
                    input: Some(input.clone()),
                    ..CreateInstanceRequest::default()
                };
                let instance_id = client.start(request).await?;
                let state = client.wait_for_start(&instance_id, Detail::Summary).await?;
                state
                    .map(drop)
                    .with_context(|| format!("{instance_id} vanished"))
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        worker.stop().await;
        Ok(())
    }

    /// Fails unless the instance is there and still running.
    async fn check(&self, client: &Client, nth: usize) -> anyhow::Result<()> {
        let instance_id = self.id(nth);
        let state = client
            .get(&instance_id, Detail::Summary)
            .await?
            .with_context(|| format!("{instance_id} is lost"))?;
        let status = state.orchestration_status();
        ensure!(
            status == OrchestrationStatus::Running,
            "{instance_id} is {}",
            status.as_str_name()
        );
        Ok(())
    }

    /// Checks an even choice of them and returns how many.
    async fn check_many(&self, client: &Client) -> anyhow::Result<usize> {
        let step = self.count.div_ceil(CHECKED_MAX);
        let checks = stream::iter((0..self.count).step_by(step)).map(|nth| self.check(client, nth));
        let checked: Vec<()> = checks.buffer_unordered(IN_FLIGHT).try_collect().await?;
        Ok(checked.len())
    }

    fn id(&self, nth: usize) -> String {
        format!("{}-{nth}", self.prefix)
    }
}

impl Report {
    fn rows(&self) -> Rows {
        vec![
            (
                "waiting",
                format!(
                    "{} instances with {} payload bytes",
                    self.live, self.payload_bytes
                ),
            ),
            ("started", or_dash(self.started_per_s, "a second")),
            (
                "memory",
                format!(
                    "{} empty, {} waiting",
                    mebibytes(self.rss_empty_bytes),
                    mebibytes(self.rss_live_bytes)
                ),
            ),
            ("each", or_dash(self.rss_bytes_per_instance, "bytes")),
            ("data directory", mebibytes(Some(self.data_bytes))),
            (
                "ready",
                format!("{:.0} ms after its restart", self.ready_ms),
            ),
            (
                "first state",
                format!("{:.0} ms after its restart", self.first_get_ms),
            ),
            ("CPU until then", or_dash(self.ready_cpu_ms, "ms")),
            ("memory afterwards", mebibytes(self.rss_restarted_bytes)),
            (
                "checked",
                format!("{} instances, all running", self.checked),
            ),
        ]
    }
}
