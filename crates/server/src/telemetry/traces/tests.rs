//! What becomes of calls, links and work items on their way to the queue.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::SpanData;
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use super::*;
use crate::grpc::Traced;

const SDK: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// The spans that are queued while `run` runs.
fn spans_of(percent: u32, run: impl FnOnce()) -> Vec<SpanData> {
    let (sender, mut spans) = mpsc::channel(64);
    let subscriber = registry().with(SpanLayer::new(Queue::new(sender), percent));
    tracing::subscriber::with_default(subscriber, run);
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

fn links(span: &SpanData) -> Vec<String> {
    let contexts = span.links.iter().map(|link| &link.span_context);
    contexts
        .map(|it| {
            format!(
                "00-{}-{}-{:02x}",
                it.trace_id(),
                it.span_id(),
                it.trace_flags()
            )
        })
        .collect()
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key);
    found.map(|it| it.value.to_string())
}

/// A service that answers as its path says; during the call, the message tells `SDK`.
#[derive(Clone)]
struct Answers;

impl Service<Request<()>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let answer = match request.uri().path() {
            "/Hub/Missing" => Status::not_found("nothing").into_http(),
            "/Hub/Broken" => Status::internal("broken").into_http(),
            "/Hub/Never" => return std::future::pending().boxed(),
            _ => Response::new(Body::default()),
        };
        async move {
            // Not in the first poll, as when a body is read.
            futures::pending!();
            tracing::trace!(target: spans::CALLER, traceparent = SDK);
            Ok(answer)
        }
        .boxed()
    }
}

fn call(path: &str, header: Option<&str>) {
    let mut request = Request::builder().uri(path).header("taskhub", "Orders");
    if let Some(context) = header {
        request = request.header("traceparent", context);
    }
    let mut answer = Traced(Answers).call(request.body(()).expect("a valid request"));
    // As often as any answer but the one that never comes takes.
    for _ in 0..2 {
        if (&mut answer).now_or_never().is_some() {
            return;
        }
    }
}

#[test]
fn call_is_a_span_with_its_code_linked_to_its_callers_contexts() {
    let spans = spans_of(100, || call("/Hub/Start", Some(OTHER)));
    let [span] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(span.name, "Hub/Start");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.status, SpanStatus::Unset);
    assert_eq!(span.parent_span_id.to_string(), "0".repeat(16));
    assert!(span.start_time <= span.end_time);
    let mut linked = links(span);
    linked.sort();
    assert_eq!(linked, [SDK, OTHER]);
    for (key, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "Hub"),
        ("rpc.method", "Start"),
        ("rpc.grpc.status_code", "0"),
        ("longhaul.task_hub", "Orders"),
    ] {
        assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attribute(span, "traceparent"), None);
}

#[test]
fn faults_are_errors_and_refusals_are_not() {
    for (path, code, status) in [
        ("/Hub/Missing", "5", SpanStatus::Unset),
        ("/Hub/Broken", "13", SpanStatus::error("")),
    ] {
        let spans = spans_of(100, || call(path, None));
        let code_told = attribute(&spans[0], "rpc.grpc.status_code");
        assert_eq!(code_told.as_deref(), Some(code), "{path}");
        assert_eq!(spans[0].status, status, "{path}");
    }
}

#[test]
fn call_that_its_caller_gave_up_is_a_span_without_a_code() {
    let spans = spans_of(100, || call("/Hub/Never", None));
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "Hub/Never");
    assert_eq!(attribute(&spans[0], "rpc.grpc.status_code"), None);
}

/// A work item is on its way, in the context `traceparent`.
fn deliver(traceparent: Option<&str>) {
    tracing::trace!(
        target: spans::DELIVERED,
        traceparent,
        queued_nanos = 1_500_000_000_i64,
        "durabletask.type" = "activity",
        durabletask.task.task_id = 7,
    );
}

#[test]
fn delivery_is_a_span_since_the_work_was_queued() {
    let spans = spans_of(100, || deliver(Some(SDK)));
    let [span] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(span.name, "longhaul.dispatch");
    assert_eq!(span.span_kind, SpanKind::Internal);
    let queued = span.start_time.duration_since(std::time::UNIX_EPOCH);
    assert_eq!(queued.expect("after 1970").as_millis(), 1_500);
    assert!(span.end_time > span.start_time);
    assert_eq!(links(span), [SDK]);
    assert_ne!(
        links(span)[0][3..35],
        span.span_context.trace_id().to_string()
    );
    assert_eq!(
        attribute(span, "durabletask.type").as_deref(),
        Some("activity")
    );
    let task = attribute(span, "durabletask.task.task_id");
    assert_eq!(task.as_deref(), Some("7"));
}

#[test]
fn spans_are_sampled_as_what_they_are_linked_to_or_else_by_chance() {
    for (percent, context, expected) in [
        (0, Some(SDK), true),
        (0, None, false),
        (0, Some("malformed"), false),
        (100, Some(UNSAMPLED), false),
        (100, None, true),
    ] {
        let spans = spans_of(percent, || deliver(context));
        assert_eq!(!spans.is_empty(), expected, "{percent} {context:?}");
    }
    let half = spans_of(50, || (0..64).for_each(|_| deliver(None)));
    // Outside of it once in ten million million million runs.
    assert!((1..64).contains(&half.len()), "{}", half.len());
}

#[test]
fn spans_that_find_no_room_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let spans = metrics::with_local_recorder(&recorder, || {
        spans_of(100, || (0..100).for_each(|_| deliver(None)))
    });
    assert_eq!(spans.len(), 64);
    let page = recorder.handle().render();
    let dropped = "longhaul_trace_spans_dropped_total{reason=\"queue\"} 36";
    assert!(page.contains(dropped), "{page}");
}

#[test]
fn without_a_collector_there_is_no_pipeline() {
    let telemetry = crate::config::Config::server().telemetry;
    assert!(pipeline::<tracing_subscriber::Registry>(&telemetry).is_none());
}
