//! Spans of our own, sent to an OpenTelemetry collector: of calls, and of work items on their way to workers.
//!
//! ```text
//!   spans and events of `tracing` ─► layer ─► queue (bounded) ─► export, in batches ─► collector
//! ```
//!
//! Each is linked to the trace context that its caller or SDK gave, and is the child of nobody: what SDKs make of their
//! contexts stays as if the server were not there. Without a collector none of this exists.

mod export;
mod layer;
mod link;
#[cfg(test)]
mod tests;

use longhaul_frontend::spans;
use tokio::sync::mpsc;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

pub use export::{Exporter, Traces};
use layer::{Queue, SpanLayer};

use crate::config::Telemetry;

/// Spans waiting for the collector; more are dropped. About a kilobyte each.
const QUEUE_SPANS: usize = 4_096;

/// What makes spans, and what sends them; `None` unless there is a collector to send them to.
///
/// Registers metrics, so the process's recorder comes first.
#[must_use]
pub fn pipeline<S>(config: &Telemetry) -> Option<(impl Layer<S> + Send + Sync + use<S>, Exporter)>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let endpoint = config.otlp_endpoint.url()?.to_owned();
    let (sender, spans) = mpsc::channel(QUEUE_SPANS);
    let layer = SpanLayer::new(Queue::new(sender), config.trace_percent);
    let targets = Targets::new()
        .with_target(spans::CALL, LevelFilter::TRACE)
        .with_target(spans::CALLER, LevelFilter::TRACE)
        .with_target(spans::DELIVERED, LevelFilter::TRACE);
    Some((layer.with_filter(targets), Exporter::new(endpoint, spans)))
}
