//! The report of a run, as JSON (its fields are described in [`crate::bench`]) and as lines for people.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use longhaul_client::{Worker, worker::Totals};
use serde::Serialize;

use super::{args::RunArgs, runners::Readings};
use crate::bench::{
    empty_call,
    output::{Rows, mebibytes, or_dash, ratio, rounded},
    process::Process,
    target::Target,
};

/// What server, client and worker have used and done up to one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    server_cpu: Option<Duration>,
    server_rss_bytes: Option<u64>,
    client_cpu: Option<Duration>,
    worker: Option<Totals>,
}

impl Usage {
    pub(super) fn read(server: Option<Process>, worker: Option<&Worker>) -> Self {
        Self {
            server_cpu: server.and_then(Process::cpu),
            server_rss_bytes: server.and_then(Process::rss_bytes),
            client_cpu: Process::own().cpu(),
            worker: worker.map(Worker::totals),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    scenario: &'static str,
    count: usize,
    payload_bytes: usize,
    mode: &'static str,
    concurrency: usize,
    rate: Option<f64>,
    duration_s: f64,
    warmup_s: f64,
    endpoint: String,
    spawned: bool,
    orchestrations: u64,
    orchestrations_per_s: f64,
    actions: Option<u64>,
    actions_per_s: Option<f64>,
    latency_ms: Latency,
    errors: Errors,
    server: Option<Server>,
    client_cpu_us_per_orchestration: Option<f64>,
    empty_call: Option<empty_call::Report>,
    units_per_orchestration: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    mean: f64,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Errors {
    count: u64,
    unfinished: u64,
    by_kind: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Server {
    pid: u32,
    cpu_us_per_orchestration: Option<f64>,
    cpu_cores: Option<f64>,
    rss_before_bytes: Option<u64>,
    rss_after_bytes: Option<u64>,
}

impl Report {
    pub(super) fn of(
        args: &RunArgs,
        target: &Target,
        rss_before_bytes: Option<u64>,
        readings: &Readings<Usage>,
        empty_call: Option<empty_call::Report>,
    ) -> Self {
        let Readings {
            tally,
            before,
            after,
        } = readings;
        let (seconds, completed) = (args.duration.as_secs_f64(), tally.completed as f64);
        let actions = after
            .worker
            .zip(before.worker)
            .map(|(after, before)| after.work_items() - before.work_items());
        let server_cpu = spent(before.server_cpu, after.server_cpu);
        let cpu_us_per_orchestration = server_cpu.and_then(|cpu| ratio(cpu * 1e6, completed));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            scenario: args.scenario.name(),
            count: args.plan().count,
            payload_bytes: args.payload_bytes,
            mode: if args.rate.is_some() {
                "open"
            } else {
                "closed"
            },
            concurrency: args.concurrency.get(),
            rate: args.rate,
            duration_s: rounded(seconds),
            warmup_s: rounded(args.warmup.as_secs_f64()),
            endpoint: target.endpoint.url().to_owned(),
            spawned: target.is_scratch(),
            orchestrations: tally.completed,
            orchestrations_per_s: ratio(completed, seconds).unwrap_or(0.0),
            actions,
            actions_per_s: actions.and_then(|actions| ratio(actions as f64, seconds)),
            latency_ms: Latency::of(&tally.latency_us),
            errors: Errors {
                count: tally.failures.values().sum(),
                unfinished: tally.unfinished,
                by_kind: tally.failures.clone(),
            },
            server: target.process.map(|process| Server {
                pid: process.pid,
                cpu_us_per_orchestration,
                cpu_cores: server_cpu.and_then(|cpu| ratio(cpu, seconds)),
                rss_before_bytes,
                rss_after_bytes: after.server_rss_bytes,
            }),
            client_cpu_us_per_orchestration: spent(before.client_cpu, after.client_cpu)
                .and_then(|cpu| ratio(cpu * 1e6, completed)),
            empty_call,
            units_per_orchestration: cpu_us_per_orchestration
                .zip(empty_call)
                .and_then(|(cpu_us, unit)| ratio(cpu_us, unit.cpu_us)),
        }
    }

    /// Whether something was done and nothing went wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.orchestrations > 0 && self.errors.count == 0 && self.errors.unfinished == 0
    }

    pub(super) fn rows(&self) -> Rows {
        let latency = &self.latency_ms;
        let mut rows = vec![
            (
                "scenario",
                format!(
                    "{} ({} steps, {} payload bytes)",
                    self.scenario, self.count, self.payload_bytes
                ),
            ),
            ("load", self.load()),
            (
                "throughput",
                format!("{:.1} orchestrations/s", self.orchestrations_per_s),
            ),
            ("work items", or_dash(self.actions_per_s, "actions/s")),
            (
                "latency",
                format!(
                    "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
                    latency.p50, latency.p90, latency.p99, latency.p999, latency.max
                ),
            ),
            (
                "errors",
                format!(
                    "{} failed, {} unfinished",
                    self.errors.count, self.errors.unfinished
                ),
            ),
        ];
        rows.extend(
            self.errors
                .by_kind
                .iter()
                .map(|(kind, count)| ("", format!("{count} x {kind}"))),
        );
        if let Some(server) = &self.server {
            let (before, after) = (
                mebibytes(server.rss_before_bytes),
                mebibytes(server.rss_after_bytes),
            );
            rows.extend([
                (
                    "server CPU",
                    or_dash(server.cpu_us_per_orchestration, "µs per orchestration"),
                ),
                ("server load", or_dash(server.cpu_cores, "cores")),
                ("server memory", format!("{before} before, {after} after")),
            ]);
        }
        rows.push((
            "client CPU",
            or_dash(self.client_cpu_us_per_orchestration, "µs per orchestration"),
        ));
        if let Some(unit) = &self.empty_call {
            rows.extend([
                (
                    "empty call",
                    format!(
                        "{:.1} µs of server CPU, {:.0} calls/s",
                        unit.cpu_us, unit.calls_per_s
                    ),
                ),
                (
                    "cost",
                    or_dash(
                        self.units_per_orchestration,
                        "empty calls per orchestration",
                    ),
                ),
            ]);
        }
        rows
    }

    fn load(&self) -> String {
        let loop_ = match self.rate {
            Some(rate) => format!(
                "open loop, {rate} a second, at most {} in flight",
                self.concurrency
            ),
            None => format!("closed loop, {} in flight", self.concurrency),
        };
        format!(
            "{loop_}, {} s after {} s of warm-up, {}",
            self.duration_s, self.warmup_s, self.endpoint
        )
    }
}

impl Latency {
    fn of(us: &Histogram<u64>) -> Self {
        let at = |quantile| rounded(us.value_at_quantile(quantile) as f64 / 1e3);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: rounded(us.max() as f64 / 1e3),
            mean: rounded(us.mean() / 1e3),
            count: us.len(),
        }
    }
}

/// CPU seconds between two readings.
fn spent(before: Option<Duration>, after: Option<Duration>) -> Option<f64> {
    Some(after?.checked_sub(before?)?.as_secs_f64())
}
