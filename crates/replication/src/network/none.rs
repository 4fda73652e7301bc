//! No network: a node that is its whole cluster.

use std::{future, time::Duration};

use longhaul_wal::GroupId;
use openraft::raft::{
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::{
    Attached, Attachment, Peer, Peers, Responses,
    peer::{Answer, Requests, StateSnapshot},
    unreachable,
};
use crate::types::{NodeId, TypeConfig, Vote};

/// Reaches nobody.
pub(crate) struct NoPeers;

impl Peers for NoPeers {
    fn attach(&self, _group: GroupId, _node: NodeId, _replica: Attached) -> Attachment {
        Box::new(())
    }

    fn connect(&self, _group: GroupId, _from: NodeId, to: NodeId) -> Box<dyn Peer> {
        Box::new(NoPeer(to))
    }
}

struct NoPeer(NodeId);

impl NoPeer {
    fn refuse<T: Send + 'static>(&self) -> Answer<'static, T> {
        Box::pin(future::ready(Err(unreachable(format!(
            "this node has no way to node {}",
            self.0
        )))))
    }
}

impl Peer for NoPeer {
    fn append(&mut self, _requests: Requests, _patience: Duration) -> Answer<'_, Responses<'_>> {
        let refused = self.refuse::<()>();
        Box::pin(async {
            refused
                .await
                .map(|()| -> Responses<'_> { Box::pin(futures::stream::empty()) })
        })
    }

    fn vote(
        &mut self,
        _request: VoteRequest<TypeConfig>,
        _patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        self.refuse()
    }

    fn pre_vote(
        &mut self,
        _request: VoteRequest<TypeConfig>,
        _patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        self.refuse()
    }

    fn snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: StateSnapshot,
        _patience: Duration,
    ) -> Answer<'_, SnapshotResponse<TypeConfig>> {
        self.refuse()
    }

    fn transfer_leader(
        &mut self,
        _request: TransferLeaderRequest<TypeConfig>,
        _patience: Duration,
    ) -> Answer<'_, TransferLeaderResponse<TypeConfig>> {
        self.refuse()
    }
}
