//! From the queue to the collector, in batches; what it does not take is dropped and counted.

use std::time::Duration;

use anyhow::Context;
use metrics::{Counter, counter, describe_counter};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::layer::DROPPED;

const EXPORTED: &str = "longhaul_trace_spans_exported_total";

/// Spans in one request.
const BATCH_SPANS: usize = 512;
/// How long a span waits for others.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long a collector may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Sends spans once it is started.
pub struct Exporter {
    endpoint: String,
    spans: mpsc::Receiver<SpanData>,
    exported: Counter,
    dropped: Counter,
}

/// Sends spans.
pub struct Traces {
    stopping: CancellationToken,
    job: AbortOnDropHandle<()>,
}

impl Exporter {
    pub(super) fn new(endpoint: String, spans: mpsc::Receiver<SpanData>) -> Self {
        describe_counter!(EXPORTED, "Spans that the collector has taken.");
        Self {
            endpoint,
            spans,
            exported: counter!(EXPORTED),
            dropped: counter!(DROPPED, "reason" => "export"),
        }
    }

    /// Begins to send, in the runtime it is called in. A collector that is not there yet is waited for.
    ///
    /// # Errors
    /// The environment asks for what is not possible: see `OTEL_EXPORTER_OTLP_…` in OpenTelemetry's documentation.
    pub fn start(self) -> anyhow::Result<Traces> {
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&self.endpoint)
            .with_timeout(ANSWER_PATIENCE)
            .build()
            .with_context(|| format!("traces cannot be sent to {}", self.endpoint))?;
        exporter.set_resource(&resource());
        let stopping = CancellationToken::new();
        let batches = Batches {
            spans: self.spans,
            stopping: stopping.clone(),
        };
        let sending = Sending {
            exporter,
            exported: self.exported,
            dropped: self.dropped,
            reachable: true,
        };
        Ok(Traces {
            stopping,
            job: AbortOnDropHandle::new(tokio::spawn(sending.run(batches))),
        })
    }
}

impl Traces {
    /// Sends what is queued, for at most `patience`.
    pub async fn stop(self, patience: Duration) {
        self.stopping.cancel();
        match tokio::time::timeout(patience, self.job).await {
            Ok(ended) => ended.expect("sending does not panic"),
            Err(_) => tracing::warn!("stopped before all traces were sent"),
        }
    }
}

/// Who sends the spans. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come first.
fn resource() -> Resource {
    const SERVICE_NAME: opentelemetry::Key = opentelemetry::Key::from_static_str("service.name");
    let ours = Resource::builder().with_attribute(opentelemetry::KeyValue::new(
        "service.version",
        env!("CARGO_PKG_VERSION"),
    ));
    let named = Resource::builder()
        .build()
        .get(&SERVICE_NAME)
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    match named {
        true => ours.build(),
        false => ours.with_service_name("longhaul").build(),
    }
}

struct Sending {
    exporter: SpanExporter,
    exported: Counter,
    dropped: Counter,
    /// Whether the last request was taken.
    reachable: bool,
}

impl Sending {
    async fn run(mut self, mut batches: Batches) {
        while let Some(batch) = batches.next().await {
            let count = batch.len() as u64;
            match self.exporter.export(batch).await {
                Ok(()) => {
                    self.exported.increment(count);
                    self.reachable = true;
                }
                Err(error) => {
                    self.dropped.increment(count);
                    // Once, not with every batch.
                    if std::mem::take(&mut self.reachable) {
                        tracing::warn!(%error, "the collector takes no traces; they are dropped until it does");
                    }
                }
            }
        }
    }
}

struct Batches {
    spans: mpsc::Receiver<SpanData>,
    stopping: CancellationToken,
}

impl Batches {
    /// `None` once stopping, when nothing is queued any more.
    async fn next(&mut self) -> Option<Vec<SpanData>> {
        let mut batch = vec![self.receive().await?];
        let sent_at = Instant::now() + BATCH_INTERVAL;
        while batch.len() < BATCH_SPANS {
            tokio::select! {
                biased;
                span = self.receive() => match span {
                    Some(span) => batch.push(span),
                    None => break,
                },
                () = sleep_until(sent_at) => break,
            }
        }
        Some(batch)
    }

    async fn receive(&mut self) -> Option<SpanData> {
        if !self.spans.is_closed() {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => self.spans.close(),
                span = self.spans.recv() => return span,
            }
        }
        self.spans.recv().await
    }
}
