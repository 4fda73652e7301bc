//! Appending to a replica's log with many requests on the way.
//!
//! Requests are sent as fast as their group's window allows, and answers are taken as they come. A
//! request with many bytes is sent in parts, each an append of its own; its answer is that of the
//! last part, or of the first that failed.

use std::{future::ready, mem, sync::Arc, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use longhaul_wal::GroupId;
use openraft::{
    entry::RaftEntry,
    errors::RPCError,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};

use super::{
    super::{Responses, peer::Requests, unreachable},
    dialogue::{Lane, Reply, Session},
    unexpected,
};
use crate::{
    codec::wire::{self, answer},
    types::{Content, Entry, EntryPayload, LogId, TypeConfig},
};

/// Requests on the way whose answers nobody has taken yet; the window is what bounds them.
const PIPELINE: usize = 256;

/// Bytes of an entry that are not its commands.
const ENTRY_OVERHEAD: usize = 32;

/// Sizes and times of one conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) message_bytes: usize,
    /// How long a request without entries may take.
    pub(super) heartbeat: Duration,
    /// How long one with entries may take.
    pub(super) entries: Duration,
}

type Result<T> = std::result::Result<T, RPCError<TypeConfig>>;

/// Sends requests until there are no more; answers end with the first that is not a success.
pub(super) fn pipeline<'a>(
    session: Arc<Session>,
    group: GroupId,
    requests: Requests,
    limits: Limits,
) -> Responses<'a> {
    let (sent, waiting) = mpsc::channel(PIPELINE);
    let pump = Pump {
        session,
        group,
        limits,
        sent,
        latest: Instant::now(),
    };
    // Yields nothing but the error that ends it.
    let pump = stream::once(pump.run(requests)).filter_map(|ended| ready(ended.err().map(Err)));
    let both: BoxStream<'a, Result<StreamAppendResult<TypeConfig>>> =
        Box::pin(stream::select(answers(waiting), pump));
    let until_failure = both.scan(false, |over, response| {
        let last = mem::replace(over, !matches!(response, Ok(Ok(_))));
        ready((!last).then_some(response))
    });
    Box::pin(until_failure)
}

/// The sending half.
struct Pump {
    session: Arc<Session>,
    group: GroupId,
    limits: Limits,
    sent: mpsc::Sender<Sent>,
    /// Deadline of the newest request. None is answered before those ahead of it.
    latest: Instant,
}

/// A part of a request, on its way.
struct Sent {
    reply: Reply,
    deadline: Instant,
    previous: Option<LogId>,
    last: Option<LogId>,
    /// Whether its answer is that of the request.
    ends_request: bool,
}

