//! Another node's requests to the replicas here.
//!
//! Requests are handed to their replicas in the order in which they arrive, and answered as soon as
//! the replica has. A replica that takes long keeps no other waiting.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use longhaul_peer::Link;
use openraft::raft::AppendEntriesRequest;
use tokio::task::coop;

use super::{Attached, RemoteConfig, Replicas};
use crate::{
    codec::wire::{self, Arrived, Call, answer},
    types::{NodeId, Raft, TypeConfig},
};

/// Requests of one node that may be open here. Its windows keep it far below, so that no group of
/// many takes this from the others.
const REQUESTS_MAX: usize = 16 << 10;

/// One node's requests.
struct Serving {
    replicas: Arc<Replicas>,
    node: NodeId,
    open: FuturesUnordered<BoxFuture<'static, Answered>>,
    answers: VecDeque<Bytes>,
    /// Bytes of the open requests.
    bytes: usize,
}

struct Answered {
    frame: Bytes,
    /// Of the request.
    bytes: usize,
}

/// Answers requests until the link ends.
pub(super) async fn serve(replicas: Arc<Replicas>, config: RemoteConfig, node: NodeId, link: Link) {
    let Link {
        peer,
        sender,
        mut receiver,
    } = link;
    let mut serving = Serving {
        replicas,
        node,
        open: FuturesUnordered::new(),
        answers: VecDeque::new(),
        bytes: 0,
    };
    let reason = loop {
        let has_room = serving.has_room(config.received_bytes_max);
        tokio::select! {
            frame = receiver.next(), if has_room => match frame {
                Ok(Some(frame)) => if let Err(reason) = serving.begin(frame) {
                    break reason;
                },
                Ok(None) => break "it ended the link".to_owned(),
                Err(broken) => break broken.to_string(),
            },
            Some(answered) = serving.open.next() => {
                serving.bytes -= answered.bytes;
                serving.answers.push_back(answered.frame);
            }
            room = sender.room(), if !serving.answers.is_empty() => {
                let answer = serving.answers.pop_front().unwrap_or_default();
                let sent = room.and_then(|room| room.send(answer));
                if let Err(broken) = sent {
                    break broken.to_string();
                }
            }
        }
    };
    tracing::debug!(%peer, reason, "a node asks no more");
}

impl Serving {
    /// Whether another request may be read: one always may.
    fn has_room(&self, bytes_max: usize) -> bool {
        let requests = self.open.len() + self.answers.len();
        requests == 0 || (self.bytes < bytes_max && requests < REQUESTS_MAX)
    }

    /// Hands a request to its replica.
    ///
    /// # Errors
    /// It is none: whatever follows makes no more sense.
    fn begin(&mut self, frame: Bytes) -> Result<(), String> {
        let bytes = frame.len();
        let arrived = wire::decode_request(frame).map_err(|fault| fault.to_string())?;
        let number = arrived.number;
        let mut answer = self.answer(arrived);
        let answer_now = coop::unconstrained(&mut answer).now_or_never();
        self.bytes += bytes;
        // The first poll above has handed the request over, or has put it behind those that wait
        // for room in the replica's queue: in order, which later polls would not keep.
        let answered = async move {
            let body = match answer_now {
                Some(body) => body,
                None => answer.await,
            };
            Answered {
                frame: wire::encode_answer(number, body),
                bytes,
            }
        };
        self.open.push(answered.boxed());
        Ok(())
    }

    fn answer(&self, arrived: Arrived) -> BoxFuture<'static, answer::Body> {
        let node = self.node;
        let replica = self.replicas.find(arrived.group, node);
        let call = arrived.call.map_err(|fault| fault.to_string());
        async move {
            let answered = match (replica, call) {
                (Ok(replica), Ok(call)) => ask(node, replica, call).await,
                (Err(reason), _) | (_, Err(reason)) => Err(reason),
            };
            answered.unwrap_or_else(answer::Body::Unanswered)
        }
        .boxed()
    }
}

async fn ask(node: NodeId, replica: Attached, call: Call) -> Result<answer::Body, String> {
    let Attached { raft, guard, .. } = replica;
    match call {
        Call::Append(request) => append(raft, request).await,
        Call::Vote(request) => {
            let response = guard.vote(&raft, request).await;
            response.map(|response| answer::Body::Vote(wire::vote_answer(&response)))
        }
        Call::PreVote(request) => {
            let response = guard.pre_vote(&raft, request).await;
            response.map(|response| answer::Body::PreVote(wire::vote_answer(&response)))
        }
        Call::TransferLeader(request) => {
            let response = guard.transfer_leader(node, &raft, request).await;
            response.map(|response| wire::transfer_answer(&response))
        }
    }
}

async fn append(
    raft: Raft,
    request: AppendEntriesRequest<TypeConfig>,
) -> Result<answer::Body, String> {
    let previous = request.prev_log_id;
    let response = raft.append_entries(request).await;
    response
        .map(|response| wire::append_answer(previous.as_ref(), &response))
        .map_err(said)
}

fn said(error: impl ToString) -> String {
    error.to_string()
}
