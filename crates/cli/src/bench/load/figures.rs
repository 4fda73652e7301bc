//! The figures of a run, whatever it is reported as.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use longhaul_client::{Worker, worker::Totals};
use serde::Serialize;

use super::runners::Readings;
use crate::bench::{
    output::{ratio, rounded},
    process::Process,
};

/// What server, client and worker have used and done up to one moment.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Usage {
    server_cpu: Option<Duration>,
    server_rss_bytes: Option<u64>,
    client_cpu: Option<Duration>,
    worker: Option<Totals>,
}

impl Usage {
    pub(in crate::bench) fn read(server: Option<Process>, worker: Option<&Worker>) -> Self {
        Self {
            server_cpu: server.and_then(Process::cpu),
            server_rss_bytes: server.and_then(Process::rss_bytes),
            client_cpu: Process::own().cpu(),
            worker: worker.map(Worker::totals),
        }
    }
}

/// Sums and rates over the measured window.
#[derive(Debug)]
pub(in crate::bench) struct Figures {
    pub(in crate::bench) elapsed: Duration,
    pub(in crate::bench) completed: u64,
    pub(in crate::bench) latency: Latency,
    pub(in crate::bench) errors: Errors,
    /// Of the worker of this process.
    pub(in crate::bench) done: Option<Done>,
    /// CPU seconds.
    pub(in crate::bench) server_cpu_s: Option<f64>,
    pub(in crate::bench) server_rss_bytes: Option<u64>,
    /// CPU seconds.
    pub(in crate::bench) client_cpu_s: Option<f64>,
}

/// What the worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) struct Done {
    /// Work items answered.
    pub(in crate::bench) actions: u64,
    /// Of them, batches of entity operations.
    pub(in crate::bench) batches: u64,
    /// Entity operations in them.
    pub(in crate::bench) operations: u64,
}

/// Latencies in ms.
#[derive(Debug, Clone, Serialize)]
pub(in crate::bench) struct Latency {
    pub(in crate::bench) p50: f64,
    pub(in crate::bench) p90: f64,
    pub(in crate::bench) p99: f64,
    pub(in crate::bench) p999: f64,
    pub(in crate::bench) max: f64,
    pub(in crate::bench) mean: f64,
    pub(in crate::bench) count: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(in crate::bench) struct Errors {
    pub(in crate::bench) count: u64,
    pub(in crate::bench) unfinished: u64,
    pub(in crate::bench) by_kind: BTreeMap<String, u64>,
}

impl Figures {
    pub(in crate::bench) fn of(readings: &Readings<Usage>) -> Self {
        let Readings {
            tally,
            before,
            after,
            elapsed,
        } = readings;
        Self {
            elapsed: *elapsed,
            completed: tally.completed,
            latency: Latency::of(&tally.latency_us),
            errors: Errors {
                count: tally.failures.values().sum(),
                unfinished: tally.unfinished,
                by_kind: tally.failures.clone(),
            },
            done: after
                .worker
                .zip(before.worker)
                .map(|(after, before)| Done::between(before, after)),
            server_cpu_s: spent(before.server_cpu, after.server_cpu),
            server_rss_bytes: after.server_rss_bytes,
            client_cpu_s: spent(before.client_cpu, after.client_cpu),
        }
    }

    pub(in crate::bench) fn per_s(&self) -> Option<f64> {
        ratio(self.completed as f64, self.elapsed.as_secs_f64())
    }

    /// `cpu_s` shared among the completed ones, µs.
    pub(in crate::bench) fn us_each(&self, cpu_s: Option<f64>) -> Option<f64> {
        cpu_s.and_then(|cpu_s| ratio(cpu_s * 1e6, self.completed as f64))
    }

    /// Whether something was done and nothing went wrong.
    pub(in crate::bench) fn is_clean(&self) -> bool {
        self.completed > 0 && self.errors.count == 0 && self.errors.unfinished == 0
    }
}

impl Done {
    fn between(before: Totals, after: Totals) -> Self {
        Self {
            actions: after.work_items() - before.work_items(),
            batches: after.batches - before.batches,
            operations: after.operations - before.operations,
        }
    }
}

impl Latency {
    pub(in crate::bench) fn of(us: &Histogram<u64>) -> Self {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::bench::load::{Failure, Window, tally::Recorder};

    fn usage(cpu_ms: u64, totals: Totals) -> Usage {
        Usage {
            server_cpu: Some(Duration::from_millis(cpu_ms)),
            server_rss_bytes: Some(7),
            client_cpu: None,
            worker: Some(totals),
        }
    }

    #[test]
    fn differences_between_the_readings_count() {
        let recorder = Recorder::new(Window::until_done());
        for _ in 0..4 {
            recorder.begun();
            recorder.succeeded(Instant::now(), Instant::now());
        }
        let readings = Readings {
            tally: recorder.finish(0),
            before: usage(
                1_000,
                Totals {
                    turns: 5,
                    batches: 1,
                    operations: 100,
                    ..Totals::default()
                },
            ),
            after: usage(
                1_500,
                Totals {
                    turns: 8,
                    activities: 4,
                    batches: 3,
                    operations: 180,
                    ..Totals::default()
                },
            ),
            elapsed: Duration::from_secs(2),
        };
        let figures = Figures::of(&readings);
        let done = Done {
            actions: 9,
            batches: 2,
            operations: 80,
        };
        assert_eq!((figures.per_s(), figures.done), (Some(2.0), Some(done)));
        assert_eq!(figures.us_each(figures.server_cpu_s), Some(125_000.0));
        assert_eq!(figures.us_each(figures.client_cpu_s), None);
        assert!(figures.is_clean());
    }

    #[test]
    fn nothing_done_is_not_clean_and_neither_is_a_failure() {
        let figures = |recorder: Recorder| {
            let none = usage(0, Totals::default());
            Figures::of(&Readings {
                tally: recorder.finish(0),
                before: none,
                after: none,
                elapsed: Duration::from_secs(1),
            })
        };
        assert!(!figures(Recorder::new(Window::until_done())).is_clean());
        let recorder = Recorder::new(Window::until_done());
        recorder.begun();
        recorder.succeeded(Instant::now(), Instant::now());
        recorder.begun();
        recorder.failed(Failure {
            kind: "lost".to_owned(),
        });
        let figures = figures(recorder);
        assert_eq!((figures.completed, figures.errors.count), (1, 1));
        assert!(!figures.is_clean());
    }
}
