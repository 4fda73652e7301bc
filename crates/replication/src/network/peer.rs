//! What one replica can say to another.

use std::time::Duration;

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

use super::Matched;
use crate::{
    machine::SnapshotContent,
    types::{NodeId, TypeConfig, Vote},
};

pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, RPCError<TypeConfig>>>;
pub(crate) type Requests = BoxStream<'static, AppendEntriesRequest<TypeConfig>>;
pub(crate) type Responses<'a> =
    BoxStream<'a, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;
pub(crate) type StateSnapshot = SnapshotOf<TypeConfig, SnapshotContent>;

/// A connection to one replica. Every call has a time after which its answer is of no use; one that
/// has none by then fails as unreachable.
pub(crate) trait Peer: Send + Sync + 'static {
    /// Appends entries, many requests on the way at once; answers in the order of the requests.
    /// The patience is with heartbeats; whatever carries entries may take as long as writing them.
    fn append(&mut self, requests: Requests, patience: Duration) -> Answer<'_, Responses<'_>>;
    fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>>;
    /// Whether the peer would vote; binds nobody.
    fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>>;
    /// The patience is with each chunk, and with the installation after the last.
    fn snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
        patience: Duration,
    ) -> Answer<'_, SnapshotResponse<TypeConfig>>;
    fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        patience: Duration,
    ) -> Answer<'_, TransferLeaderResponse<TypeConfig>>;
}

/// An error after which the library waits before it tries again.
pub(crate) fn unreachable(reason: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

/// A [`Peer`] as the library wants it.
pub(crate) struct PeerClient {
    pub(crate) target: NodeId,
    pub(crate) peer: Box<dyn Peer>,
    pub(crate) matched: Matched,
}

impl NetBackoff<TypeConfig> for PeerClient {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetStreamAppend<TypeConfig> for PeerClient {
    fn stream_append<'s, S>(
        &'s mut self,
        mut requests: S,
        option: RPCOption,
    ) -> Answer<'s, Responses<'s>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // After an error the library waits before it makes the next request, and nowhere else: a
            // connection that failed without asking for one would be tried again at once, for ever.
            match requests.next().await {
                Some(first) => {
                    let term = first.vote.leader_id().term;
                    let requests = stream::once(future::ready(first)).chain(requests);
                    let patience = option.soft_ttl();
                    let answers = self.peer.append(Box::pin(requests), patience).await?;
                    let (matched, target) = (self.matched.clone(), self.target);
                    let checked = answers.map(move |answer| matched.check(target, term, answer?));
                    Ok(Box::pin(checked) as Responses<'s>)
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
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.peer.vote(request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.peer.pre_vote(request, option.soft_ttl()).await
    }
}

impl NetSnapshot<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotContent;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let last = snapshot.meta.last_log_id;
        tokio::select! {
            sent = self.peer.snapshot(vote, snapshot, option.hard_ttl()) => {
                let sent = sent?;
                if sent.vote == vote {
                    let term = vote.leader_id().term;
                    self.matched.note_installed(self.target, term, last);
                }
                Ok(sent)
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }
}

impl NetTransferLeader<TypeConfig> for PeerClient {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.peer.transfer_leader(request, option.soft_ttl()).await
    }
}
