//! `longhaul bench sequence`: whether an activity costs more the longer the history before it has become.
//!
//! ```text
//! base      many short orchestrations       histories too short to matter
//! inline    one long one                    every work item carries the whole history so far
//! streamed  one long one, with a ballast    the history is long from the start and so left out of every work item
//! ```
//!
//! All three run the same number of the same activities one after the other, in turns. What `streamed` costs more than
//! `base` is the server's own work on a long history; what `inline` costs more than that is carrying the history's bytes,
//! which grow with the square of the number of steps.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use longhaul_client::{
    Client, Detail, Endpoint, Worker,
    worker::{History, Slots},
};
use longhaul_proto::sidecar::{CreateInstanceRequest, OrchestrationStatus};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{
    empty_call,
    load::{Units, run_prefix},
    orchestrators::{self, Plan},
    output::{Output, Rows, or_dash, ratio, rounded},
    process::Process,
    target::{ScratchArgs, ScratchServer, Stop},
};

/// Carried by the input of the orchestration and by input and result of its first step: together more than servers put
/// into a work item for a worker that can do without.
const BALLAST_BYTES: usize = 600 << 10;
const WORKER_SLOTS: NonZeroU32 = NonZeroU32::new(16).expect("so many are not zero");
/// The first turn, and the second if the ballast is not committed by then, come with all there is.
const TURNS_WITH_HISTORY_MAX: u64 = 2;

/// Arguments of `longhaul bench sequence`.
#[derive(Debug, Args)]
pub struct SequenceArgs {
    /// Activities of a long orchestration, one after the other
    #[arg(long, default_value = "5000", value_name = "N")]
    steps: NonZeroUsize,

    /// Activities of each short one; there are as many of these as make up a long one
    #[arg(long, default_value = "50", value_name = "N")]
    base_steps: NonZeroUsize,

    /// How often everything is run
    #[arg(long, default_value = "3", value_name = "COUNT")]
    rounds: NonZeroUsize,

    /// How long the server may finish in the background what then counts as its CPU
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    settle: Duration,

    /// An orchestration that takes longer is an error
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// How long to measure the unit of cost, an empty gRPC call; 0s skips it
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    unit_duration: Duration,

    #[command(flatten)]
    scratch: ScratchArgs,

    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What an activity costs after few others and after many.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Activities of a long orchestration.
    steps: usize,
    /// Activities of a short one.
    base_steps: usize,
    /// How often everything was run.
    rounds: usize,
    /// Short orchestrations.
    base: Cost,
    /// Long ones whose work items carry the history.
    inline: Cost,
    /// Long ones whose work items do not.
    streamed: Cost,
    /// Server CPU of an activity, `inline` to `base`.
    inline_to_base: Option<f64>,
    /// Server CPU of an activity, `streamed` to `base`.
    streamed_to_base: Option<f64>,
    /// The unit, with one call in flight.
    empty_call: Option<empty_call::Report>,
}

/// What activities have cost, on average.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cost {
    orchestrations: usize,
    activities: usize,
    /// From start to end of the orchestration.
    ms_per_activity: f64,
    server_cpu_us_per_activity: Option<f64>,
    /// The same in empty calls.
    units_per_activity: Option<f64>,
}

/// Sums over the rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spent {
    orchestrations: usize,
    activities: usize,
    elapsed: Duration,
    cpu: Option<Duration>,
}

/// Orchestrations run one after the other.
#[derive(Debug, Clone, Copy)]
struct Series {
    name: &'static str,
    orchestrations: usize,
    steps: usize,
    history: History,
    ballast_bytes: usize,
}

pub(super) async fn run(args: SequenceArgs) -> anyhow::Result<ExitCode> {
    let series = args.series()?;
    let mut server = ScratchServer::create(&args.scratch)?;
    server.start().await?;
    let bench = Bench {
        endpoint: server.endpoint()?,
        process: server.process(),
        settle: args.settle,
        timeout: args.timeout,
    };
    let units = Units::start(args.unit_duration, NonZeroUsize::MIN, NonZeroUsize::MIN).await?;
    let first = units.measure().await?;
    let mut spent = [Spent::default(); 3];
    for round in 1..=args.rounds.get() {
        for (series, sum) in series.iter().zip(&mut spent) {
            eprintln!(
                "round {round}: {}, {} orchestrations of {} steps",
                series.name, series.orchestrations, series.steps
            );
            *sum = sum.plus(bench.measure(series).await?);
        }
    }
    let unit = first.plus(units.measure().await?).report();
    server.stop(Stop::Gracefully).await?;
    args.output
        .print(&Report::of(&args, spent, unit), Report::rows)?;
    Ok(ExitCode::SUCCESS)
}

