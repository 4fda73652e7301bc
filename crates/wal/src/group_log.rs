//! One group's log as its callers see it: what was asked for, whether durable yet or not.
//!
//! Every operation changes the view at once and queues the same change for the writer, both under
//! the group's lock, so that the order on disk is the order seen here.

use std::io;
use std::ops::RangeBounds;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::entry::{Entry, GroupId};
use crate::error::WalFault;
use crate::queue::{Done, Op, Queued, lock};
use crate::reader::{Wanted, read_payloads};
use crate::record::RECORD_HEADER_BYTES;
use crate::view::{Group, View, check_payload};
use crate::wal::Shared;

/// A read that meets a truncation or purge on its way to the disk starts over, at most this often.
const READ_ATTEMPTS: usize = 16;

/// A handle to one group's log. Cheap to clone; all clones are the same log.
///
/// Every operation that takes a [`Done`] returns at once, is visible to readers when it returns,
/// and completes in the order in which it was called.
#[derive(Clone, Debug)]
pub struct GroupLog {
    shared: Arc<Shared>,
    group: Arc<Group>,
}

impl GroupLog {
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<Group>) -> GroupLog {
        GroupLog { shared, group }
    }

    /// The group.
    pub fn id(&self) -> GroupId {
        self.group.id
    }

    /// Appends entries; they are readable when this returns.
    ///
    /// Indexes must be consecutive and follow the last entry, or the purge mark if there is no
    /// entry; an empty log that was never purged may begin anywhere. Otherwise nothing is appended
    /// and `done` gets [`WalFault::NotConsecutive`]. All of them become durable together, unless
    /// they exceed the size of a batch: then a crash may leave the first ones, which is no
    /// different from a shorter append.
    pub fn append(&self, entries: Vec<Entry>, done: Done) {
        let mut view = self.group.view();
        if let Err(fault) = view.check_append(self.group.id, &entries) {
            return self.queue(view, Op::Refuse(fault), None, done);
        }
        let Some(last) = entries.last().map(|entry| entry.index) else {
            return self.queue(view, Op::Nothing, None, done);
        };
        for entry in &entries {
            view.push(entry);
        }
        let mut parts = split(entries, self.shared.batch_bytes);
        let rest = parts.pop().expect("there is at least one entry");
        for part in parts {
            let reaches = part.last().map(|entry| entry.index);
            let queued = self.queued(&view, Op::Append(part), reaches, None);
            // If the log is closed, the last part tells so.
            let _ = self.shared.queue.push(queued);
        }
        self.queue(view, Op::Append(rest), Some(last), done);
    }

    /// Saves the vote. Visible to [`GroupLog::vote`] when this returns.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        let mut view = self.group.view();
        let op = match self.check_payload(&vote) {
            Ok(()) => {
                view.vote = Some(vote.clone());
                Op::Vote(vote)
            }
            Err(fault) => Op::Refuse(fault),
        };
        self.queue(view, op, None, done);
    }

    /// The latest vote.
    pub fn vote(&self) -> Option<Bytes> {
        self.group.view().vote.clone()
    }

    /// Saves the committed log id. It rides with the next batch and asks for no sync of its own, so
    /// a crash may bring back an older one.
    pub fn save_committed(&self, committed: Bytes) {
        let mut view = self.group.view();
        view.committed = Some(committed.clone());
        self.shared.queue.set_committed(self.group.id, committed);
    }

    /// The latest committed log id.
    pub fn committed(&self) -> Option<Bytes> {
        self.group.view().committed.clone()
    }

    /// Removes entries after `index`, or all of them.
    pub fn truncate_after(&self, index: Option<u64>, done: Done) {
        let mut view = self.group.view();
        let reaches = view.truncate_after(index);
        self.queue(view, Op::TruncateAfter(index), reaches, done);
    }

    /// Removes entries up to `upto_index`, inclusive, for good. `upto` is its log id, kept for
    /// [`GroupLog::purged`]. The index may lie beyond the last entry. Does nothing if as much was
    /// purged before.
    pub fn purge(&self, upto_index: u64, upto: Bytes, done: Done) {
        let mut view = self.group.view();
        if let Err(fault) = self.check_payload(&upto) {
            return self.queue(view, Op::Refuse(fault), None, done);
        }
        if view
            .purged
            .as_ref()
            .is_some_and(|(index, _)| *index >= upto_index)
        {
            return self.queue(view, Op::Nothing, None, done);
        }
        view.purge(upto_index, upto.clone());
        self.queue(
            view,
            Op::Purge {
                upto: upto_index,
                id: upto,
            },
            Some(upto_index),
            done,
        );
    }

    /// The index and log id of the last purged entry.
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        self.group.view().purged.clone()
    }

    /// Saves a note in place of an earlier one: something that is to outlive the group. Visible to
    /// [`GroupLog::note`] when this returns.
    pub fn save_note(&self, note: Bytes, done: Done) {
        let mut view = self.group.view();
        let op = match self.check_payload(&note) {
            Ok(()) => {
                view.note = Some(note.clone());
                Op::Note(note)
            }
            Err(fault) => Op::Refuse(fault),
        };
        self.queue(view, op, None, done);
    }

    /// The latest note.
    pub fn note(&self) -> Option<Bytes> {
        self.group.view().note.clone()
    }

    /// Forgets the group with everything in it but its vote and its note, at once or, after a crash,
    /// not at all. Handles stay usable: the group begins anew, with that vote.
    pub fn destroy(&self, done: Done) {
        let mut view = self.group.view();
        view.destroy();
        let op = Op::Destroy {
            vote: view.vote.clone(),
            note: view.note.clone(),
        };
        self.queue(view, op, None, done);
    }

    /// The same, with another note.
    pub fn destroy_noting(&self, note: Bytes, done: Done) {
        let mut view = self.group.view();
        if let Err(fault) = self.check_payload(&note) {
            return self.queue(view, Op::Refuse(fault), None, done);
        }
        view.destroy();
        view.note = Some(note.clone());
        let op = Op::Destroy {
            vote: view.vote.clone(),
            note: Some(note),
        };
        self.queue(view, op, None, done);
    }

    /// Index of the first entry, if there is any.
    pub fn first_index(&self) -> Option<u64> {
        self.group.view().first()
    }

    /// Term and index of the last entry, if there is any.
    pub fn last(&self) -> Option<(u64, u64)> {
        self.group.view().last_id()
    }

    /// The highest index up to which everything is durable on this node, or durably purged.
    pub fn durable_index(&self) -> Option<u64> {
        self.group.view().durable
    }

    /// For how long the node's log has completed nothing although something waits, as far as those
    /// who asked can tell: it begins with the first question, so ask often. `now` is any clock, and
    /// the same for all who ask.
    pub fn stalled_for(&self, now: Instant) -> Duration {
        lock(&self.shared.stall).look(self.shared.queue.pulse(), now)
    }

    /// Notes, for the whole node, whether its log counts as stalled; answers whether that is news.
    pub fn note_stalled(&self, stalled: bool) -> bool {
        self.shared.is_stalled.swap(stalled, Ordering::AcqRel) != stalled
    }

    /// The entries of `range` that exist, in order and without a hole; from memory, or else from
    /// disk.
    ///
    /// # Errors [`io::ErrorKind::InvalidData`] if a record no longer reads as it was written;
    /// whatever the disk answers;
    /// [`io::ErrorKind::Interrupted`] if the log kept being changed at the same place.
    pub fn read(&self, range: impl RangeBounds<u64>) -> io::Result<Vec<Entry>> {
        for _ in 0..READ_ATTEMPTS {
            let found = self.group.view().find(&range);
            if let Some(entries) = self.fill(found)? {
                return Ok(entries);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::Interrupted,
            "the log was changed while it was read",
        ))
    }

    /// Reads the missing payloads from disk; `None` if the index no longer has what the view had.
    fn fill(&self, found: Vec<(u64, u64, Option<Bytes>)>) -> io::Result<Option<Vec<Entry>>> {
        let group = self.group.id;
        let mut wanted = vec![];
        if found.iter().any(|(_, _, payload)| payload.is_none()) {
            let index = lock(&self.shared.index);
            for &(at, term, _) in found.iter().filter(|(_, _, payload)| payload.is_none()) {
                match index.locate(group, at) {
                    Some((location, segment)) if location.term == term => {
                        wanted.push(Wanted {
                            group,
                            index: at,
                            location,
                            segment,
                        });
                    }
                    _ => return Ok(None),
                }
            }
        }
        let mut read = read_payloads(&wanted).map_err(io::Error::from)?.into_iter();
        let entries = found.into_iter().map(|(index, term, payload)| {
            let payload = payload
                .or_else(|| read.next())
                .expect("one was read for each that was missing");
            Entry {
                term,
                index,
                payload,
            }
        });
        Ok(Some(entries.collect()))
    }

    fn check_payload(&self, payload: &Bytes) -> Result<(), WalFault> {
        check_payload(self.group.id, payload)
    }

    fn queued(&self, view: &View, op: Op, reaches: Option<u64>, done: Option<Done>) -> Queued {
        Queued {
            group: self.group.clone(),
            op,
            epoch: view.epoch,
            reaches,
            done,
        }
    }

    /// Queues an operation under the view's lock; tells `done` outside of it if the log is closed.
    fn queue(&self, view: MutexGuard<'_, View>, op: Op, reaches: Option<u64>, done: Done) {
        let pushed = self
            .shared
            .queue
            .push(self.queued(&view, op, reaches, Some(done)));
        drop(view);
        if let Err(queued) = pushed {
            queued.complete(Err(WalFault::Closed));
        }
    }
}

impl From<WalFault> for io::Error {
    fn from(fault: WalFault) -> io::Error {
        let kind = match &fault {
            WalFault::File(error) => error.source.kind(),
            WalFault::Damaged { .. } => io::ErrorKind::InvalidData,
            WalFault::NotConsecutive { .. } | WalFault::TooLarge { .. } => {
                io::ErrorKind::InvalidInput
            }
            WalFault::Closed | WalFault::Panicked => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, fault)
    }
}

/// Splits entries into parts of about `bytes_max`, so that no batch grows without limit.
fn split(entries: Vec<Entry>, bytes_max: u64) -> Vec<Vec<Entry>> {
    let mut parts = vec![vec![]];
    let mut bytes = 0;
    for entry in entries {
        if bytes >= bytes_max {
            parts.push(vec![]);
            bytes = 0;
        }
        bytes += (RECORD_HEADER_BYTES + entry.payload.len()) as u64;
        parts.last_mut().expect("begins with one").push(entry);
    }
    parts
}
