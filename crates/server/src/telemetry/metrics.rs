//! Metrics, collected in the process and rendered as a page in Prometheus' text format.
//!
//! Names follow OpenMetrics: `longhaul_` first, base units, `_total` on counters; a test holds the page to it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;

/// How often recorded samples are folded into histograms, so that they do not pile up between two readers.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);

/// From a fast commit on a local disk to a slow client.
const SECONDS_BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];
const BYTES_BUCKETS: [f64; 9] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
const COUNT_BUCKETS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0,
];

/// The page of everything this process records.
#[derive(Clone)]
pub struct MetricsPage(PrometheusHandle);

/// Something else in the process records its metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metrics of this process are taken by another recorder")]
pub struct RecorderTaken;

impl MetricsPage {
    /// The page of this process; the first call begins to record. All nodes in a process share it.
    ///
    /// # Errors
    /// Another recorder was installed before.
    pub fn of_process() -> Result<Self, RecorderTaken> {
        static PAGE: OnceLock<Option<MetricsPage>> = OnceLock::new();
        let page = PAGE.get_or_init(|| {
            let recorder = recorder_with_buckets();
            let page = MetricsPage(recorder.handle());
            metrics::set_global_recorder(recorder).ok()?;
            metrics::describe_gauge!("longhaul_build_info", "This binary; always 1.");
            metrics::gauge!("longhaul_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Some(page)
        });
        page.clone().ok_or(RecorderTaken)
    }

    /// The text of the page as of now.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = self.0.render();
        process::render(&mut page);
        page
    }

    /// Folds samples into histograms, for ever.
    pub async fn keep_folding(self) {
        let mut interval = tokio::time::interval(FOLD_INTERVAL);
        loop {
            interval.tick().await;
            self.0.run_upkeep();
        }
    }
}

impl std::fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsPage")
    }
}

fn recorder_with_buckets() -> metrics_exporter_prometheus::PrometheusRecorder {
    let suffix = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    PrometheusBuilder::new()
        .set_buckets(&COUNT_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(suffix("_seconds"), &SECONDS_BUCKETS))
        .and_then(|builder| builder.set_buckets_for_metric(suffix("_bytes"), &BYTES_BUCKETS))
        .expect("no list of buckets is empty")
        .build_recorder()
}