impl Pump {
    async fn run(mut self, mut requests: Requests) -> Result<()> {
        while let Some(request) = requests.next().await {
            let mut parts = parts(request, self.limits.message_bytes).peekable();
            while let Some(part) = parts.next() {
                let ends_request = parts.peek().is_none();
                let sent = self.send(&part, ends_request).await?;
                if self.sent.send(sent).await.is_err() {
                    // Nobody wants answers any more.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, part: &Part, ends_request: bool) -> Result<Sent> {
        let AppendEntriesRequest {
            vote,
            prev_log_id,
            entries,
            leader_commit,
        } = &part.request;
        let (lane, patience) = if entries.is_empty() {
            (Lane::Control, self.limits.heartbeat)
        } else {
            (Lane::Entries(part.bytes), self.limits.entries)
        };
        self.latest = self.latest.max(Instant::now() + patience);
        let body =
            wire::append_message(vote, prev_log_id.as_ref(), entries, leader_commit.as_ref());
        let sending = self.session.send(self.group, lane, body);
        let reply = time::timeout_at(self.latest, sending).await;
        let reply = reply
            .map_err(|_| unreachable("earlier requests are not answered in time"))?
            .map_err(unreachable)?;
        Ok(Sent {
            reply,
            deadline: self.latest,
            previous: *prev_log_id,
            last: entries.last().map(RaftEntry::log_id).or(*prev_log_id),
            ends_request,
        })
    }
}

/// The receiving half: one response for each request.
fn answers<'a>(
    waiting: mpsc::Receiver<Sent>,
) -> BoxStream<'a, Result<StreamAppendResult<TypeConfig>>> {
    let responses = stream::unfold(waiting, |mut waiting| async {
        loop {
            let sent = waiting.recv().await?;
            let ends_request = sent.ends_request;
            let response = sent.response().await;
            if ends_request || !matches!(response, Ok(Ok(_))) {
                return Some((response, waiting));
            }
        }
    });
    responses.boxed()
}

impl Sent {
    async fn response(self) -> Result<StreamAppendResult<TypeConfig>> {
        let reply = time::timeout_at(self.deadline, self.reply).await;
        let reply = reply
            .map_err(|_| unreachable("no answer in time"))?
            .map_err(unreachable)?;
        let answer::Body::Append(answer) = reply else {
            return Err(unexpected(&reply));
        };
        let response = wire::append_response(&answer).map_err(unreachable)?;
        if response.is_conflict() && self.previous.is_none() {
            return Err(unreachable("a conflict with nothing"));
        }
        Ok(response.into_stream_result(self.previous, self.last))
    }
}

/// A request of bounded size.
struct Part {
    request: AppendEntriesRequest<TypeConfig>,
    bytes: usize,
}

/// Divides a request where its entries reach `message_bytes`; every part has at least one.
fn parts(
    request: AppendEntriesRequest<TypeConfig>,
    message_bytes: usize,
) -> impl Iterator<Item = Part> + Send {
    let AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    } = request;
    let mut previous = prev_log_id;
    let mut rest = entries.into_iter().peekable();
    let mut first = true;
    std::iter::from_fn(move || {
        if !mem::replace(&mut first, false) && rest.peek().is_none() {
            return None;
        }
        let mut bytes = 0;
        let mut entries = Vec::new();
        while let Some(entry) =
            rest.next_if(|entry| bytes == 0 || bytes + entry_bytes(entry) <= message_bytes)
        {
            bytes += entry_bytes(&entry);
            entries.push(entry);
        }
        let request = AppendEntriesRequest {
            vote,
            prev_log_id: previous,
            entries,
            leader_commit,
        };
        previous = request.entries.last().map(RaftEntry::log_id).or(previous);
        Some(Part { request, bytes })
    })
}

fn entry_bytes(entry: &Entry) -> usize {
    ENTRY_OVERHEAD
        + match &entry.payload {
            EntryPayload::Normal(Content::Commands(commands)) => commands.len(),
            EntryPayload::Normal(Content::Check(_)) => 0,
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::types::{NodeId, Vote};

    fn request(sizes: &[usize]) -> AppendEntriesRequest<TypeConfig> {
        let entries = (5..).zip(sizes).map(|(index, size)| {
            let commands = Content::Commands(Bytes::from(vec![0; *size]));
            Entry::new(
                LogId::new_term_index(2, index),
                EntryPayload::Normal(commands),
            )
        });
        AppendEntriesRequest {
            vote: Vote::new_committed(2, NodeId(1)),
            prev_log_id: Some(LogId::new_term_index(1, 4)),
            entries: entries.collect(),
            leader_commit: Some(LogId::new_term_index(1, 3)),
        }
    }

    fn divided(sizes: &[usize]) -> Vec<usize> {
        let mut previous = Some(LogId::new_term_index(1, 4));
        let mut counts = Vec::new();
        for part in parts(request(sizes), 1_000) {
            assert_eq!(part.request.prev_log_id, previous);
            assert_eq!(part.request.leader_commit.map(|id| id.index()), Some(3));
            counts.push(part.request.entries.len());
            previous = part
                .request
                .entries
                .last()
                .map(RaftEntry::log_id)
                .or(previous);
        }
        assert_eq!(
            counts.iter().sum::<usize>(),
            sizes.len(),
            "all entries, once"
        );
        counts
    }

    #[test]
    fn a_request_is_divided_by_bytes() {
        assert_eq!(divided(&[]), [0], "a heartbeat is one request");
        assert_eq!(divided(&[100]), [1]);
        assert_eq!(divided(&[400, 400, 400]), [2, 1]);
        assert_eq!(
            divided(&[5_000, 1, 1]),
            [1, 2],
            "what is too long goes alone"
        );
        assert_eq!(divided(&[1, 5_000, 1]), [1, 1, 1]);
    }
}
