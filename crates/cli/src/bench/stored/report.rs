//! The report of `longhaul bench stored`.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{StoredArgs, observer::Calls, store::Counted};
use crate::bench::{
    empty_call,
    load::{Errors, Figures, Latency},
    output::{Rows, mebibytes, or_dash, ratio},
};

/// What was seen on an empty node and on a full one.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Instances stored.
    instances: usize,
    /// Of them, those that wait.
    live: usize,
    /// Payload of each.
    payload_bytes: usize,
    /// hello5 orchestrations in flight, at most if there is a rate.
    concurrency: usize,
    /// hello5 orchestrations started a second, if not as many as the server took.
    rate: Option<f64>,
    /// Instances asked for with each page.
    page_size: u32,
    /// Pages read a second, at most.
    pages_per_s: f64,
    /// Instances looked up a second, at most.
    gets_per_s: f64,
    /// How many a second were stored.
    stored_per_s: Option<f64>,
    /// How many a second were listed when they were counted, 1,000 to a page.
    counted_per_s: Option<f64>,
    /// Memory before the first instance.
    rss_empty_bytes: Option<u64>,
    /// Memory with all of them stored.
    rss_stored_bytes: Option<u64>,
    /// Size of the data directory with all of them stored.
    data_bytes: u64,
    /// Throughput of the full node to the empty one in each round.
    rounds: Vec<Option<f64>>,
    /// The round in the middle.
    phases: Phases,
    ratios: Ratios,
    #[serde(skip)]
    is_clean: bool,
}

/// Beside the phases.
pub(super) struct Sizes {
    pub(super) counted: Counted,
    /// How long storing took.
    pub(super) stored_in: Duration,
    pub(super) rss_empty_bytes: Option<u64>,
    pub(super) rss_stored_bytes: Option<u64>,
    pub(super) data_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Phases {
    pub(super) empty: Phase,
    pub(super) empty_queried: Phase,
    pub(super) stored: Phase,
    pub(super) stored_queried: Phase,
}

/// hello5 under one circumstance.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    orchestrations: u64,
    orchestrations_per_s: Option<f64>,
    latency_ms: Latency,
    errors: Errors,
    server_cpu_us_per_orchestration: Option<f64>,
    empty_call: Option<empty_call::Report>,
    units_per_orchestration: Option<f64>,
    pages: Option<Calls>,
    gets: Option<Calls>,
    #[serde(skip)]
    is_clean: bool,
}

/// Above 1 is better for throughput, worse for everything else.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Ratios {
    /// `stored` to `empty`.
    stored: Change,
    /// `empty_queried` to `empty`.
    queries_when_empty: Change,
    /// `stored_queried` to `stored`.
    queries_when_stored: Change,
    /// `stored_queried` to `empty_queried`, by filter.
    pages: BTreeMap<&'static str, CallChange>,
    /// `stored_queried` to `empty_queried`, by what is looked up.
    gets: BTreeMap<&'static str, CallChange>,
}

/// One phase to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Change {
    throughput: Option<f64>,
    server_cpu: Option<f64>,
    /// Server CPU in empty calls of the same phase.
    units: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
}

