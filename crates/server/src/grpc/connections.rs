//! Accepting connections, serving them within limits, and ending them in two steps.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use crate::config::Grpc;

/// After a failed accept, such as too many open files, others get a chance to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Streams a client may reset faster than we notice, before its connection is closed. Source: CVE-2023-44487.
const PENDING_RESETS_MAX: usize = 20;
/// Streams we may reset for a client's errors before its connection is closed. Source: RUSTSEC-2024-0003.
const ERROR_RESETS_MAX: usize = 256;
/// Larger frames than HTTP/2's least, since payloads reach a megabyte.
const FRAME_BYTES_MAX: u32 = 64 << 10;
/// Bytes of answers buffered for one slow reader.
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// How long an HTTP/1 client may take to send the headers of a request.
const HTTP1_HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be served: answers calls without failing, from any thread.
pub trait CallService:
    Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> CallService for S where
    S: Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// The listeners of the gRPC port and every connection made to them.
#[derive(Debug)]
pub struct GrpcServer {
    jobs: TaskTracker,
    /// No new connections; GOAWAY on the others, which end with their last call.
    closing: CancellationToken,
    /// Connections end in the middle of their calls.
    cut: CancellationToken,
}

struct Acceptor<S> {
    service: S,
    connections: auto::Builder<TokioExecutor>,
    free: Arc<Semaphore>,
    jobs: TaskTracker,
    closing: CancellationToken,
    cut: CancellationToken,
}

impl GrpcServer {
    /// Serves `service` on every socket from now on.
    pub fn start<S>(sockets: Vec<TcpListener>, service: S, limits: &Grpc) -> Self
    where
        S: CallService,
    {
        let server = Self {
            jobs: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let free = Arc::new(Semaphore::new(limits.connections_max as usize));
        for socket in sockets {
            let acceptor = Acceptor {
                service: service.clone(),
                connections: connections(limits),
                free: free.clone(),
                jobs: server.jobs.clone(),
                closing: server.closing.clone(),
                cut: server.cut.clone(),
            };
            server.jobs.spawn(acceptor.accept(socket));
        }
        server
    }

    /// Accepts nothing more, tells clients to go away, and returns when their last calls have ended
    /// or `patience` has; then it cuts the connections that are left.
    pub async fn stop(self, patience: Duration) {
        self.closing.cancel();
        self.jobs.close();
        if tokio::time::timeout(patience, self.jobs.wait())
            .await
            .is_err()
        {
            tracing::debug!(connections = self.jobs.len(), "cutting connections");
            self.cut.cancel();
            self.jobs.wait().await;
        }
    }
}

fn connections(limits: &Grpc) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .initial_stream_window_size(limits.stream_window.as_u32())
        .initial_connection_window_size(limits.connection_window.as_u32())
        .max_concurrent_streams(limits.calls_per_connection_max)
        .max_header_list_size(limits.headers_max.as_u32())
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    // For probes with plain tools.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP1_HEADERS_TIMEOUT);
    builder
}

impl<S> Acceptor<S>
where
    S: CallService,
{
    async fn accept(self, socket: TcpListener) {
        let closing = self.closing.clone();
        let accepting = async {
            loop {
                let free = self.free.clone().acquire_owned().await;
                let free = free.expect("the semaphore is never closed");
                match socket.accept().await {
                    Ok((stream, _)) => {
                        let connection = self.serve(stream);
                        self.jobs.spawn(async move {
                            connection.await;
                            drop(free);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        closing.run_until_cancelled(accepting).await;
    }

    /// Serves one connection to its end.
    fn serve(&self, stream: TcpStream) -> impl Future<Output = ()> + Send + 'static {
        let (connections, service) = (self.connections.clone(), self.service.clone());
        let (closing, cut) = (self.closing.clone(), self.cut.clone());
        async move {
            // Answers are written whole; waiting for more only delays them.
            let immediate = stream.set_nodelay(true);
            let connection = connections.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let served = async {
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = closing.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            };
            let ended = match immediate {
                Ok(()) => cut.run_until_cancelled(served).await.unwrap_or(Ok(())),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended early");
            }
        }
    }
}
