//! Calls that last, ended from outside: a parked call is answered with a status, a stream ends with one.
//!
//! A connection that is cut tells its client nothing; a status says whether to come again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// Comes when a call has to end, with the status it ends with.
pub type Ending = BoxFuture<'static, Status>;

/// Which calls are ended from outside.
pub trait Endings: Send + Sync + 'static {
    /// The ending of a call; `None` if it ends by itself. Asked on every call.
    fn of(&self, path: &str, headers: &HeaderMap) -> Option<Ending>;
}

/// A service whose lasting calls end when they have to.
#[derive(Clone)]
pub struct Lasting<S> {
    service: S,
    endings: Arc<dyn Endings>,
}

impl<S> Lasting<S> {
    /// Ends the calls of `service` that `endings` knows.
    pub fn new(service: S, endings: impl Endings) -> Self {
        Self {
            service,
            endings: Arc::new(endings),
        }
    }
}

impl<S: NamedService> NamedService for Lasting<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for Lasting<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = LastingAnswer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let ending = self.endings.of(request.uri().path(), request.headers());
        LastingAnswer {
            answer: self.service.call(request),
            ending,
        }
    }
}

/// The answer to come, unless the call has to end before.
pub struct LastingAnswer<F> {
    answer: F,
    /// `None` if it ends by itself.
    ending: Option<Ending>,
}

impl<F> Future for LastingAnswer<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { answer, ending } = self.get_mut();
        let Some(comes) = ending else {
            return Pin::new(answer).poll(cx);
        };
        if let Poll::Ready(status) = comes.as_mut().poll(cx) {
            return Poll::Ready(Ok(status.into_http()));
        }
        Pin::new(answer).poll(cx).map_ok(|response| {
            let ending = ending.take().expect("an answer comes once");
            response.map(|body| {
                Body::new(LastingBody {
                    body: Some(body),
                    ending,
                })
            })
        })
    }
}

/// The body of an answer, which breaks off when the call has to end.
struct LastingBody {
    /// `None` once it has ended.
    body: Option<Body>,
    ending: Ending,
}

impl HttpBody for LastingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { body, ending } = self.get_mut();
        let Some(open) = body else {
            return Poll::Ready(None);
        };
        // First, or a stream that always has something to send would never end.
        if let Poll::Ready(status) = ending.as_mut().poll(cx) {
            // What the stream holds is given back now, not when the transport forgets it.
            *body = None;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            ));
        }
        Pin::new(open).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // It may break off anywhere; only what has no content at all is sure of its size.
        match self.is_end_stream() {
            true => SizeHint::with_exact(0),
            false => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use futures::channel::mpsc;
    use futures::{FutureExt, Stream, StreamExt};
    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio_util::sync::CancellationToken;
    use tonic::Code;

    use super::*;

    /// Answers `/Parked` never, and everything else with the body it was given.
    struct Answers(Option<Body>);

    impl Service<Request<()>> for Answers {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            let body = self.0.take().unwrap_or_default();
            match request.uri().path() {
                "/Parked" => std::future::pending().boxed(),
                _ => std::future::ready(Ok(Response::new(body))).boxed(),
            }
        }
    }

    /// Ends every call but `/Brief` when it is cancelled.
    struct When(CancellationToken);

    impl Endings for When {
        fn of(&self, path: &str, headers: &HeaderMap) -> Option<Ending> {
            let ended = self.0.clone();
            let hub = headers.get("taskhub")?.to_str().ok()?.to_owned();
            (path != "/Brief").then(|| {
                async move {
                    ended.cancelled().await;
                    Status::not_found(hub)
                }
                .boxed()
            })
        }
    }

    fn call(
        body: Option<Body>,
        when: &CancellationToken,
        path: &str,
    ) -> LastingAnswer<BoxFuture<'static, Result<Response<Body>, Infallible>>> {
        let request = Request::builder().uri(path).header("taskhub", "orders");
        Lasting::new(Answers(body), When(when.clone()))
            .call(request.body(()).expect("a valid request"))
    }

    fn streamed(items: impl Stream<Item = &'static str> + Send + 'static) -> Body {
        let frames = items.map(|item| Ok::<_, Status>(Frame::data(Bytes::from(item))));
        Body::new(StreamBody::new(frames))
    }

    /// The status that ends a body; the frames before it are left out.
    async fn ending_of(body: Body) -> Option<Status> {
        let trailers = body.collect().await.expect("whole").trailers().cloned();
        Status::from_header_map(&trailers?)
    }

    #[tokio::test]
    async fn parked_call_is_answered_when_it_has_to_end() {
        let when = CancellationToken::new();
        let mut parked = call(None, &when, "/Parked");
        poll_fn(|cx| {
            assert!(Pin::new(&mut parked).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        when.cancel();
        let Ok(response) = parked.await;
        let status = Status::from_header_map(response.headers()).expect("refused");
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "orders")
        );
    }

    #[tokio::test]
    async fn stream_ends_with_the_status_and_lets_go_of_what_it_held() {
        let when = CancellationToken::new();
        let (mut items, taken) = mpsc::channel(1);
        let Ok(response) = call(Some(streamed(taken)), &when, "/Stream").await;
        let mut body = response.into_body();
        items.try_send("item").expect("room");
        let frame = body.frame().await.expect("open").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "item");
        assert!(body.frame().now_or_never().is_none());

        when.cancel();
        let frame = body.frame().await.expect("an end").expect("no error");
        let trailers = frame.into_trailers().expect("the end");
        let status = Status::from_header_map(&trailers).expect("a status");
        assert_eq!(status.code(), Code::NotFound);
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
        assert!(items.is_closed());
    }

    #[tokio::test]
    async fn stream_that_is_never_silent_ends_too() {
        let when = CancellationToken::new();
        let endless = streamed(futures::stream::repeat("item"));
        let Ok(response) = call(Some(endless), &when, "/Stream").await;
        when.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), ending_of(response.into_body()));
        let status = ended.await.expect("it ends").expect("with a status");
        assert_eq!(status.code(), Code::NotFound);
    }

    #[tokio::test]
    async fn other_calls_and_empty_answers_are_left_as_they_are() {
        let when = CancellationToken::new();
        when.cancel();
        let full = Body::new(Full::new(Bytes::from("all")));
        let Ok(response) = call(Some(full), &when, "/Brief").await;
        let content = response.into_body().collect().await.expect("whole");
        assert_eq!(content.to_bytes(), "all");

        let open = CancellationToken::new();
        let Ok(response) = call(None, &open, "/Refused").await;
        assert!(response.body().is_end_stream());
    }
}