/// The calls of one phase to those of another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct CallChange {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Phase {
    pub(super) fn of(
        figures: &Figures,
        empty_call: Option<empty_call::Report>,
        pages: Option<Calls>,
        gets: Option<Calls>,
    ) -> Self {
        let cpu_us = figures.us_each(figures.server_cpu_s);
        let queries_are_clean = [&pages, &gets]
            .into_iter()
            .flatten()
            .all(|calls| calls.failures.is_empty() && !calls.latency_ms.is_empty());
        Self {
            orchestrations: figures.completed,
            orchestrations_per_s: figures.per_s(),
            latency_ms: figures.latency.clone(),
            errors: figures.errors.clone(),
            server_cpu_us_per_orchestration: cpu_us,
            empty_call,
            units_per_orchestration: cpu_us
                .zip(empty_call)
                .and_then(|(cpu_us, unit)| ratio(cpu_us, unit.cpu_us)),
            is_clean: figures.is_clean() && queries_are_clean,
            pages,
            gets,
        }
    }

    /// This phase to `base`.
    fn to(&self, base: &Self) -> Change {
        let change = |figure: fn(&Self) -> Option<f64>| {
            figure(self)
                .zip(figure(base))
                .and_then(|(this, base)| ratio(this, base))
        };
        Change {
            throughput: change(|phase| phase.orchestrations_per_s),
            server_cpu: change(|phase| phase.server_cpu_us_per_orchestration),
            units: change(|phase| phase.units_per_orchestration),
            p50: change(|phase| Some(phase.latency_ms.p50)),
            p99: change(|phase| Some(phase.latency_ms.p99)),
        }
    }

    fn text(&self) -> String {
        let per_s = or_dash(self.orchestrations_per_s, "hello5/s");
        let cpu = or_dash(self.server_cpu_us_per_orchestration, "µs");
        let units = or_dash(self.units_per_orchestration, "empty calls");
        let Latency { p50, p99, .. } = self.latency_ms;
        format!("{per_s}, p50 {p50:.2}  p99 {p99:.2} ms, server CPU {cpu} = {units} each")
    }

    fn failures(&self) -> impl Iterator<Item = String> {
        let calls = [&self.pages, &self.gets];
        let kinds = calls
            .into_iter()
            .flatten()
            .flat_map(|calls| &calls.failures)
            .chain(&self.errors.by_kind)
            .map(|(kind, count)| format!("{count} x {kind}"));
        let unfinished = (self.errors.unfinished > 0)
            .then(|| format!("{} hello5 unfinished", self.errors.unfinished));
        kinds.chain(unfinished)
    }
}

impl Change {
    fn text(&self) -> String {
        let parts = [
            ("throughput", self.throughput),
            ("server CPU", self.server_cpu),
            ("in empty calls", self.units),
            ("p50", self.p50),
            ("p99", self.p99),
        ];
        parts
            .map(|(label, ratio)| format!("{label} {}", or_missing(ratio)))
            .join(", ")
    }
}

fn or_missing(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"))
}

/// Each kind of call that both phases made.
fn call_changes(calls: Option<&Calls>, base: Option<&Calls>) -> BTreeMap<&'static str, CallChange> {
    let Some((calls, base)) = calls.zip(base) else {
        return BTreeMap::new();
    };
    let change = |kind: &&'static str, latency: &Latency| {
        let base = base.latency_ms.get(kind)?;
        Some((
            *kind,
            CallChange {
                p50: ratio(latency.p50, base.p50),
                p99: ratio(latency.p99, base.p99),
            },
        ))
    };
    calls
        .latency_ms
        .iter()
        .filter_map(|(kind, latency)| change(kind, latency))
        .collect()
}

/// The round that is neither the best nor the worst for the full node.
fn middle(mut rounds: Vec<Phases>) -> Phases {
    let throughput = |round: &Phases| round.throughput().unwrap_or_default();
    rounds.sort_by(|a, b| throughput(a).total_cmp(&throughput(b)));
    rounds.swap_remove(rounds.len() / 2)
}

impl Phases {
    fn throughput(&self) -> Option<f64> {
        self.stored.to(&self.empty).throughput
    }

    fn ratios(&self) -> Ratios {
        let calls = |of: fn(&Phase) -> Option<&Calls>| {
            call_changes(of(&self.stored_queried), of(&self.empty_queried))
        };
        Ratios {
            stored: self.stored.to(&self.empty),
            queries_when_empty: self.empty_queried.to(&self.empty),
            queries_when_stored: self.stored_queried.to(&self.stored),
            pages: calls(|phase| phase.pages.as_ref()),
            gets: calls(|phase| phase.gets.as_ref()),
        }
    }

