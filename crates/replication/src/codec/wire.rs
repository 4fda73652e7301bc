//! What replicas on different nodes say to each other, as messages.
//!
//! An answer means little without its request, so the node that asked keeps what it needs of that.

use bytes::Bytes;
use longhaul_proto::raft::v1 as proto;
pub(crate) use longhaul_proto::raft::v1::{answer, request, snapshot_part};
use longhaul_wal::GroupId;
use openraft::{
    entry::RaftEntry,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use prost::Message;

use super::{
    DecodeFault, decode, log_id, log_position, payload, payload_message, stored_membership,
    stored_membership_message, vote, vote_message,
};
use crate::types::{Entry, LogId, NodeId, SnapshotMeta, TypeConfig, Vote};

const APPEND: &str = "an append";
const VOTE: &str = "a request for a vote";
const TRANSFER: &str = "a transfer of leadership";
const SNAPSHOT: &str = "a snapshot";

/// One request of a replica to another.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
}

/// A request as it arrives: where it goes can be known even if it cannot be understood.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) group: GroupId,
    pub(crate) number: u64,
    pub(crate) call: Result<Call, DecodeFault>,
}

/// What is said about a state on its way.
#[derive(Debug, Clone)]
pub(crate) enum SnapshotPart {
    Begin {
        group: GroupId,
        vote: Vote,
        meta: SnapshotMeta,
    },
    Chunk(Bytes),
    End {
        chunks: u64,
        bytes: u64,
    },
}

pub(crate) fn encode_request(group: GroupId, number: u64, body: request::Body) -> Bytes {
    let request = proto::Request {
        group: group.0,
        number,
        body: Some(body),
    };
    request.encode_to_vec().into()
}

pub(crate) fn decode_request(bytes: Bytes) -> Result<Arrived, DecodeFault> {
    let request: proto::Request = decode("a request", bytes)?;
    Ok(Arrived {
        group: GroupId(request.group),
        number: request.number,
        call: call(request.body),
    })
}

fn call(body: Option<request::Body>) -> Result<Call, DecodeFault> {
    Ok(match body.ok_or(missing("a request", "body"))? {
        request::Body::Append(message) => Call::Append(append(message)?),
        request::Body::Vote(message) => Call::Vote(vote_call(&message)?),
        request::Body::PreVote(message) => Call::PreVote(vote_call(&message)?),
        request::Body::TransferLeader(message) => Call::TransferLeader(transfer(&message)?),
    })
}

pub(crate) fn encode_answer(number: u64, body: answer::Body) -> Bytes {
    let answer = proto::Answer {
        number,
        body: Some(body),
    };
    answer.encode_to_vec().into()
}

pub(crate) fn decode_answer(bytes: Bytes) -> Result<(u64, answer::Body), DecodeFault> {
    let answer: proto::Answer = decode("an answer", bytes)?;
    let body = answer.body.ok_or(missing("an answer", "body"))?;
    Ok((answer.number, body))
}

/// Entries that follow `previous`, in the name of a leader.
pub(crate) fn append_message(
    leader: &Vote,
    previous: Option<&LogId>,
    entries: &[Entry],
    committed: Option<&LogId>,
) -> request::Body {
    let entries = entries.iter().map(|entry| proto::Entry {
        position: Some(log_position(&entry.log_id)),
        payload: Some(payload_message(&entry.payload)),
    });
    request::Body::Append(proto::Append {
        vote: Some(vote_message(leader)),
        previous: previous.map(log_position),
        entries: entries.collect(),
        committed: committed.map(log_position),
    })
}

fn append(message: proto::Append) -> Result<AppendEntriesRequest<TypeConfig>, DecodeFault> {
    let entries: Result<Vec<Entry>, DecodeFault> = message.entries.into_iter().map(entry).collect();
    Ok(AppendEntriesRequest {
        vote: some_vote(APPEND, message.vote.as_ref())?,
        prev_log_id: message.previous.map(log_id),
        entries: consecutive(message.previous.map(log_id), entries?)?,
        leader_commit: message.committed.map(log_id),
    })
}

