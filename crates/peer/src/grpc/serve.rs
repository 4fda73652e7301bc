//! Connections that other nodes make.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use longhaul_proto::peer::v1::peer_server::{self, PeerServer};
use rustls::pki_types::CertificateDer;
use tokio::{task::JoinSet, time};
use tonic::{Status, body::Body, service::Routes};
use tower::Service;

use super::{GrpcConfig, Guard, Shared, Socket, dial::MESSAGE_OVERHEAD, service::PeerService};
use crate::{
    link::FRAME_BYTES_MAX,
    meters,
    sockets::{Io, Listen},
};

/// After a failed accept, such as too many open files, others get a chance to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection carries one stream; a few more may be ending.
const STREAMS_MAX: u32 = 8;
/// Streams a peer may reset faster than we notice. Source: CVE-2023-44487.
const PENDING_RESETS_MAX: usize = 20;
/// Streams we may reset for a peer's errors. Source: RUSTSEC-2024-0003.
const ERROR_RESETS_MAX: usize = 64;
/// Bytes of headers of one call, of which there are few.
const HEADERS_BYTES_MAX: u32 = 8 << 10;
/// Larger than HTTP/2's least, since frames reach a megabyte.
const HTTP_FRAME_BYTES_MAX: u32 = 64 << 10;

/// What is known of a connection when a stream begins on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    /// Checked against the authority, if there is TLS at all.
    pub(super) certificate: Option<CertificateDer<'static>>,
}

/// What is behind the port.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) config: GrpcConfig,
    pub(super) guard: Guard,
    /// Absent while the node does not know who it is.
    pub(super) links: Option<Arc<Shared>>,
    /// Calls that are not about links.
    pub(super) also: Option<Routes>,
}

impl Doors {
    async fn answer(
        self,
        caller: Caller,
        mut request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, Infallible> {
        let about_links = path_is_of(peer_server::SERVICE_NAME, request.uri().path());
        // Services are always ready, as tonic's are.
        match (self.links, self.also) {
            (Some(links), also) if about_links || also.is_none() => {
                let limit = FRAME_BYTES_MAX + MESSAGE_OVERHEAD;
                let mut server = PeerServer::new(PeerService::new(links))
                    .max_decoding_message_size(limit)
                    .max_encoding_message_size(limit);
                request.extensions_mut().insert(caller);
                server.call(request).await
            }
            (_, Some(mut also)) if !about_links => {
                if self.guard.knows(&caller) {
                    also.call(request).await
                } else {
                    let status = Status::permission_denied("the certificate is not that of a node");
                    Ok(status.into_http())
                }
            }
            _ => {
                let status = Status::unavailable("this node does not know yet which node it is");
                Ok(status.into_http())
            }
        }
    }
}

fn path_is_of(service: &str, path: &str) -> bool {
    let called = path
        .strip_prefix('/')
        .and_then(|rest| rest.split('/').next());
    called == Some(service)
}

/// Serves connections for ever. Dropped, it drops them.
pub(super) async fn serve(doors: Doors, listen: &mut dyn Listen) {
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= doors.config.connections_max;
        tokio::select! {
            Some(_) = connections.join_next() => {}
            socket = listen.accept(), if !full => match socket {
                Ok(socket) => {
                    connections.spawn(connection(doors.clone(), socket));
                }
                Err(error) => {
                    tracing::warn!(%error, "a node's connection was not accepted");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Serves one connection to its end.
async fn connection(doors: Doors, socket: Socket) {
    let peer = socket.peer;
    if let Err(refusal) = doors.guard.admit(peer) {
        meters::refused(&refusal);
        tracing::warn!(%peer, %refusal, "a node's connection was refused");
        return;
    }
    let protected = time::timeout(
        doors.config.handshake_timeout,
        protect(&doors.guard, socket.io),
    );
    let (io, caller) = match protected.await {
        Ok(Ok(protected)) => protected,
        Ok(Err(error)) => {
            tracing::warn!(%peer, %error, "a node's connection is not secure");
            return;
        }
        Err(_) => return tracing::debug!(%peer, "a connection said nothing in time"),
    };
    let served = builder(&doors.config).serve_connection(
        TokioIo::new(io),
        service_fn(move |request| doors.clone().answer(caller.clone(), request)),
    );
    if let Err(error) = served.await {
        tracing::debug!(%peer, %error, "a node's connection ended early");
    }
}

async fn protect(guard: &Guard, io: Box<dyn Io>) -> io::Result<(Box<dyn Io>, Caller)> {
    match guard {
        Guard::PlainText { .. } => Ok((io, Caller::default())),
        Guard::Tls(tls) => {
            let (io, certificate) = tls.accept(io).await?;
            let certificate = Some(certificate);
            Ok((io, Caller { certificate }))
        }
    }
}

fn builder(config: &GrpcConfig) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        .initial_stream_window_size(config.window_bytes)
        .initial_connection_window_size(config.window_bytes)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_frame_size(HTTP_FRAME_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    builder
}
