//! Opening links.

use std::{io, sync::Arc};

use hyper_util::rt::TokioIo;
use longhaul_proto::peer::v1::{self as proto, peer_client::PeerClient};
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{GrpcConfig, Guard, Shared, Socket, frames};
use crate::{
    backoff::Backoff,
    handshake::{Refusal, hello, introduced},
    link::{Class, FRAME_BYTES_MAX, FRAMES_WAITING, Link, LinkSender, OpenError},
    meters,
    sockets::Io,
};

/// Bytes of a message that are not its frame.
pub(super) const MESSAGE_OVERHEAD: usize = 1 << 10;

/// The attempts to reach one node for one class.
pub(super) struct Slot(Mutex<Attempts>);

struct Attempts {
    backoff: Backoff,
    /// When the next attempt may begin.
    next: Option<Instant>,
}

/// Why an attempt failed.
enum Failure {
    Unreachable(String),
    Absent(String),
    Refused(Refusal),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Absent(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<tonic::transport::Error> for Failure {
    fn from(error: tonic::transport::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::FailedPrecondition => Self::Refused(Refusal::Theirs(status.message().to_owned())),
            _ => Self::Unreachable(status.message().to_owned()),
        }
    }
}

/// Opens a link, after the wait that earlier failures have earned.
pub(super) async fn open(shared: Arc<Shared>, to: NodeId, class: Class) -> Result<Link, OpenError> {
    let slot = shared.slot(to, class);
    let mut address = shared.addresses.of(to);
    if slot.wait(&mut address).await {
        shared.meters(class).reconnects.increment(1);
    }
    let attempt = time::timeout(
        shared.config.handshake_timeout,
        attempt(&shared, &slot, &mut address, to, class),
    );
    let attempt = tokio::select! {
        attempt = attempt => attempt,
        () = shared.closing.cancelled() => Ok(Err(Failure::Unreachable("this node stops".to_owned()))),
    };
    let failure = match attempt {
        Ok(Ok(link)) => {
            slot.opened();
            return Ok(link);
        }
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Unreachable("no answer in time".to_owned()),
    };
    Err(slot.failed(to, class, failure))
}

async fn attempt(
    shared: &Shared,
    slot: &Arc<Slot>,
    address: &mut watch::Receiver<Option<String>>,
    to: NodeId,
    class: Class,
) -> Result<Link, Failure> {
    let address = address.borrow_and_update().clone();
    let address =
        address.ok_or_else(|| Failure::Unreachable("its address is unknown".to_owned()))?;
    let socket = shared.dial.dial(address).await?;
    let channel = channel(&shared.config, protect(shared, socket, to).await?).await?;

    let (sender, waiting) = mpsc::channel(FRAMES_WAITING);
    // Known only after the other's hello; ends this side of the stream.
    let ended = shared.closing.child_token();
    let meters = shared.meters(class);
    let hello = hello(&shared.identity, to);
    let outgoing = frames::outgoing(hello, waiting, ended.clone(), meters.sent.clone());
    let mut messages = call(channel, class, outgoing).await?;

    let them = introduced(messages.message().await?, &shared.identity)?;
    if them.node != to {
        return Err(Failure::Refused(Refusal::Node {
            theirs: them.node,
            expected: to,
        }));
    }
    let current = shared.known.lock().meet(&them, &shared.closing)?;
    let fate = OwnLink {
        slot: slot.clone(),
        opened: Instant::now(),
    };
    let receiver = frames::incoming(messages, current, meters, fate);
    Ok(Link {
        peer: to,
        sender: LinkSender::new(sender),
        receiver,
    })
}

async fn protect(shared: &Shared, socket: Socket, to: NodeId) -> Result<Box<dyn Io>, Failure> {
    shared.guard.admit(socket.peer)?;
    match &shared.guard {
        Guard::PlainText { .. } => Ok(socket.io),
        Guard::Tls(tls) => Ok(tls.connect(socket.io, to).await?),
    }
}

/// HTTP/2 over a connection; over this one only.
pub(super) async fn channel(
    config: &GrpcConfig,
    io: Box<dyn Io>,
) -> Result<Channel, tonic::transport::Error> {
    let mut once = Some(io);
    let connector = tower::service_fn(move |_: http::Uri| {
        let io = once.take();
        async move {
            let io = io.ok_or_else(|| io::Error::other("a link does not connect twice"));
            io.map(TokioIo::new)
        }
    });
    // What is called the same everywhere needs no name.
    Endpoint::from_static("http://peer")
        .http2_keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(config.window_bytes)
        .initial_connection_window_size(config.window_bytes)
        .connect_with_connector(connector)
        .await
}

async fn call(
    channel: Channel,
    class: Class,
    outgoing: impl futures::Stream<Item = proto::Frame> + Send + 'static,
) -> Result<Streaming<proto::Frame>, Status> {
    let limit = FRAME_BYTES_MAX + MESSAGE_OVERHEAD;
    let mut client = PeerClient::new(channel)
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let answered = match class {
        Class::Raft => client.raft(outgoing).await,
        Class::Bulk => client.bulk(outgoing).await,
        Class::Control => client.control(outgoing).await,
        Class::Forward => client.forward(outgoing).await,
        Class::Admin => client.admin(outgoing).await,
    };
    answered.map(tonic::Response::into_inner)
}

impl Shared {
    fn slot(&self, to: NodeId, class: Class) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        let slot = slots.entry((to, class)).or_insert_with(|| {
            let seed = self.config.seed ^ to.0.rotate_left(32) ^ class as u64;
            Arc::new(Slot(Mutex::new(Attempts {
                backoff: Backoff::new(self.config.backoff, seed),
                next: None,
            })))
        });
        slot.clone()
    }
}