fn entry(message: proto::Entry) -> Result<Entry, DecodeFault> {
    const ENTRY: &str = "an entry";
    let position = message.position.ok_or(missing(ENTRY, "position"))?;
    let content = message.payload.ok_or(missing(ENTRY, "payload"))?;
    Ok(Entry::new(log_id(position), payload(content)?))
}

/// The replica takes for granted that entries follow each other.
fn consecutive(previous: Option<LogId>, entries: Vec<Entry>) -> Result<Vec<Entry>, DecodeFault> {
    let mut next = previous.map_or(Some(0), |previous| previous.index().checked_add(1));
    for entry in &entries {
        if next != Some(entry.log_id.index()) {
            return Err(missing(APPEND, "entry in its place"));
        }
        next = entry.log_id.index().checked_add(1);
    }
    Ok(entries)
}

pub(crate) fn append_answer(
    previous: Option<&LogId>,
    response: &AppendEntriesResponse<TypeConfig>,
) -> answer::Body {
    use proto::append_answer::Outcome;
    let outcome = match response {
        AppendEntriesResponse::Success => Outcome::Appended(proto::Appended {}),
        AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote(vote_message(vote)),
        // A replica appends all or nothing.
        AppendEntriesResponse::PartialSuccess(_) | AppendEntriesResponse::Conflict => {
            Outcome::Conflict(proto::Conflict {
                position: previous.map(log_position),
            })
        }
    };
    answer::Body::Append(proto::AppendAnswer {
        outcome: Some(outcome),
    })
}

pub(crate) fn append_response(
    message: &proto::AppendAnswer,
) -> Result<AppendEntriesResponse<TypeConfig>, DecodeFault> {
    use proto::append_answer::Outcome;
    let outcome = message.outcome.as_ref();
    Ok(match outcome.ok_or(missing("an answer", "outcome"))? {
        Outcome::Appended(proto::Appended {}) => AppendEntriesResponse::Success,
        Outcome::Conflict(_) => AppendEntriesResponse::Conflict,
        Outcome::HigherVote(higher) => AppendEntriesResponse::HigherVote(vote(higher)),
    })
}

pub(crate) fn vote_message_of(request: &VoteRequest<TypeConfig>) -> proto::VoteCall {
    proto::VoteCall {
        vote: Some(vote_message(&request.vote)),
        last: request.last_log_id.as_ref().map(log_position),
        leadership_transfer: request.leadership_transfer,
    }
}

fn vote_call(message: &proto::VoteCall) -> Result<VoteRequest<TypeConfig>, DecodeFault> {
    let asked = some_vote(VOTE, message.vote.as_ref())?;
    let mut request = VoteRequest::new(asked, message.last.map(log_id));
    request.leadership_transfer = message.leadership_transfer;
    Ok(request)
}

pub(crate) fn vote_answer(response: &VoteResponse<TypeConfig>) -> proto::VoteAnswer {
    proto::VoteAnswer {
        vote: Some(vote_message(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_position),
    }
}

pub(crate) fn vote_response(
    message: &proto::VoteAnswer,
) -> Result<VoteResponse<TypeConfig>, DecodeFault> {
    let stands = some_vote("an answer", message.vote.as_ref())?;
    let last = message.last.map(log_id);
    Ok(VoteResponse::new(stands, last, message.granted))
}

pub(crate) fn transfer_message(request: &TransferLeaderRequest<TypeConfig>) -> request::Body {
    request::Body::TransferLeader(proto::TransferLeader {
        from: Some(vote_message(request.from_leader())),
        to_node_id: request.to_node_id().0,
        last: request.last_log_id().map(log_position),
    })
}

fn transfer(
    message: &proto::TransferLeader,
) -> Result<TransferLeaderRequest<TypeConfig>, DecodeFault> {
    Ok(TransferLeaderRequest::new(
        some_vote(TRANSFER, message.from.as_ref())?,
        NodeId(message.to_node_id),
        message.last.map(log_id),
    ))
}

pub(crate) fn transfer_answer(response: &TransferLeaderResponse<TypeConfig>) -> answer::Body {
    use proto::transfer_leader_answer::Outcome;
    let outcome = match response {
        Ok(()) => Outcome::Accepted(proto::TransferAccepted {}),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            Outcome::VoteChanged(vote_message(actual))
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            Outcome::NotFlushed(proto::TransferNotFlushed {
                actual: actual.as_ref().map(log_position),
            })
        }
    };
    answer::Body::TransferLeader(proto::TransferLeaderAnswer {
        outcome: Some(outcome),
    })
}

