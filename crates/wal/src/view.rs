//! What callers of one group see: everything that was asked for, whether durable yet or not.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use crate::entry::{Entry, GroupId, PAYLOAD_BYTES_MAX};
use crate::error::WalFault;
use crate::index::{GroupIndex, Latest};
use crate::queue::lock;

/// An entry that was neither truncated nor purged.
#[derive(Debug)]
struct Slot {
    term: u64,
    /// `None` once evicted; then it is on disk.
    payload: Option<Bytes>,
}

/// The view of one group.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Index of the first slot; meaningless without slots.
    first: u64,
    slots: VecDeque<Slot>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) note: Option<Bytes>,
    /// Everything up to here is durable, or purged durably.
    pub(crate) durable: Option<u64>,
    /// Counts truncations and destructions. An append that completes after a later truncation was
    /// queued says nothing about what is in the log now; the truncation's own completion does.
    pub(crate) epoch: u64,
}

/// A group, shared by its handles and by the operations on their way to the writer.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    view: Mutex<View>,
}

impl Group {
    /// The view, locked.
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.view)
    }

    /// A group of which nothing is known.
    pub(crate) fn new(id: GroupId) -> Group {
        Group {
            id,
            view: Mutex::default(),
        }
    }

    /// A group as recovered. Everything in it is durable, nothing is in memory.
    pub(crate) fn recovered(id: GroupId, index: &GroupIndex) -> Group {
        let payload =
            |latest: &Option<Latest>| latest.as_ref().map(|latest| latest.payload.clone());
        let mut view = View {
            first: index.first,
            slots: index
                .entries
                .iter()
                .map(|location| Slot {
                    term: location.term,
                    payload: None,
                })
                .collect(),
            vote: payload(&index.vote),
            committed: payload(&index.committed),
            note: payload(&index.note),
            purged: index
                .purged
                .as_ref()
                .map(|latest| (latest.index, latest.payload.clone())),
            ..View::default()
        };
        view.durable = view
            .last()
            .max(view.purged.as_ref().map(|(index, _)| *index));
        Group {
            id,
            view: Mutex::new(view),
        }
    }

    /// Whether there is anything of it; of one that was destroyed, a vote or a note may be left.
    pub(crate) fn exists(&self) -> bool {
        let view = self.view();
        !view.slots.is_empty()
            || view.vote.is_some()
            || view.committed.is_some()
            || view.purged.is_some()
            || view.note.is_some()
    }

    /// An operation queued at `epoch` is durable.
    pub(crate) fn completed(&self, epoch: u64, reaches: Option<u64>) {
        let mut view = self.view();
        if view.epoch == epoch {
            view.durable = view.durable.max(reaches);
        }
    }

    /// Drops the payloads of the durable entries among `first..=last`.
    pub(crate) fn evict(&self, first: u64, last: u64) {
        let mut view = self.view();
        let Some(durable) = view.durable else { return };
        let (base, end) = (view.first, view.first + view.slots.len() as u64);
        for index in first.max(base)..end.min(last + 1).min(durable.saturating_add(1)) {
            let at = usize::try_from(index - base).expect("slots fit into memory");
            view.slots[at].payload = None;
        }
    }
}

impl View {
    /// Index of the first entry.
    pub(crate) fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    /// Term and index of the last entry.
    pub(crate) fn last_id(&self) -> Option<(u64, u64)> {
        Some((self.slots.back()?.term, self.last()?))
    }

    /// Forgets everything but the vote and the note.
    pub(crate) fn destroy(&mut self) {
        *self = View {
            epoch: self.epoch + 1,
            vote: self.vote.take(),
            note: self.note.take(),
            ..View::default()
        };
    }

    fn last(&self) -> Option<u64> {
        (!self.slots.is_empty()).then(|| self.first + self.slots.len() as u64 - 1)
    }

    /// The only index an append may begin with; `None` if any will do.
    fn next(&self) -> Option<u64> {
        self.last()
            .or(self.purged.as_ref().map(|(index, _)| *index))
            .map(|index| index.saturating_add(1))
    }

    /// Whether the entries may be pushed.
    pub(crate) fn check_append(&self, group: GroupId, entries: &[Entry]) -> Result<(), WalFault> {
        let mut next = self.next();
        for entry in entries {
            let (expected, found) = (next.unwrap_or(entry.index), entry.index);
            if found != expected {
                return Err(WalFault::NotConsecutive {
                    group,
                    expected,
                    found,
                });
            }
            check_payload(group, &entry.payload)?;
            next = Some(found.saturating_add(1));
        }
        Ok(())
    }

    /// Adds an entry that was checked.
    pub(crate) fn push(&mut self, entry: &Entry) {
        if self.slots.is_empty() {
            self.first = entry.index;
        }
        self.slots.push_back(Slot {
            term: entry.term,
            payload: Some(entry.payload.clone()),
        });
    }

    /// Drops entries after `index`; returns up to where the log is durable once that is.
    pub(crate) fn truncate_after(&mut self, index: Option<u64>) -> Option<u64> {
        if index.is_some() && index >= self.last() {
            return self.last();
        }
        let keep = index.map_or(0, |index| {
            index.saturating_add(1).saturating_sub(self.first)
        });
        self.slots
            .truncate(usize::try_from(keep).expect("fewer than there are slots"));
        let purged = self.purged.as_ref().map(|(index, _)| *index);
        self.durable = self.durable.min(index.max(purged));
        self.epoch += 1;
        self.last().max(purged)
    }

    /// Drops entries up to `upto`.
    pub(crate) fn purge(&mut self, upto: u64, id: Bytes) {
        let gone = upto
            .saturating_add(1)
            .saturating_sub(self.first)
            .min(self.slots.len() as u64);
        self.slots
            .drain(..usize::try_from(gone).expect("at most the length"));
        self.first += gone;
        self.purged = Some((upto, id));
    }

    /// Index, term and, if in memory, payload of the entries in `range`.
    pub(crate) fn find(&self, range: &impl RangeBounds<u64>) -> Vec<(u64, u64, Option<Bytes>)> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let skip = start
            .saturating_sub(self.first)
            .min(self.slots.len() as u64);
        let start = self.first + skip;
        let skip = usize::try_from(skip).expect("at most the length");
        let found = self.slots.range(skip..).zip(start..end);
        found
            .map(|(slot, index)| (index, slot.term, slot.payload.clone()))
            .collect()
    }
}

/// Refuses payloads that no record may have.
pub(crate) fn check_payload(group: GroupId, payload: &Bytes) -> Result<(), WalFault> {
    let bytes = payload.len();
    if bytes > PAYLOAD_BYTES_MAX {
        Err(WalFault::TooLarge { group, bytes })
    } else {
        Ok(())
    }
}
