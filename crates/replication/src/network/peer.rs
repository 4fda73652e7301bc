//! What one replica can say to another.

use futures::{
    Stream, StreamExt, future,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use openraft::{
    OptionalSend,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{
        Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    },
    raft::{
        AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};

use crate::{
    machine::SnapshotContent,
    types::{TypeConfig, Vote},
};

pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, RPCError<TypeConfig>>>;
pub(crate) type Requests = BoxStream<'static, AppendEntriesRequest<TypeConfig>>;
pub(crate) type Responses<'a> =
    BoxStream<'a, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;
pub(crate) type StateSnapshot = SnapshotOf<TypeConfig, SnapshotContent>;

/// A connection to one replica.
pub(crate) trait Peer: Send + Sync + 'static {
    /// Appends entries, many requests on the way at once; answers in the order of the requests.
    fn append(&mut self, requests: Requests) -> Answer<'_, Responses<'_>>;
    fn vote(&mut self, request: VoteRequest<TypeConfig>) -> Answer<'_, VoteResponse<TypeConfig>>;
    /// Whether the peer would vote; binds nobody.
    fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
    ) -> Answer<'_, VoteResponse<TypeConfig>>;
    fn snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
    ) -> Answer<'_, SnapshotResponse<TypeConfig>>;
    fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<'_, TransferLeaderResponse<TypeConfig>>;
}

/// An error after which the library waits before it tries again.
pub(crate) fn unreachable(reason: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

/// A [`Peer`] as the library wants it.
pub(crate) struct PeerClient(pub(crate) Box<dyn Peer>);

impl NetBackoff<TypeConfig> for PeerClient {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetStreamAppend<TypeConfig> for PeerClient {
    fn stream_append<'s, S>(
        &'s mut self,
        mut requests: S,
        _option: RPCOption,
    ) -> Answer<'s, Responses<'s>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // After an error the library waits before it makes the next request, and nowhere else: a
            // connection that failed without asking for one would be tried again at once, for ever.
            match requests.next().await {
                Some(first) => {
                    self.0
                        .append(Box::pin(stream::once(future::ready(first)).chain(requests)))
                        .await
                }
                None => Ok(Box::pin(stream::empty()) as Responses<'s>),
            }
        })
    }
}

impl NetVote<TypeConfig> for PeerClient {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.0.vote(request).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.0.pre_vote(request).await
    }
}

impl NetSnapshot<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotContent;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            sent = self.0.snapshot(vote, snapshot) => Ok(sent?),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }
}

impl NetTransferLeader<TypeConfig> for PeerClient {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.0.transfer_leader(request).await
    }
}