pub(crate) fn transfer_response(
    request: &TransferLeaderRequest<TypeConfig>,
    message: &proto::TransferLeaderAnswer,
) -> Result<TransferLeaderResponse<TypeConfig>, DecodeFault> {
    use proto::transfer_leader_answer::Outcome;
    let outcome = message.outcome.as_ref();
    Ok(match outcome.ok_or(missing("an answer", "outcome"))? {
        Outcome::Accepted(proto::TransferAccepted {}) => Ok(()),
        Outcome::VoteChanged(actual) => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: vote(actual),
        }),
        Outcome::NotFlushed(flushed) => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: flushed.actual.map(log_id),
        }),
    })
}

pub(crate) fn encode_snapshot_part(part: SnapshotPart) -> Bytes {
    let part = match part {
        SnapshotPart::Begin { group, vote, meta } => {
            snapshot_part::Part::Begin(proto::SnapshotBegin {
                group: group.0,
                vote: Some(vote_message(&vote)),
                last: meta.last_log_id.as_ref().map(log_position),
                membership: Some(stored_membership_message(&meta.last_membership)),
            })
        }
        SnapshotPart::Chunk(chunk) => snapshot_part::Part::Chunk(chunk),
        SnapshotPart::End { chunks, bytes } => {
            snapshot_part::Part::End(proto::SnapshotEnd { chunks, bytes })
        }
    };
    let part = proto::SnapshotPart { part: Some(part) };
    part.encode_to_vec().into()
}

pub(crate) fn decode_snapshot_part(bytes: Bytes) -> Result<SnapshotPart, DecodeFault> {
    let message: proto::SnapshotPart = decode(SNAPSHOT, bytes)?;
    Ok(match message.part.ok_or(missing(SNAPSHOT, "part"))? {
        snapshot_part::Part::Begin(begin) => {
            let membership = begin.membership.ok_or(missing(SNAPSHOT, "membership"))?;
            SnapshotPart::Begin {
                group: GroupId(begin.group),
                vote: some_vote(SNAPSHOT, begin.vote.as_ref())?,
                meta: SnapshotMeta {
                    last_log_id: begin.last.map(log_id),
                    last_membership: stored_membership(membership)?,
                },
            }
        }
        snapshot_part::Part::Chunk(chunk) => SnapshotPart::Chunk(chunk),
        snapshot_part::Part::End(end) => SnapshotPart::End {
            chunks: end.chunks,
            bytes: end.bytes,
        },
    })
}

/// The vote that stands where a state was sent, or why it was not taken.
pub(crate) fn encode_snapshot_answer(outcome: Result<&Vote, String>) -> Bytes {
    use proto::snapshot_answer::Outcome;
    let outcome = match outcome {
        Ok(vote) => Outcome::Vote(vote_message(vote)),
        Err(reason) => Outcome::Refused(reason),
    };
    let answer = proto::SnapshotAnswer {
        outcome: Some(outcome),
    };
    answer.encode_to_vec().into()
}

pub(crate) fn decode_snapshot_answer(bytes: Bytes) -> Result<Result<Vote, String>, DecodeFault> {
    use proto::snapshot_answer::Outcome;
    const ANSWER: &str = "an answer to a snapshot";
    let answer: proto::SnapshotAnswer = decode(ANSWER, bytes)?;
    Ok(match answer.outcome.ok_or(missing(ANSWER, "outcome"))? {
        Outcome::Vote(stands) => Ok(vote(&stands)),
        Outcome::Refused(reason) => Err(reason),
    })
}

fn some_vote(what: &'static str, message: Option<&proto::Vote>) -> Result<Vote, DecodeFault> {
    message.map(vote).ok_or(missing(what, "vote"))
}

fn missing(what: &'static str, field: &'static str) -> DecodeFault {
    DecodeFault::Missing { what, field }
}

#[cfg(test)]
mod tests;
