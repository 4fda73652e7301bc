//! Nodes that share a process: calls instead of messages, and links that can be cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, future,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use longhaul_wal::GroupId;
use openraft::{
    errors::RPCError,
    raft::{
        SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use parking_lot::Mutex;

use super::{
    Attached, Attachment, Network, Peer, Peers, Responses,
    peer::{Answer, Requests, StateSnapshot},
    unreachable,
};
use crate::{
    machine::SnapshotContent,
    types::{NodeId, TypeConfig, Vote},
};

/// A network between nodes of one process; clones are the same network.
#[derive(Clone, Default)]
pub struct InProcess(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    replicas: BTreeMap<(GroupId, NodeId), (u64, Attached)>,
    cut_off: BTreeSet<NodeId>,
    /// Tells a replica from the one that took its place.
    tickets: u64,
}

impl InProcess {
    /// A network without nodes; they join with their first replica.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The way into this network, for any of its nodes.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::new(self.clone())
    }

    /// Cuts a node off from all others: neither requests nor answers pass any more.
    pub fn cut_off(&self, node: NodeId) {
        self.0.lock().cut_off.insert(node);
    }

    /// Undoes [`InProcess::cut_off`].
    pub fn reconnect(&self, node: NodeId) {
        self.0.lock().cut_off.remove(&node);
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl Peers for InProcess {
    fn attach(&self, group: GroupId, node: NodeId, replica: Attached) -> Attachment {
        let mut state = self.0.lock();
        let ticket = state.tickets;
        state.tickets += 1;
        state.replicas.insert((group, node), (ticket, replica));
        Box::new(Plug {
            network: self.clone(),
            replica: (group, node),
            ticket,
        })
    }

    fn connect(&self, group: GroupId, from: NodeId, to: NodeId) -> Box<dyn Peer> {
        Box::new(Link {
            network: self.clone(),
            group,
            from,
            to,
        })
    }
}

struct Plug {
    network: InProcess,
    replica: (GroupId, NodeId),
    ticket: u64,
}

impl Drop for Plug {
    fn drop(&mut self) {
        let mut state = self.network.0.lock();
        if state
            .replicas
            .get(&self.replica)
            .is_some_and(|(ticket, _)| *ticket == self.ticket)
        {
            state.replicas.remove(&self.replica);
        }
    }
}

#[derive(Clone)]
struct Link {
    network: InProcess,
    group: GroupId,
    from: NodeId,
    to: NodeId,
}

impl Link {
    /// The replica at the other end, if something sent now would arrive.
    fn peer(&self) -> Result<Attached, RPCError<TypeConfig>> {
        let state = self.network.0.lock();
        if [self.from, self.to]
            .iter()
            .any(|node| state.cut_off.contains(node))
        {
            return Err(unreachable(format!(
                "nodes {} and {} are cut off from each other",
                self.from, self.to
            )));
        }
        let peer = state.replicas.get(&(self.group, self.to));
        peer.map(|(_, replica)| replica.clone()).ok_or_else(|| {
            unreachable(format!(
                "node {} does not run group {}",
                self.to, self.group
            ))
        })
    }

    /// One request and its answer, each of which the network may lose.
    async fn call<T, E: fmt::Display>(
        &self,
        request: impl AsyncFnOnce(Attached) -> Result<T, E>,
    ) -> Result<T, RPCError<TypeConfig>> {
        let answer = request(self.peer()?).await.map_err(unreachable)?;
        self.peer().map(|_| answer)
    }
}

impl Peer for Link {
    fn append(&mut self, requests: Requests, _patience: Duration) -> Answer<'_, Responses<'_>> {
        Box::pin(async move {
            let link = self.clone();
            let requests = requests.take_while(move |_| future::ready(link.peer().is_ok()));
            let responses = self.peer()?.raft.stream_append(requests);
            let link = self.clone();
            let responses = responses.map(move |response| {
                link.peer()?;
                response.map_err(unreachable)
            });
            let responses: Responses<'_> = Box::pin(responses);
            Ok(responses)
        })
    }

    fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        Box::pin(self.call(async |peer| peer.guard.vote(&peer.raft, request).await))
    }

    fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        Box::pin(self.call(async |peer| peer.guard.pre_vote(&peer.raft, request).await))
    }

    fn snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
        _patience: Duration,
    ) -> Answer<'_, SnapshotResponse<TypeConfig>> {
        Box::pin(async move {
            let StateSnapshot { meta, snapshot } = snapshot;
            let staging = self.peer()?.staging;
            let state = snapshot.stage(&*staging).map_err(unreachable)?;
            let snapshot = StateSnapshot {
                meta,
                snapshot: SnapshotContent::Staged(state),
            };
            self.call(async move |peer| peer.raft.install_full_snapshot(vote, snapshot).await)
                .await
        })
    }

    fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _patience: Duration,
    ) -> Answer<'_, TransferLeaderResponse<TypeConfig>> {
        let to = self.to;
        Box::pin(self.call(async move |peer| {
            let Attached { raft, guard, .. } = peer;
            guard.transfer_leader(to, &raft, request).await
        }))
    }
}
