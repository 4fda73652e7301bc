//! From spans and events of `tracing` to spans of OpenTelemetry.
//!
//! | target | becomes |
//! |---|---|
//! | [`spans::CALL`] | a span from its beginning to its end |
//! | [`spans::CALLER`] | a link of the call it happens in |
//! | [`spans::DELIVERED`] | a span from when the work item was queued until now |

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longhaul_frontend::spans;
use metrics::{Counter, counter, describe_counter};
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanLinks};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub(super) const DROPPED: &str = "longhaul_trace_spans_dropped_total";

/// Codes of gRPC that are the server's fault. Source: OpenTelemetry's conventions for gRPC servers.
const FAULTS: [i64; 6] = [2, 4, 12, 13, 14, 15];

/// Makes spans and queues them.
pub(super) struct SpanLayer {
    queue: Queue,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    /// Trace ids whose lower half is below it are sampled; `None` for all.
    sampled_below: Option<u64>,
}

/// Where spans wait for the collector.
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Counter,
}

impl Queue {
    pub(super) fn new(spans: mpsc::Sender<SpanData>) -> Self {
        describe_counter!(
            DROPPED,
            "Spans that were dropped, because too many were waiting or the collector did not take them."
        );
        Self {
            spans,
            dropped: counter!(DROPPED, "reason" => "queue"),
        }
    }

    /// Never waits.
    fn push(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }
}

/// A span that is not over.
struct Open {
    began: SystemTime,
    told: Told,
    links: Vec<SpanContext>,
}

/// What a span or event says.
#[derive(Default)]
struct Told {
    attributes: Vec<KeyValue>,
    /// A context it is to be linked to.
    traceparent: Option<String>,
    /// When it was queued.
    queued: Option<SystemTime>,
    /// The code of a call's answer.
    code: Option<i64>,
}

impl SpanLayer {
    /// A layer that makes spans of `percent` of all that has no trace context of its own.
    pub(super) fn new(queue: Queue, percent: u32) -> Self {
        Self {
            queue,
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder("longhaul")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            sampled_below: (percent < 100).then(|| u64::MAX / 100 * u64::from(percent)),
        }
    }

    /// Queues a span, if it is sampled: as what it is linked to is, or else by chance.
    fn finish(
        &self,
        name: Cow<'static, str>,
        kind: SpanKind,
        (start_time, end_time): (SystemTime, SystemTime),
        status: Status,
        (attributes, contexts): (Vec<KeyValue>, Vec<SpanContext>),
    ) {
        let trace_id = self.ids.new_trace_id();
        let sampled = match contexts.as_slice() {
            [] => self.sampled_by_chance(trace_id),
            contexts => contexts.iter().any(SpanContext::is_sampled),
        };
        if !sampled {
            return;
        }
        let mut links = SpanLinks::default();
        links.links = contexts.into_iter().map(Link::with_context).collect();
        self.queue.push(SpanData {
            span_context: SpanContext::new(
                trace_id,
                self.ids.new_span_id(),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name,
            start_time,
            end_time: end_time.max(start_time),
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links,
            status,
            instrumentation_scope: self.scope.clone(),
        });
    }

    fn sampled_by_chance(&self, trace: TraceId) -> bool {
        let bytes = trace.to_bytes();
        let (_, lower) = bytes
            .split_last_chunk::<8>()
            .expect("a trace id has 16 bytes");
        self.sampled_below
            .is_none_or(|below| u64::from_be_bytes(*lower) < below)
    }

    fn delivered(&self, told: Told) {
        let now = SystemTime::now();
        let contexts = told.context().into_iter().collect();
        self.finish(
            "longhaul.dispatch".into(),
            SpanKind::Internal,
            (told.queued.unwrap_or(now), now),
            Status::Unset,
            (told.attributes, contexts),
        );
    }

    fn called(&self, call: Open) {
        let Open {
            began,
            told,
            mut links,
        } = call;
        links.extend(told.context());
        let attribute = |key: &str| {
            let found = told.attributes.iter().find(|it| it.key.as_str() == key);
            found.map(|it| it.value.as_str().into_owned())
        };
        let service = attribute("rpc.service").unwrap_or_default();
        let method = attribute("rpc.method").unwrap_or_default();
        let status = match told.code {
            Some(code) if FAULTS.contains(&code) => Status::error(""),
            _ => Status::Unset,
        };
        self.finish(
            format!("{service}/{method}").into(),
            SpanKind::Server,
            (began, SystemTime::now()),
            status,
            (told.attributes, links),
        );
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut told = Told::default();
        attributes.record(&mut told);
        span.extensions_mut().insert(Open {
            began: SystemTime::now(),
            told,
            links: Vec::new(),
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.told);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        if event.metadata().target() == spans::DELIVERED {
            return self.delivered(told);
        }
        if let Some(span) = ctx.event_span(event)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.links.extend(told.context());
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let open = ctx.span(&id);
        if let Some(open) = open.and_then(|span| span.extensions_mut().remove::<Open>()) {
            self.called(open);
        }
    }
}

impl Told {
    fn context(&self) -> Option<SpanContext> {
        super::link::parse(self.traceparent.as_deref()?)
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "traceparent" => self.traceparent = Some(value.to_owned()),
            name => self.attributes.push(KeyValue::new(name, value.to_owned())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match field.name() {
            "queued_nanos" => {
                let since = Duration::from_nanos(u64::try_from(value).unwrap_or_default());
                self.queued = Some(UNIX_EPOCH + since);
            }
            name => {
                if name == "rpc.grpc.status_code" {
                    self.code = Some(value);
                }
                self.attributes.push(KeyValue::new(name, value));
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.attributes
            .push(KeyValue::new(field.name(), format!("{value:?}")));
    }
}
