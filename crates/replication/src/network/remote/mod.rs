//! Replicas on other nodes, over that node's links.
//!
//! ```text
//!   RemotePeer ─ append.rs, calls          serve.rs: each request to its replica,
//!       │                                            answers as they come
//!   dialogue.rs: one for each node                        ▲
//!       │  outbox.rs: groups in turn                      │
//!       └────────── link of class raft ───────────────────┘
//!   snapshot.rs ─── link of class bulk, one for each snapshot ─── snapshot.rs
//! ```
//!
//! The node that asks opens the link, and all its groups share it; so between two nodes that lead
//! groups of each other there are two, one in each direction. Requests of one group reach its
//! replica in the order in which they were made. What waits is bounded for each group: whoever asks
//! more waits, and waits for its own group only.

mod append;
mod dialogue;
mod outbox;
mod rate;
mod serve;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    sync::{Arc, Weak},
    time::Duration,
};

use longhaul_peer::{Class, Incoming, Link, Links};
use longhaul_proto::raft::v1 as proto;
use longhaul_wal::GroupId;
use openraft::raft::{
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use self::{
    dialogue::{Dialogue, Lane},
    rate::Rate,
};
use super::{
    Attached, Attachment, Peer, Peers, Responses,
    peer::{Answer, Requests, StateSnapshot},
    unreachable,
};
use crate::{
    codec::wire::{self, answer, request},
    config::CheckpointThread,
    types::{NodeId, TypeConfig, Vote},
};

/// Times and sizes of a node's conversations with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// How long a replica may take to make entries durable before the leader sends them again.
    pub append_timeout: Duration,
    /// Entries of one message stop when they reach this many bytes.
    pub message_bytes: usize,
    /// Bytes of one group's requests that a node has not answered, beyond which the group waits.
    pub window_bytes: usize,
    /// Requests of one group that a node has not answered, beyond which the group waits.
    pub window_requests: usize,
    /// Bytes of requests of one node, being answered, beyond which no more are read from it.
    pub received_bytes_max: usize,
    /// Bytes of snapshots sent in a second, all receivers together; without a limit if absent.
    pub snapshot_bytes_per_second: Option<NonZeroU64>,
    /// Silence after which a snapshot that is arriving is given up.
    pub snapshot_patience: Duration,
    /// Snapshots that may be arriving at the same time; others have to come back.
    pub snapshots_max: usize,
    /// Where chunks of snapshots are read and written.
    pub snapshot_thread: CheckpointThread,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            append_timeout: Duration::from_secs(5),
            message_bytes: 1 << 20,
            window_bytes: 4 << 20,
            window_requests: 64,
            received_bytes_max: 64 << 20,
            snapshot_bytes_per_second: NonZeroU64::new(64 << 20),
            snapshot_patience: Duration::from_secs(30),
            snapshots_max: 2,
            snapshot_thread: CheckpointThread::Blocking,
        }
    }
}

/// The way of one node's replicas to those of other nodes, and theirs to here.
pub(super) struct Remote(Arc<Shared>);

/// What the parts share.
struct Shared {
    node: NodeId,
    links: Arc<dyn Links>,
    config: RemoteConfig,
    replicas: Arc<Replicas>,
    rate: Rate,
    dialogues: Mutex<BTreeMap<NodeId, Arc<Dialogue>>>,
    jobs: Mutex<JoinSet<()>>,
}

/// The replicas of this node that others may reach.
#[derive(Default)]
struct Replicas(Mutex<Plugs>);

#[derive(Default)]
struct Plugs {
    attached: BTreeMap<GroupId, (u64, Attached)>,
    /// Tells a replica from the one that took its place.
    tickets: u64,
}

impl Remote {
    pub(super) fn start(node: NodeId, links: Arc<dyn Links>, config: RemoteConfig) -> Self {
        let shared = Shared {
            node,
            rate: Rate::new(config.snapshot_bytes_per_second),
            links,
            config,
            replicas: Arc::default(),
            dialogues: Mutex::default(),
            jobs: Mutex::default(),
        };
        {
            let mut jobs = shared.jobs.lock();
            let requests = shared.links.accept(Class::Raft);
            jobs.spawn(answer_requests(
                shared.replicas.clone(),
                shared.config.clone(),
                node,
                requests,
            ));
            let snapshots = shared.links.accept(Class::Bulk);
            jobs.spawn(take_snapshots(
                shared.replicas.clone(),
                shared.config.clone(),
                node,
                snapshots,
            ));
        }
        Self(Arc::new(shared))
    }
}

