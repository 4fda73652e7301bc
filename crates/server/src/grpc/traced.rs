//! A span around each call, for whoever listens to [`spans::CALL`]; without a listener, calls go straight through.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use longhaul_frontend::spans;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;
use tracing::{Level, Span, field};

/// A service whose calls have spans, each to the beginning of its answer.
#[derive(Debug, Clone)]
pub struct Traced<S>(pub S);

impl<S: NamedService> NamedService for Traced<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = TracedAnswer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let listening = tracing::span_enabled!(target: spans::CALL, Level::TRACE);
        let span = listening.then(|| span_of(request.uri().path(), request.headers()));
        TracedAnswer {
            answer: self.0.call(request),
            span,
        }
    }
}

/// The answer to come, and the span around it.
pub struct TracedAnswer<F> {
    answer: F,
    span: Option<Span>,
}

impl<F> Future for TracedAnswer<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { answer, span } = self.get_mut();
        let Some(open) = span else {
            return Pin::new(answer).poll(cx);
        };
        let polled = open.in_scope(|| Pin::new(answer).poll(cx));
        if let Poll::Ready(Ok(response)) = &polled {
            open.record("rpc.grpc.status_code", code_of(response.headers()));
            *span = None;
        }
        polled
    }
}

/// Names as OpenTelemetry has them for gRPC.
fn span_of(path: &str, headers: &HeaderMap) -> Span {
    let (service, method) = path
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .unwrap_or(("", path));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    tracing::trace_span!(
        target: spans::CALL,
        "call",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        longhaul.task_hub = header("taskhub"),
        traceparent = header("traceparent"),
    )
}

/// A refusal has its code among the headers; everything else went well so far.
fn code_of(headers: &HeaderMap) -> i64 {
    Status::from_header_map(headers).map_or(0, |status| i64::from(status.code() as i32))
}