impl Slot {
    /// Waits until the next attempt may begin, or the address has changed. Whether an earlier one
    /// has failed.
    async fn wait(&self, address: &mut watch::Receiver<Option<String>>) -> bool {
        let next = self.0.lock().next;
        let Some(next) = next else { return false };
        let moved = async {
            let before = address.borrow_and_update().clone();
            // Nobody left to change it.
            if address.wait_for(|now| *now != before).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = time::sleep_until(next) => {}
            () = moved => {}
        }
        true
    }

    fn opened(&self) {
        self.0.lock().next = None;
    }

    fn failed(&self, to: NodeId, class: Class, failure: Failure) -> OpenError {
        let mut attempts = self.0.lock();
        let (wait, error) = match failure {
            Failure::Unreachable(reason) => {
                tracing::debug!(node = %to, %class, reason, "a node cannot be reached");
                let wait = attempts.backoff.failed();
                (wait, OpenError::Unreachable { to, reason })
            }
            Failure::Absent(reason) => {
                tracing::debug!(node = %to, %class, reason, "a node does not run");
                let wait = attempts.backoff.failed();
                (wait, OpenError::Absent { to, reason })
            }
            Failure::Refused(refusal) => {
                tracing::warn!(node = %to, %class, %refusal, "no link with a node");
                meters::refused(&refusal);
                let wait = attempts.backoff.refused();
                (wait, OpenError::Refused { to, refusal })
            }
        };
        attempts.next = Some(Instant::now() + wait);
        error
    }
}

/// A link that this node has opened.
struct OwnLink {
    slot: Arc<Slot>,
    opened: Instant,
}

impl frames::Fate for OwnLink {
    fn worked(&self) {
        self.slot.0.lock().backoff.succeeded();
    }

    /// Counts as another failed attempt, unless the link has lasted.
    fn broke(&self) {
        let mut attempts = self.slot.0.lock();
        if self.opened.elapsed() >= attempts.backoff.lasting() {
            attempts.backoff.succeeded();
        }
        let wait = attempts.backoff.failed();
        attempts.next = Some(Instant::now() + wait);
    }
}
