//! The port as clients see it, with a service that echoes and one call that never ends.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::server::NamedService;

use super::*;
use crate::config::Config;
use crate::http::probes;
use crate::listen::{ListenAddress, Listeners, Purpose};
use crate::readiness::Readiness;

/// Answers `/Echo/…`; `/Echo/Wait` only once it is released.
#[derive(Clone)]
struct Echo {
    released: watch::Receiver<bool>,
    waiting: watch::Sender<u32>,
}

impl NamedService for Echo {
    const NAME: &'static str = "Echo";
}

impl tower::Service<Request<Incoming>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let Self {
            mut released,
            waiting,
        } = self.clone();
        async move {
            if request.uri().path().ends_with("/Wait") {
                waiting.send_modify(|waiting| *waiting += 1);
                released
                    .wait_for(|released| *released)
                    .await
                    .expect("the test holds the sender");
            }
            Ok(Response::new(Body::new(request.into_body())))
        }
        .boxed()
    }
}

/// A server on a free port.
struct Fixture {
    server: GrpcServer,
    address: ListenAddress,
    release: watch::Sender<bool>,
    waiting: watch::Receiver<u32>,
}

async fn start() -> Fixture {
    let purpose = Purpose {
        key: "listen.grpc",
        hint: "--port",
    };
    let address: ListenAddress = "127.0.0.1:0".parse().expect("valid");
    let listeners = Listeners::bind(&address, purpose).await.expect("free");
    let (release, released) = watch::channel(false);
    let (waiting_sender, waiting) = watch::channel(0);
    let (reporter, health) = tonic_health::server::health_reporter();
    let readiness = Readiness::new(reporter).await;
    let routes = side_routes(health, probes(readiness)).expect("descriptors fit");
    let echo = Echo {
        released,
        waiting: waiting_sender,
    };
    let server = GrpcServer::start(
        listeners.sockets,
        Services::new(echo, routes),
        &Config::server().grpc,
    );
    Fixture {
        server,
        address: listeners.address,
        release,
        waiting,
    }
}

impl Fixture {
    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.address.port)).await
    }

    async fn http2(&self) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
        let stream = self.connect().await.expect("listening");
        let io = TokioIo::new(stream);
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        requests
    }

    fn request(&self, method: Method, path: &str) -> Request<Empty<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Empty::new())
            .expect("a valid request")
    }
}

#[tokio::test]
async fn probes_answer_over_http2_prior_knowledge_and_http1() {
    let fixture = start().await;
    let mut http2 = fixture.http2().await;
    for (path, status) in [
        ("/healthz", StatusCode::OK),
        ("/readyz", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let response = http2
            .send_request(fixture.request(Method::GET, path))
            .await
            .expect("an answer");
        assert_eq!(
            (response.version(), response.status()),
            (Version::HTTP_2, status),
            "{path}"
        );
    }

    let io = TokioIo::new(fixture.connect().await.expect("listening"));
    let (mut http1, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .expect("HTTP/1");
    tokio::spawn(connection);
    let response = http1
        .send_request(fixture.request(Method::GET, "/healthz"))
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    drop((http1, http2));
    fixture.server.stop(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn unknown_services_are_unimplemented() {
    let fixture = start().await;
    let mut http2 = fixture.http2().await;
    let response = http2
        .send_request(fixture.request(Method::POST, "/Nobody/Call"))
        .await
        .expect("an answer");
    assert_eq!(
        response.headers().get("grpc-status").expect("a status"),
        "12"
    );
}

#[tokio::test]
async fn stop_lets_calls_finish_and_takes_no_new_connections() {
    let mut fixture = start().await;
    let mut http2 = fixture.http2().await;
    let call = http2.send_request(fixture.request(Method::POST, "/Echo/Wait"));
    let call = tokio::spawn(call);
    fixture
        .waiting
        .wait_for(|waiting| *waiting == 1)
        .await
        .expect("the server lives");

    let address = fixture.address.port;
    let stopping = tokio::spawn(fixture.server.stop(Duration::from_secs(60)));
    while TcpStream::connect(("127.0.0.1", address)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished(), "a call is still open");
    fixture.release.send_replace(true);
    let response = call.await.expect("no panic").expect("an answer");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes(),
        Bytes::new()
    );
    stopping.await.expect("no panic");
}

#[tokio::test]
async fn stop_cuts_calls_that_do_not_end() {
    let mut fixture = start().await;
    let mut http2 = fixture.http2().await;
    let call = http2.send_request(fixture.request(Method::POST, "/Echo/Wait"));
    let call = tokio::spawn(call);
    fixture
        .waiting
        .wait_for(|waiting| *waiting == 1)
        .await
        .expect("the server lives");
    fixture.server.stop(Duration::ZERO).await;
    call.await.expect("no panic").expect_err("cut");
}
