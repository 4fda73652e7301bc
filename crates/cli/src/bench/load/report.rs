//! The report of a run, as JSON (its fields are described in [`crate::bench`]) and as lines for people.

use serde::Serialize;

use super::{
    args::RunArgs,
    entities::Settled,
    figures::{Errors, Figures, Latency},
};
use crate::bench::{
    empty_call,
    output::{Rows, mebibytes, or_dash, ratio, rounded},
    target::Target,
};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    scenario: &'static str,
    #[serde(skip)]
    counted: (&'static str, &'static str),
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
    operations_per_s: Option<f64>,
    operations_per_batch: Option<f64>,
    entities: Option<Settled>,
    server: Option<Server>,
    client_cpu_us_per_orchestration: Option<f64>,
    empty_call: Option<empty_call::Report>,
    units_per_orchestration: Option<f64>,
    units_per_action: Option<f64>,
    orchestrations_to_empty_calls: Option<f64>,
    actions_to_empty_calls: Option<f64>,
    #[serde(skip)]
    is_clean: bool,
}

#[derive(Debug, Serialize)]
struct Server {
    pid: u32,
    cpu_us_per_orchestration: Option<f64>,
    cpu_us_per_action: Option<f64>,
    cpu_cores: Option<f64>,
    rss_before_bytes: Option<u64>,
    rss_after_bytes: Option<u64>,
}

impl Report {
    pub(super) fn of(
        args: &RunArgs,
        target: &Target,
        rss_before_bytes: Option<u64>,
        figures: &Figures,
        entities: Option<Settled>,
        empty_call: Option<empty_call::Report>,
    ) -> Self {
        let seconds = figures.elapsed.as_secs_f64();
        let done = figures.done;
        let cpu_us_per_orchestration = figures.us_each(figures.server_cpu_s);
        let cpu_us_per_action = figures
            .server_cpu_s
            .zip(done)
            .and_then(|(cpu_s, done)| ratio(cpu_s * 1e6, done.actions as f64));
        let actions_per_s = done.and_then(|done| ratio(done.actions as f64, seconds));
        let in_units = |cpu_us: Option<f64>| {
            cpu_us
                .zip(empty_call)
                .and_then(|(cpu_us, unit)| ratio(cpu_us, unit.cpu_us))
        };
        let to_empty_calls = |per_s: Option<f64>| {
            per_s
                .zip(empty_call)
                .and_then(|(per_s, unit)| ratio(per_s, unit.calls_per_s))
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            scenario: args.scenario.name(),
            counted: args.scenario.nouns(),
            count: args.plan().count,
            payload_bytes: args.payload_bytes,
            mode: match (args.rate, args.orchestrations) {
                (Some(_), _) => "open",
                (None, Some(_)) => "counted",
                (None, None) => "closed",
            },
            concurrency: args.runners().get(),
            rate: args.rate,
            duration_s: rounded(seconds),
            warmup_s: match args.orchestrations {
                Some(_) => 0.0,
                None => rounded(args.warmup.as_secs_f64()),
            },
            endpoint: target.endpoint.url().to_owned(),
            spawned: target.is_scratch(),
            orchestrations: figures.completed,
            orchestrations_per_s: figures.per_s().unwrap_or(0.0),
            actions: done.map(|done| done.actions),
            actions_per_s,
            latency_ms: figures.latency.clone(),
            errors: figures.errors.clone(),
            operations_per_s: done
                .filter(|_| entities.is_some())
                .and_then(|done| ratio(done.operations as f64, seconds)),
            operations_per_batch: done
                .and_then(|done| ratio(done.operations as f64, done.batches as f64)),
            entities,
            server: target.process.map(|process| Server {
                pid: process.pid,
                cpu_us_per_orchestration,
                cpu_us_per_action,
                cpu_cores: figures.server_cpu_s.and_then(|cpu_s| ratio(cpu_s, seconds)),
                rss_before_bytes,
                rss_after_bytes: figures.server_rss_bytes,
            }),
            client_cpu_us_per_orchestration: figures.us_each(figures.client_cpu_s),
            empty_call,
            units_per_orchestration: in_units(cpu_us_per_orchestration),
            units_per_action: in_units(cpu_us_per_action),
            orchestrations_to_empty_calls: to_empty_calls(figures.per_s()),
            actions_to_empty_calls: to_empty_calls(actions_per_s),
            is_clean: figures.is_clean(),
        }
    }