    fn all(&self) -> [&Phase; 4] {
        [
            &self.empty,
            &self.empty_queried,
            &self.stored,
            &self.stored_queried,
        ]
    }
}

impl Report {
    pub(super) fn of(args: &StoredArgs, sizes: Sizes, rounds: Vec<Phases>) -> Self {
        let Counted {
            live,
            ended,
            elapsed,
        } = sizes.counted;
        let is_clean = rounds
            .iter()
            .flat_map(Phases::all)
            .all(|phase| phase.is_clean);
        let throughputs = rounds.iter().map(Phases::throughput).collect();
        let phases = middle(rounds);
        let per_s = |count: usize, time: Duration| ratio(count as f64, time.as_secs_f64());
        Self {
            instances: live + ended,
            live,
            payload_bytes: args.payload_bytes,
            concurrency: args.concurrency.get(),
            rate: args.rate,
            page_size: args.page_size.get(),
            pages_per_s: args.pages_per_s,
            gets_per_s: args.gets_per_s,
            stored_per_s: per_s(live + ended, sizes.stored_in),
            counted_per_s: per_s(live + ended, elapsed),
            rss_empty_bytes: sizes.rss_empty_bytes,
            rss_stored_bytes: sizes.rss_stored_bytes,
            data_bytes: sizes.data_bytes,
            rounds: throughputs,
            ratios: phases.ratios(),
            phases,
            is_clean,
        }
    }

    /// Whether everything was done and nothing went wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.is_clean
    }

    pub(super) fn rows(&self) -> Rows {
        let Phases {
            empty,
            empty_queried,
            stored,
            stored_queried,
        } = &self.phases;
        let mut rows = vec![
            (
                "stored",
                format!(
                    "{} instances, {} of them waiting, with {} payload bytes, {}",
                    self.instances,
                    self.live,
                    self.payload_bytes,
                    or_dash(self.stored_per_s, "a second")
                ),
            ),
            (
                "memory",
                format!(
                    "{} empty, {} full",
                    mebibytes(self.rss_empty_bytes),
                    mebibytes(self.rss_stored_bytes)
                ),
            ),
            ("data directory", mebibytes(Some(self.data_bytes))),
            (
                "counted",
                format!(
                    "all, each as it must be, {}",
                    or_dash(self.counted_per_s, "a second")
                ),
            ),
            ("empty", empty.text()),
            ("  with queries", empty_queried.text()),
            ("full", stored.text()),
            ("  with queries", stored_queried.text()),
            ("full to empty", self.ratios.stored.text()),
            ("  by round", {
                let rounds = self.rounds.iter().copied().map(or_missing);
                format!("throughput {}", rounds.collect::<Vec<_>>().join(", "))
            }),
            (
                "empty, queried to not",
                self.ratios.queries_when_empty.text(),
            ),
            (
                "full, queried to not",
                self.ratios.queries_when_stored.text(),
            ),
        ];
        rows.extend(call_rows(
            "page",
            stored_queried.pages.as_ref(),
            &self.ratios.pages,
        ));
        rows.extend(call_rows(
            "GetInstance",
            stored_queried.gets.as_ref(),
            &self.ratios.gets,
        ));
        let failures = self.phases.all().into_iter().flat_map(Phase::failures);
        rows.extend(failures.map(|failure| ("FAILED", failure)));
        rows
    }
}

