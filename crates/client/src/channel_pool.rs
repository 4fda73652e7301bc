//! A fixed set of HTTP/2 connections to one server, used in turn.
//!
//! One connection carries many calls at once, but only as many as its peer allows (often 200), and one thread drives it.
//! A lost connection is replaced by the next call on it.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use longhaul_proto::sidecar::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::transport::Channel;

use crate::{call_error::ConnectError, endpoint::Endpoint};

/// The generated client over one connection.
pub(crate) type Stub = TaskHubSidecarServiceClient<Channel>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Histories and payloads may be far larger than gRPC's default of 4 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Clone)]
pub(crate) struct ChannelPool {
    stubs: Arc<[Stub]>,
    next: Arc<AtomicUsize>,
}

impl ChannelPool {
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        connections: NonZeroUsize,
    ) -> Result<Self, ConnectError> {
        let mut stubs = Vec::with_capacity(connections.get());
        for _ in 0..connections.get() {
            let channel = open(endpoint.url()).await?;
            stubs.push(
                Stub::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX),
            );
        }
        Ok(Self {
            stubs: stubs.into(),
            next: Arc::default(),
        })
    }

    /// The next connection in turn.
    pub(crate) fn stub(&self) -> Stub {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.stubs[turn % self.stubs.len()].clone()
    }
}

async fn open(url: &str) -> Result<Channel, ConnectError> {
    let failed = |fault| ConnectError::unreachable(url, &fault);
    tonic::transport::Endpoint::from_shared(url.to_owned())
        .map_err(failed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect()
        .await
        .map_err(failed)
}