impl SequenceArgs {
    fn series(&self) -> anyhow::Result<[Series; 3]> {
        let (steps, base_steps) = (self.steps.get(), self.base_steps.get());
        ensure!(
            base_steps <= steps,
            "--base-steps {base_steps} is more than --steps {steps}"
        );
        let long = Series {
            name: "inline",
            orchestrations: 1,
            steps,
            history: History::Inline,
            ballast_bytes: 0,
        };
        Ok([
            Series {
                name: "base",
                orchestrations: steps / base_steps,
                steps: base_steps,
                ..long
            },
            long,
            Series {
                name: "streamed",
                history: History::Unneeded,
                ballast_bytes: BALLAST_BYTES,
                ..long
            },
        ])
    }
}

struct Bench {
    endpoint: Endpoint,
    process: Option<Process>,
    settle: Duration,
    timeout: Duration,
}

impl Bench {
    async fn measure(&self, series: &Series) -> anyhow::Result<Spent> {
        let client = Client::connect(&self.endpoint).await?;
        let worker = Worker::start(
            Client::connect(&self.endpoint).await?,
            orchestrators::relay_registry(),
            Slots::of_each(WORKER_SLOTS),
            series.history,
        );
        let input = Plan {
            count: series.steps,
            payload: ".".repeat(series.ballast_bytes).into(),
            ..Plan::default()
        }
        .to_json();
        let prefix = run_prefix(series.name);
        let cpu_before = self.process.and_then(Process::cpu);
        let begun = Instant::now();
        for nth in 0..series.orchestrations {
            let request = CreateInstanceRequest {
                instance_id: format!("{prefix}-{nth}"),
                name: orchestrators::RELAY.to_owned(),
                input: Some(input.clone()),
                ..CreateInstanceRequest::default()
            };
            timeout(self.timeout, complete(&client, request, series.steps))
                .await
                .with_context(|| format!("no end of {prefix}-{nth} within {:?}", self.timeout))??;
        }
        let elapsed = begun.elapsed();
        sleep(self.settle).await;
        let cpu_after = self.process.and_then(Process::cpu);
        let totals = worker.stop().await;
        series.check_history_left_out(totals.turns, totals.without_history)?;
        Ok(Spent {
            orchestrations: series.orchestrations,
            activities: series.orchestrations * series.steps,
            elapsed,
            cpu: cpu_after
                .zip(cpu_before)
                .map(|(after, before)| after.saturating_sub(before)),
        })
    }
}

async fn complete(
    client: &Client,
    request: CreateInstanceRequest,
    steps: usize,
) -> anyhow::Result<()> {
    let instance_id = client.start(request).await?;
    let state = client
        .wait_for_completion(&instance_id, Detail::Payloads)
        .await?
        .with_context(|| format!("{instance_id} vanished"))?;
    let status = state.orchestration_status();
    ensure!(
        status == OrchestrationStatus::Completed
            && state.output.as_deref() == Some(&*steps.to_string()),
        "{instance_id} is {} with output {:?} instead of COMPLETED with {steps}",
        status.as_str_name(),
        state.output
    );
    Ok(())
}

impl Series {
    /// Fails if the series did not measure what its name says.
    fn check_history_left_out(&self, turns: u64, without_history: u64) -> anyhow::Result<()> {
        let with_history = turns.saturating_sub(without_history);
        ensure!(
            self.history != History::Unneeded
                || with_history <= TURNS_WITH_HISTORY_MAX * self.orchestrations as u64,
            "the server sent the history with {with_history} of {turns} turns of `{}`",
            self.name
        );
        Ok(())
    }
}

impl Spent {
    fn plus(self, other: Self) -> Self {
        Self {
            orchestrations: self.orchestrations + other.orchestrations,
            activities: self.activities + other.activities,
            elapsed: self.elapsed + other.elapsed,
            cpu: other
                .cpu
                .map(|cpu| cpu + self.cpu.unwrap_or(Duration::ZERO)),
        }
    }

    fn cpu_us_per_activity(&self) -> Option<f64> {
        ratio(self.cpu?.as_secs_f64() * 1e6, self.activities as f64)
    }

    fn cost(&self, unit: Option<empty_call::Report>) -> Cost {
        let cpu_us = self.cpu_us_per_activity();
        Cost {
            orchestrations: self.orchestrations,
            activities: self.activities,
            ms_per_activity: ratio(self.elapsed.as_secs_f64() * 1e3, self.activities as f64)
                .unwrap_or(0.0),
            server_cpu_us_per_activity: cpu_us,
            units_per_activity: cpu_us
                .zip(unit)
                .and_then(|(cpu_us, unit)| ratio(cpu_us, unit.cpu_us)),
        }
    }
}