/// A line for each kind of call on the full node.
fn call_rows(
    label: &'static str,
    calls: Option<&Calls>,
    changes: &BTreeMap<&'static str, CallChange>,
) -> Rows {
    let latencies = calls.into_iter().flat_map(|calls| &calls.latency_ms);
    latencies
        .map(|(kind, latency)| {
            let change = changes.get(kind);
            let (p50, p99) = (
                or_missing(change.and_then(|change| change.p50)),
                or_missing(change.and_then(|change| change.p99)),
            );
            let text = format!(
                "{kind}: p50 {:.2}  p99 {:.2}  max {:.2} ms ({}); p50 {p50}, p99 {p99} to empty",
                latency.p50, latency.p99, latency.max, latency.count
            );
            (label, text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(p50: f64, p99: f64) -> Latency {
        Latency {
            p50,
            p90: p99,
            p99,
            p999: p99,
            max: p99,
            mean: p50,
            count: 9,
        }
    }

    fn calls(kinds: &[(&'static str, f64)], failures: &[(&str, u64)]) -> Calls {
        Calls {
            latency_ms: kinds
                .iter()
                .map(|(kind, p50)| (*kind, latency(*p50, p50 * 4.0)))
                .collect(),
            failures: failures
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
        }
    }

    fn phase(per_s: f64, cpu_us: f64, pages: Option<Calls>) -> Phase {
        let figures = Figures {
            elapsed: Duration::from_secs(1),
            completed: per_s as u64,
            latency: latency(2.0, 8.0),
            errors: Errors {
                count: 0,
                unfinished: 0,
                by_kind: BTreeMap::new(),
            },
            done: None,
            server_cpu_s: Some(cpu_us * per_s / 1e6),
            server_rss_bytes: None,
            client_cpu_s: None,
        };
        let unit = empty_call::Report {
            cpu_us: 20.0,
            calls_per_s: 30_000.0,
            in_flight: 256,
        };
        Phase::of(&figures, Some(unit), pages, None)
    }

    #[test]
    fn phases_are_compared_with_the_ones_before() {
        let phases = Phases {
            empty: phase(1_000.0, 400.0, None),
            empty_queried: phase(
                900.0,
                400.0,
                Some(calls(&[("all", 1.0), ("running", 1.0)], &[])),
            ),
            stored: phase(500.0, 600.0, None),
            stored_queried: phase(
                250.0,
                600.0,
                Some(calls(&[("all", 3.0), ("prefix", 1.0)], &[])),
            ),
        };
        let ratios = phases.ratios();
        assert_eq!(
            (
                ratios.stored.throughput,
                ratios.stored.server_cpu,
                ratios.stored.units
            ),
            (Some(0.5), Some(1.5), Some(1.5))
        );
        assert_eq!(ratios.queries_when_empty.throughput, Some(0.9));
        assert_eq!(ratios.queries_when_stored.throughput, Some(0.5));
        let three = CallChange {
            p50: Some(3.0),
            p99: Some(3.0),
        };
        assert_eq!(ratios.pages, BTreeMap::from([("all", three)]));
        assert!(ratios.gets.is_empty());
    }

    #[test]
    fn the_round_in_the_middle_is_told_about() {
        let round = |full| Phases {
            empty: phase(1_000.0, 400.0, None),
            empty_queried: phase(1_000.0, 400.0, None),
            stored: phase(full, 400.0, None),
            stored_queried: phase(full, 400.0, None),
        };
        for (rounds, expected) in [
            (vec![700.0], 0.7),
            (vec![900.0, 500.0, 1_200.0], 0.9),
            (vec![1_200.0, 500.0, 700.0], 0.7),
        ] {
            let middle = middle(rounds.into_iter().map(round).collect());
            assert_eq!(middle.throughput(), Some(expected));
        }
    }

    #[test]
    fn a_failed_or_missing_query_is_not_clean() {
        for (pages, clean) in [
            (None, true),
            (Some(calls(&[("all", 1.0)], &[])), true),
            (Some(calls(&[("all", 1.0)], &[("lost", 1)])), false),
            (Some(calls(&[], &[])), false),
        ] {
            let phase = phase(10.0, 1.0, pages);
            assert_eq!(phase.is_clean, clean, "{:?}", phase.pages);
        }
        let failed = phase(10.0, 1.0, Some(calls(&[("all", 1.0)], &[("lost", 2)])));
        assert_eq!(failed.failures().collect::<Vec<_>>(), ["2 x lost"]);
    }
}