/// Answers the requests of each node on its newest link.
async fn answer_requests(
    replicas: Arc<Replicas>,
    config: RemoteConfig,
    node: NodeId,
    mut links: Incoming,
) {
    let mut newest: BTreeMap<NodeId, AbortHandle> = BTreeMap::new();
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            link = links.recv() => match link {
                Some(link) => {
                    let peer = link.peer;
                    let served = serve::serve(replicas.clone(), config.clone(), node, link);
                    if let Some(older) = newest.insert(peer, serving.spawn(served)) {
                        older.abort();
                    }
                }
                // Somebody else accepts now.
                None => return,
            },
            Some(_) = serving.join_next() => {}
        }
    }
}

async fn take_snapshots(
    replicas: Arc<Replicas>,
    config: RemoteConfig,
    node: NodeId,
    mut links: Incoming,
) {
    let mut taking = JoinSet::new();
    loop {
        tokio::select! {
            link = links.recv() => match link {
                Some(link) => {
                    let busy = taking.len() >= config.snapshots_max;
                    taking.spawn(take_snapshot(replicas.clone(), config.clone(), node, link, busy));
                }
                None => return,
            },
            Some(_) = taking.join_next() => {}
        }
    }
}

async fn take_snapshot(
    replicas: Arc<Replicas>,
    config: RemoteConfig,
    node: NodeId,
    link: Link,
    busy: bool,
) {
    let peer = link.peer;
    let taken = if busy {
        snapshot::refuse(link, &config, "other snapshots are arriving").await
    } else {
        snapshot::take(&replicas, &config, node, link).await
    };
    if let Err(reason) = taken {
        tracing::info!(%peer, reason, "a snapshot was not taken");
    }
}

impl Peers for Remote {
    fn attach(&self, group: GroupId, node: NodeId, replica: Attached) -> Attachment {
        assert_eq!(
            node, self.0.node,
            "a network serves the replicas of one node"
        );
        let replicas = self.0.replicas.clone();
        let ticket = replicas.attach(group, replica);
        Box::new(Plug {
            replicas: Arc::downgrade(&replicas),
            group,
            ticket,
        })
    }

    fn connect(&self, group: GroupId, from: NodeId, to: NodeId) -> Box<dyn Peer> {
        assert_eq!(
            from, self.0.node,
            "a network serves the replicas of one node"
        );
        Box::new(RemotePeer {
            dialogue: self.0.dialogue(to),
            shared: self.0.clone(),
            group,
            to,
        })
    }
}

impl Replicas {
    fn attach(&self, group: GroupId, replica: Attached) -> u64 {
        let mut plugs = self.0.lock();
        let ticket = plugs.tickets;
        plugs.tickets += 1;
        plugs.attached.insert(group, (ticket, replica));
        ticket
    }

    fn detach(&self, group: GroupId, ticket: u64) {
        let mut plugs = self.0.lock();
        if plugs
            .attached
            .get(&group)
            .is_some_and(|(newest, _)| *newest == ticket)
        {
            plugs.attached.remove(&group);
        }
    }

    /// Has every group that the node has led elect another leader.
    fn succeed(&self, ended: NodeId) {
        let plugs = self.0.lock();
        for (group, (_, replica)) in &plugs.attached {
            tokio::spawn(replica.clone().succeed(*group, ended));
        }
    }

    /// # Errors
    /// Says that the group is not here.
    fn find(&self, group: GroupId, node: NodeId) -> Result<Attached, String> {
        let plugs = self.0.lock();
        let found = plugs.attached.get(&group);
        found
            .map(|(_, replica)| replica.clone())
            .ok_or_else(|| format!("node {node} does not run group {group}"))
    }
}

/// Takes a replica out of the network. Only weakly tied to it, since a replica holds both.
struct Plug {
    replicas: Weak<Replicas>,
    group: GroupId,
    ticket: u64,
}