    /// Whether something was done and nothing went wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.is_clean && self.entities.as_ref().is_none_or(Settled::is_right)
    }

    pub(super) fn rows(&self) -> Rows {
        let (latency, (one, several)) = (&self.latency_ms, self.counted);
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
                format!("{:.1} {several}/s", self.orchestrations_per_s),
            ),
            ("work items", or_dash(self.actions_per_s, "actions/s")),
            (
                "latency",
                format!(
                    "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
                    latency.p50, latency.p90, latency.p99, latency.p999, latency.max
                ),
            ),
        ];
        rows.extend(self.error_rows());
        if let Some(entities) = &self.entities {
            let (rate, size) = (
                or_dash(self.operations_per_s, "operations/s"),
                or_dash(self.operations_per_batch, "to a batch"),
            );
            rows.extend([
                ("applied", format!("{rate}, {size}")),
                ("entities", entities.text()),
            ]);
        }
        if let Some(server) = &self.server {
            let (before, after) = (
                mebibytes(server.rss_before_bytes),
                mebibytes(server.rss_after_bytes),
            );
            let (each, action) = (
                or_dash(server.cpu_us_per_orchestration, "µs"),
                or_dash(server.cpu_us_per_action, "µs"),
            );
            rows.extend([
                (
                    "server CPU",
                    format!("{each} per {one}, {action} per work item"),
                ),
                ("server load", or_dash(server.cpu_cores, "cores")),
                ("server memory", format!("{before} before, {after} after")),
            ]);
        }
        let client_cpu = or_dash(self.client_cpu_us_per_orchestration, "µs");
        rows.push(("client CPU", format!("{client_cpu} per {one}")));
        if let Some(unit) = &self.empty_call {
            rows.extend(self.unit_rows(unit));
        }
        rows
    }

    fn error_rows(&self) -> Rows {
        let Errors {
            count, unfinished, ..
        } = self.errors;
        let sums = ("errors", format!("{count} failed, {unfinished} unfinished"));
        let kinds = self.errors.by_kind.iter();
        std::iter::once(sums)
            .chain(kinds.map(|(kind, count)| ("", format!("{count} x {kind}"))))
            .collect()
    }

    fn unit_rows(&self, unit: &empty_call::Report) -> Rows {
        let (one, several) = self.counted;
        let (each, action) = (
            or_dash(self.units_per_orchestration, "empty calls"),
            or_dash(self.units_per_action, "per work item"),
        );
        let share = |ratio: Option<f64>| {
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"))
        };
        let (paced, paced_actions) = (
            share(self.orchestrations_to_empty_calls),
            share(self.actions_to_empty_calls),
        );
        vec![
            (
                "empty call",
                format!(
                    "{:.1} µs of server CPU, {:.0} calls/s with {} in flight",
                    unit.cpu_us, unit.calls_per_s, unit.in_flight
                ),
            ),
            ("cost", format!("{each} per {one}, {action}")),
            (
                "pace",
                format!(
                    "{paced} {several} and {paced_actions} work items in the time of an empty call"
                ),
            ),
        ]
    }

    fn load(&self) -> String {
        let how = match (self.mode, self.rate) {
            ("counted", _) => format!(
                "{} {}, at most {} in flight, took {} s",
                self.orchestrations, self.counted.1, self.concurrency, self.duration_s
            ),
            (_, Some(rate)) => format!(
                "open loop, {rate} a second, at most {} in flight, {}",
                self.concurrency,
                self.span()
            ),
            (_, None) => format!(
                "closed loop, {} in flight, {}",
                self.concurrency,
                self.span()
            ),
        };
        format!("{how}, {}", self.endpoint)
    }

    fn span(&self) -> String {
        format!("{} s after {} s of warm-up", self.duration_s, self.warmup_s)
    }
}