impl Report {
    fn of(args: &SequenceArgs, spent: [Spent; 3], unit: Option<empty_call::Report>) -> Self {
        let [base, inline, streamed] = spent;
        let to_base = |long: &Spent| {
            long.cpu_us_per_activity()
                .zip(base.cpu_us_per_activity())
                .and_then(|(long, base)| ratio(long, base))
        };
        Self {
            steps: args.steps.get(),
            base_steps: args.base_steps.get(),
            rounds: args.rounds.get(),
            inline_to_base: to_base(&inline),
            streamed_to_base: to_base(&streamed),
            base: base.cost(unit),
            inline: inline.cost(unit),
            streamed: streamed.cost(unit),
            empty_call: unit,
        }
    }

    fn rows(&self) -> Rows {
        let against = |ratio: Option<f64>| {
            ratio.map_or_else(
                || "-".to_owned(),
                |ratio| format!("{ratio:.3} of an activity's CPU in base"),
            )
        };
        let mut rows = vec![
            ("rounds", self.rounds.to_string()),
            ("base", self.base.text(self.base_steps)),
            ("inline", self.inline.text(self.steps)),
            ("streamed", self.streamed.text(self.steps)),
            ("inline to base", against(self.inline_to_base)),
            ("streamed to base", against(self.streamed_to_base)),
        ];
        if let Some(unit) = &self.empty_call {
            rows.push((
                "empty call",
                format!("{} µs of server CPU, one in flight", rounded(unit.cpu_us)),
            ));
        }
        rows
    }
}

impl Cost {
    fn text(&self, steps: usize) -> String {
        format!(
            "{} x {steps} activities: {:.2} ms each, server CPU {} each, {}",
            self.orchestrations,
            self.ms_per_activity,
            or_dash(self.server_cpu_us_per_activity, "µs"),
            or_dash(self.units_per_activity, "empty calls")
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: SequenceArgs,
    }

    fn parse(line: &str) -> SequenceArgs {
        Cli::try_parse_from(line.split(' ')).expect(line).args
    }

    fn spent(activities: usize, cpu_ms: Option<u64>) -> Spent {
        Spent {
            orchestrations: 1,
            activities,
            elapsed: Duration::from_secs(2),
            cpu: cpu_ms.map(Duration::from_millis),
        }
    }

    #[test]
    fn all_series_have_as_many_steps() {
        let series = parse("sequence --steps 1000 --base-steps 50")
            .series()
            .expect("it is well-formed");
        let steps = series.map(|series| series.orchestrations * series.steps);
        assert_eq!(steps, [1_000; 3]);
        let refusal = parse("sequence --steps 10 --base-steps 11").series();
        assert!(
            refusal
                .expect_err("no whole series fits")
                .to_string()
                .contains("--base-steps 11")
        );
    }

    #[test]
    fn a_series_without_history_must_have_gone_without() {
        let [base, inline, streamed] = parse("sequence").series().expect("they are the defaults");
        for (series, turns, without, right) in [
            (base, 5_100, 0, true),
            (inline, 5_001, 0, true),
            (streamed, 5_001, 5_000, true),
            (streamed, 5_001, 4_999, true),
            (streamed, 5_001, 4_998, false),
            (streamed, 5_001, 0, false),
        ] {
            let checked = series.check_history_left_out(turns, without);
            assert_eq!(checked.is_ok(), right, "{} {without}", series.name);
        }
    }

    #[test]
    fn costs_are_compared_with_the_base() {
        let args = parse("sequence --steps 100 --base-steps 10");
        let twice = |one: Spent| one.plus(one);
        let sums = [
            twice(spent(100, Some(10))),
            twice(spent(100, Some(25))),
            twice(spent(100, Some(11))),
        ];
        let report = Report::of(&args, sums, None);
        assert_eq!(
            (report.inline_to_base, report.streamed_to_base),
            (Some(2.5), Some(1.1))
        );
        assert_eq!(
            report.base,
            Cost {
                orchestrations: 2,
                activities: 200,
                ms_per_activity: 20.0,
                server_cpu_us_per_activity: Some(100.0),
                units_per_activity: None,
            }
        );
        let unknown = Report::of(&args, [spent(100, None); 3], None);
        assert_eq!(unknown.streamed_to_base, None);
    }
}
