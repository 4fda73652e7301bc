//! The consensus library's view of one group's part of the write-ahead log.
//!
//! Appending, truncating and purging only enqueue: the write-ahead log keeps their order, and what
//! was enqueued can be read at once. Only a vote is waited for, because nobody may learn of it
//! before it is durable.

use std::{fmt::Debug, io, ops::RangeBounds, time::Duration};

use longhaul_wal::{Done, GroupLog, WalFault};
use openraft::{
    EntryPayload, OptionalSend,
    entry::RaftEntry,
    storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage},
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    codec,
    divergence::Divergence,
    fault::Faults,
    network::Matched,
    note::Note,
    solo::Solo,
    types::{Entry, LogId, TypeConfig, Vote},
};

/// A log that completes nothing for so long, though something waits, is taken for one that hangs.
const STALL_MAX: Duration = Duration::from_secs(2);

/// Whether the node's log counts as hanging.
const STALLED: &str = "longhaul_wal_stalled";

/// One group's log; clones read and write the same one.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: GroupLog,
    solo: Solo,
    matched: Matched,
    faults: Faults,
}

impl LogStore {
    pub(crate) fn new(log: GroupLog, solo: Solo, matched: Matched, faults: Faults) -> Self {
        Self {
            log,
            solo,
            matched,
            faults,
        }
    }

    /// Waits until everything enqueued so far is durable.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        let (done, durable) = durable();
        self.log.append(Vec::new(), done);
        self.wait(durable).await
    }

    /// Whether the entry at `index` is durable here; a committed one may be so only elsewhere.
    pub(crate) fn is_durable(&self, index: u64) -> bool {
        self.log
            .durable_index()
            .is_some_and(|durable| index <= durable)
    }

    /// Whether the node's log has not moved for so long that nothing led from here can go on. To be
    /// asked again and again.
    pub(crate) fn is_stalled(&self) -> bool {
        let stalled = self.log.stalled_for(Instant::now().into_std()) >= STALL_MAX;
        if self.log.note_stalled(stalled) {
            metrics::describe_gauge!(
                STALLED,
                "1 while the disk of the log does not answer and the node has given up leading."
            );
            metrics::gauge!(STALLED).set(if stalled { 1.0 } else { 0.0 });
            if stalled {
                tracing::error!(
                    seconds = STALL_MAX.as_secs(),
                    "the disk of the log does not answer: this node gives up leading, and does not ask for it, until it does"
                );
            } else {
                tracing::info!("the disk of the log answers again");
            }
        }
        stalled
    }

    /// Writes down, durably, that the state is not what it should be.
    pub(crate) async fn condemn(&self, diverged: Divergence) -> io::Result<()> {
        let note = Note {
            diverged: Some(diverged),
            ..Note::of(&self.log).map_err(|fault| self.faults.report_log(fault.into()))?
        };
        let (done, durable) = durable();
        self.log.save_note(codec::encode_note(&note), done);
        self.wait(durable).await
    }

    async fn wait(&self, durable: oneshot::Receiver<Result<(), WalFault>>) -> io::Result<()> {
        let result = durable.await.unwrap_or(Err(WalFault::Closed));
        result.map_err(|fault| self.faults.report_log(fault.into()))
    }

    /// For operations nobody waits for: whatever comes after them fails too.
    fn report_only(&self) -> Done {
        let faults = self.faults.clone();
        Box::new(move |result| {
            if let Err(fault) = result {
                faults.report_log(fault.into());
            }
        })
    }

    fn read(&self, range: impl RangeBounds<u64>) -> io::Result<Vec<Entry>> {
        let decoded = self.log.read(range)?.into_iter().map(|entry| {
            let payload = codec::decode_payload(entry.payload)?;
            Ok(Entry::new(
                LogId::new_term_index(entry.term, entry.index),
                payload,
            ))
        });
        decoded.collect()
    }

    fn stored<T>(
        &self,
        bytes: Option<bytes::Bytes>,
        decode: impl FnOnce(bytes::Bytes) -> Result<T, codec::DecodeFault>,
    ) -> io::Result<Option<T>> {
        bytes
            .map(decode)
            .transpose()
            .map_err(|fault| self.faults.report_log(fault.into()))
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(range)
            .map_err(|error| self.faults.report_log(error))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.stored(self.log.vote(), codec::decode_vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.log.purged().map(|(_, upto)| upto);
        let last_purged_log_id = self.stored(purged, codec::decode_log_id)?;
        let last = self
            .log
            .last()
            .map(|(term, index)| LogId::new_term_index(term, index));
        Ok(LogState {
            last_log_id: last.or(last_purged_log_id),
            last_purged_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.solo.note_vote(*vote);
        let (done, durable) = durable();
        self.log.save_vote(codec::encode_vote(vote), done);
        self.wait(durable).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.log.save_committed(codec::encode_log_id(&committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.stored(self.log.committed(), codec::decode_log_id)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| {
            if let EntryPayload::Membership(members) = &entry.payload {
                self.solo.note_members(entry.log_id.index());
                self.matched.note_members(members);
            }
            longhaul_wal::Entry {
                term: entry.log_id.committed_leader_id().term,
                index: entry.log_id.index(),
                payload: codec::encode_payload(&entry.payload),
            }
        });
        let entries = entries.collect();
        let faults = self.faults.clone();
        let done = move |result: Result<(), WalFault>| {
            callback.io_completed(result.map_err(|fault| faults.report_log(fault.into())));
        };
        self.log.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.log
            .truncate_after(last.map(|id| id.index()), self.report_only());
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.log.purge(
            upto.index(),
            codec::encode_log_id(&upto),
            self.report_only(),
        );
        Ok(())
    }
}

/// Something to be told when it is durable, and to wait for.
pub(crate) fn durable() -> (Done, oneshot::Receiver<Result<(), WalFault>>) {
    let (sender, receiver) = oneshot::channel();
    // Whoever waited may have gone.
    let done = move |result| drop(sender.send(result));
    (Box::new(done), receiver)
}

#[cfg(test)]
mod tests;