impl Drop for Plug {
    fn drop(&mut self) {
        if let Some(replicas) = self.replicas.upgrade() {
            replicas.detach(self.group, self.ticket);
        }
    }
}

impl Shared {
    /// The conversation with a node, begun with the first that wants one.
    fn dialogue(&self, to: NodeId) -> Arc<Dialogue> {
        let mut dialogues = self.dialogues.lock();
        let dialogue = dialogues.entry(to).or_insert_with(|| {
            let dialogue = Arc::new(Dialogue::new(&self.config));
            let links = self.links.clone();
            let replicas = self.replicas.clone();
            let ended = move || replicas.succeed(to);
            self.jobs
                .lock()
                .spawn(dialogue::keep(dialogue.clone(), links, to, ended));
            dialogue
        });
        dialogue.clone()
    }
}

/// One group's way to a replica on another node.
struct RemotePeer {
    shared: Arc<Shared>,
    dialogue: Arc<Dialogue>,
    group: GroupId,
    to: NodeId,
}

impl RemotePeer {
    /// A request with one answer.
    async fn call(&self, body: request::Body, patience: Duration) -> Result<answer::Body, String> {
        let deadline = Instant::now() + patience;
        let late = || format!("node {} has not answered in time", self.to);
        let session = self.dialogue.session(deadline).await?;
        let call = async {
            let reply = session.send(self.group, Lane::Control, body).await?;
            reply.await
        };
        let answered = tokio::time::timeout_at(deadline, call).await;
        answered
            .map_err(|_| late())?
            .map_err(|lost| lost.to_string())
    }

    fn ask_for_vote(
        &self,
        body: request::Body,
        patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        Box::pin(async move {
            match self.call(body, patience).await.map_err(unreachable)? {
                answer::Body::Vote(answer) | answer::Body::PreVote(answer) => {
                    wire::vote_response(&answer).map_err(unreachable)
                }
                other => Err(unexpected(&other)),
            }
        })
    }
}

/// Why an answer is none to what was asked.
fn unexpected(answer: &answer::Body) -> openraft::errors::RPCError<TypeConfig> {
    match answer {
        answer::Body::Unanswered(reason) => unreachable(reason),
        _ => unreachable("an answer to something else"),
    }
}

impl Peer for RemotePeer {
    fn append(&mut self, requests: Requests, patience: Duration) -> Answer<'_, Responses<'_>> {
        Box::pin(async move {
            let deadline = Instant::now() + patience;
            let session = self.dialogue.session(deadline).await.map_err(unreachable)?;
            let limits = append::Limits {
                message_bytes: self.shared.config.message_bytes,
                heartbeat: patience,
                entries: self.shared.config.append_timeout.max(patience),
            };
            Ok(append::pipeline(session, self.group, requests, limits))
        })
    }

    fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        let message: proto::VoteCall = wire::vote_message_of(&request);
        self.ask_for_vote(request::Body::Vote(message), patience)
    }

    fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        patience: Duration,
    ) -> Answer<'_, VoteResponse<TypeConfig>> {
        let message = wire::vote_message_of(&request);
        self.ask_for_vote(request::Body::PreVote(message), patience)
    }

    fn snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
        patience: Duration,
    ) -> Answer<'_, SnapshotResponse<TypeConfig>> {
        Box::pin(async move {
            let sending = snapshot::Sending {
                links: &*self.shared.links,
                rate: &self.shared.rate,
                thread: self.shared.config.snapshot_thread,
                group: self.group,
                to: self.to,
                patience,
            };
            let stands = sending.send(vote, snapshot).await.map_err(unreachable)?;
            Ok(SnapshotResponse::new(stands))
        })
    }

    fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        patience: Duration,
    ) -> Answer<'_, TransferLeaderResponse<TypeConfig>> {
        Box::pin(async move {
            let body = wire::transfer_message(&request);
            match self.call(body, patience).await.map_err(unreachable)? {
                answer::Body::TransferLeader(answer) => {
                    wire::transfer_response(&request, &answer).map_err(unreachable)
                }
                other => Err(unexpected(&other)),
            }
        })
    }
}
