//! Streams that other nodes open.

use std::sync::Arc;

use futures::{StreamExt, stream::BoxStream};
use longhaul_proto::peer::v1::{self as proto, peer_server::Peer};
use tokio::{sync::mpsc, time};
use tonic::{Request, Response, Status, Streaming};

use super::{Guard, Shared, frames, serve::Caller};
use crate::{
    handshake::{Refusal, hello, introduced},
    identity::Identity,
    link::{Class, FRAMES_WAITING, Link, LinkSender},
    meters,
};

/// Answers the calls of one connection.
pub(super) struct PeerService(Arc<Shared>);

type Frames = BoxStream<'static, Result<proto::Frame, Status>>;

impl PeerService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    async fn open(
        &self,
        class: Class,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let mut messages = request.into_inner();
        let first = time::timeout(self.0.config.handshake_timeout, messages.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello in time"))??;
        let them = self
            .admit(first, &caller.unwrap_or_default())
            .map_err(|refusal| {
                tracing::warn!(%class, %refusal, "a node was refused");
                meters::refused(&refusal);
                Status::failed_precondition(refusal.to_string())
            })?;

        let acceptor = self.0.acceptors.lock().get(&class).cloned();
        let acceptor = acceptor.ok_or_else(|| unaccepted(class))?;
        let place = acceptor.reserve_owned().await;
        let place = place.map_err(|_| unaccepted(class))?;

        let current = self.0.known.lock().meet(&them, &self.0.closing);
        let current =
            current.map_err(|refusal| Status::failed_precondition(refusal.to_string()))?;
        let (sender, waiting) = mpsc::channel(FRAMES_WAITING);
        let meters = self.0.meters(class);
        let hello = hello(&self.0.identity, them.node);
        let outgoing = frames::outgoing(hello, waiting, current.clone(), meters.sent.clone());
        let receiver = frames::incoming(messages, current, meters, ());
        place.send(Link {
            peer: them.node,
            sender: LinkSender::new(sender),
            receiver,
        });
        Ok(Response::new(outgoing.map(Ok).boxed()))
    }

    /// Who opens a stream, if it may.
    fn admit(&self, first: Option<proto::Frame>, caller: &Caller) -> Result<Identity, Refusal> {
        let them = introduced(first, &self.0.identity)?;
        if let Guard::Tls(tls) = &self.0.guard {
            let certificate = caller.certificate.as_ref();
            if !certificate.is_some_and(|certificate| tls.is_of(certificate, them.node)) {
                return Err(Refusal::Certificate(them.node));
            }
        }
        self.0.known.lock().meet(&them, &self.0.closing)?;
        Ok(them)
    }
}

/// Perhaps later: whoever accepts may only be starting.
fn unaccepted(class: Class) -> Status {
    Status::unavailable(format!("nobody accepts links for {class}"))
}

#[tonic::async_trait]
impl Peer for PeerService {
    type RaftStream = Frames;
    type BulkStream = Frames;
    type ControlStream = Frames;
    type ForwardStream = Frames;
    type AdminStream = Frames;

    async fn raft(
        &self,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.open(Class::Raft, request).await
    }

    async fn bulk(
        &self,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.open(Class::Bulk, request).await
    }

    async fn control(
        &self,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.open(Class::Control, request).await
    }

    async fn forward(
        &self,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.open(Class::Forward, request).await
    }

    async fn admin(
        &self,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.open(Class::Admin, request).await
    }
}
