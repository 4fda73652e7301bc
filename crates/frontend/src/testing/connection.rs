//! HTTP/2 over a pipe in memory. Requests are made by hand, so that they can be wrong in any way.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::DuplexStream;
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::Server;
use crate::rpc::Rpc;

const PIPE_BYTES: usize = 1 << 20;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to a node.
#[derive(Clone)]
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

/// How a call was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) http: StatusCode,
    pub(crate) status: Option<Status>,
    /// The first message.
    pub(crate) message: Option<Bytes>,
}

impl Answered {
    /// The gRPC status, if there is one.
    pub(crate) fn code(&self) -> Option<Code> {
        self.status.as_ref().map(Status::code)
    }
}

impl Connection {
    pub(crate) async fn open(service: Server) -> Self {
        let pipe = serve(service);
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), pipe)
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        Self(requests)
    }

    /// One well-formed call with one message.
    pub(crate) async fn call(&self, rpc: Rpc, message: &[u8]) -> Answered {
        self.send(request(rpc, framed(message))).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answered {
        let mut requests = self.0.clone();
        let answer = async {
            requests.ready().await.expect("the connection is open");
            let response = requests.send_request(request).await;
            read(response.expect("answered")).await
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("answered in time")
    }
}

/// The client's end of a new pipe to `service`.
pub(super) fn serve(service: Server) -> TokioIo<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let served = server.serve_connection(TokioIo::new(theirs), TowerToHyperService::new(service));
    tokio::spawn(served);
    TokioIo::new(ours)
}

/// A call as clients make it.
pub(crate) fn request(rpc: Rpc, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!(
            "http://node/{}/{}",
            <Server as NamedService>::NAME,
            rpc.name()
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))
        .expect("a valid request")
}

/// A message in a frame.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    let len = u32::try_from(message.len()).expect("short");
    bytes.extend(len.to_be_bytes());
    bytes.extend(message);
    bytes
}

/// Up to the first message of a stream, or to the end of a call.
async fn read(response: Response<Incoming>) -> Answered {
    let (head, mut body) = response.into_parts();
    let mut answered = Answered {
        http: head.status,
        status: Status::from_header_map(&head.headers),
        message: None,
    };
    let mut bytes = Vec::new();
    while answered.status.is_none() && answered.message.is_none() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.expect("not cut off");
        match frame.into_data() {
            Ok(data) => {
                bytes.extend_from_slice(data.chunk());
                answered.message = whole(&bytes);
            }
            Err(frame) => answered.status = trailers(frame.trailers_ref()),
        }
    }
    if answered.message.is_some() && answered.status.is_none() {
        answered.status = Some(Status::ok(""));
    }
    answered
}

fn trailers(trailers: Option<&HeaderMap>) -> Option<Status> {
    Status::from_header_map(trailers?)
}

/// The message of a frame, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Bytes> {
    let (head, rest) = bytes.split_first_chunk::<5>()?;
    let [_, len @ ..] = head;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    rest.get(..len).map(Bytes::copy_from_slice)
}
