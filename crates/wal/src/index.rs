//! Where everything durable is, and which segments still matter.
//!
//! The index is the durable log's state: recovery builds it by applying every record, the writer
//! keeps it by applying each batch after its sync. Both call [`Index::apply`], so what a restart
//! finds is what the writer knew.
//!
//! Segments are freed oldest first, so recovery may see a *suffix* of the records ever written. A
//! suffix gives the same state as long as no freed segment held a live record:
//! - a record that *sets* something (entry, vote, committed, purge mark, note) is live until
//!   replaced;
//! - a record that *removes* something (truncation, destruction) affects only records before it,
//!   which are freed before it, so it is never live itself;
//! - an entry that was moved to the tail comes later in a suffix than its successors: gaps are
//!   legal while applying and checked at the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::GroupId;
use crate::record::{Kind, RECORD_HEADER_BYTES, Record};
use crate::segment::Segment;

/// Entries of a group that may be missing while a log is read: far more than a group ever has, so
/// that no record takes memory without end.
const GAP_MAX: u64 = 1 << 24;

/// Where a record is. The index of an entry is implied by its place in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Zero where the entry has not been seen yet.
    pub(crate) segment: u64,
    pub(crate) offset: u32,
    pub(crate) payload_len: u32,
    pub(crate) term: u64,
}

impl Location {
    const UNSEEN: Location = Location {
        segment: 0,
        offset: 0,
        payload_len: 0,
        term: 0,
    };

    /// Size of the record.
    pub(crate) fn bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.payload_len)
    }
}

/// The latest record of one kind, kept with its payload because it is small and may have to be
/// moved.
#[derive(Clone, Debug)]
pub(crate) struct Latest {
    pub(crate) location: Location,
    pub(crate) index: u64,
    pub(crate) payload: Bytes,
}

/// What is durable of one group.
#[derive(Debug, Default)]
pub(crate) struct GroupIndex {
    /// Index of the first entry; meaningless without entries.
    pub(crate) first: u64,
    pub(crate) entries: VecDeque<Location>,
    pub(crate) vote: Option<Latest>,
    pub(crate) committed: Option<Latest>,
    pub(crate) purged: Option<Latest>,
    pub(crate) note: Option<Latest>,
}

/// A segment, and how many bytes of live records it holds.
#[derive(Debug)]
struct Usage {
    segment: Arc<Segment>,
    live_bytes: u64,
}

/// What is durable on this node.
#[derive(Debug, Default)]
pub(crate) struct Index {
    groups: BTreeMap<GroupId, GroupIndex>,
    segments: BTreeMap<u64, Usage>,
}

/// A live record that keeps an old segment from being freed.
#[derive(Clone, Debug)]
pub(crate) struct Laggard {
    pub(crate) group: GroupId,
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) location: Location,
    /// Known for all but entries.
    pub(crate) payload: Option<Bytes>,
}

impl Index {
    /// Adds the newest segment.
    pub(crate) fn add_segment(&mut self, segment: Arc<Segment>) {
        self.segments.insert(
            segment.seq,
            Usage {
                segment,
                live_bytes: 0,
            },
        );
    }

    /// Whether a log can hold this record after those that were applied. Only for records that are
    /// read: what the writer queues was checked before.
    pub(crate) fn admits(&self, record: &Record<'_>) -> bool {
        let gap = match self.groups.get(&record.group) {
            Some(group) if !group.entries.is_empty() => match record.kind {
                Kind::Append => record.index.saturating_sub(group.end()),
                Kind::Moved => {
                    let before = group.first.saturating_sub(record.index);
                    before.max(record.index.saturating_sub(group.end()))
                }
                _ => 0,
            },
            _ => 0,
        };
        record.index < u64::MAX && gap <= GAP_MAX
    }

    /// Applies one record of the segment `segment`, which starts there at `offset`.
    pub(crate) fn apply(&mut self, record: &Record<'_>, segment: u64, offset: u64) {
        let location = Location {
            segment,
            offset: u32::try_from(offset).expect("segments are at most 1 GiB, or one batch"),
            payload_len: u32::try_from(record.payload.len()).expect("payloads are limited"),
            term: record.term,
        };
        let Index { groups, segments } = self;
        let group = groups.entry(record.group).or_default();
        let latest = || {
            Some(Latest {
                location,
                index: record.index,
                payload: Bytes::copy_from_slice(record.payload),
            })
        };
        let mut dead = vec![];
        match record.kind {
            Kind::Append => {
                dead.extend(group.truncate_from(record.index));
                dead.extend(group.place(record.index, location));
            }
            Kind::Moved => dead.extend(group.place(record.index, location)),
            Kind::Vote => {
                dead.extend(std::mem::replace(&mut group.vote, latest()).map(|old| old.location))
            }
            Kind::Committed => dead
                .extend(std::mem::replace(&mut group.committed, latest()).map(|old| old.location)),
            Kind::Note => {
                dead.extend(std::mem::replace(&mut group.note, latest()).map(|old| old.location))
            }
            Kind::TruncateAfter => dead.extend(group.truncate_from(record.index.saturating_add(1))),
            Kind::TruncateAll => dead.extend(group.truncate_from(0)),
            Kind::PurgedUpTo => {
                dead.extend(group.purge(record.index));
                dead.extend(std::mem::replace(&mut group.purged, latest()).map(|old| old.location));
            }
            Kind::GroupDestroyed => {
                dead.extend(group.truncate_from(0));
                dead.extend(
                    [&group.vote, &group.committed, &group.purged, &group.note]
                        .into_iter()
                        .flatten()
                        .map(|l| l.location),
                );
                groups.remove(&record.group);
            }
        }
        let sets = match record.kind {
            Kind::Append
            | Kind::Moved
            | Kind::Vote
            | Kind::Committed
            | Kind::PurgedUpTo
            | Kind::Note => true,
            Kind::TruncateAfter | Kind::TruncateAll | Kind::GroupDestroyed => false,
        };
        if sets && let Some(usage) = segments.get_mut(&segment) {
            usage.live_bytes += location.bytes();
        }
        for old in dead {
            if let Some(usage) = segments.get_mut(&old.segment) {
                usage.live_bytes -= old.bytes();
            }
        }
    }

    /// The group and index of an entry that later ones depend on but that no record brought; `None`
    /// if all is whole.
    pub(crate) fn hole(&self) -> Option<(GroupId, u64)> {
        self.groups.iter().find_map(|(id, group)| {
            let at = group
                .entries
                .iter()
                .position(|location| *location == Location::UNSEEN)?;
            Some((*id, group.first + at as u64))
        })
    }

    /// Every group with anything durable.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (GroupId, &GroupIndex)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// Where an entry is, and the segment that holds it.
    pub(crate) fn locate(&self, group: GroupId, index: u64) -> Option<(Location, Arc<Segment>)> {
        let group = self.groups.get(&group)?;
        let at = usize::try_from(index.checked_sub(group.first)?).ok()?;
        let location = *group.entries.get(at)?;
        Some((
            location,
            self.segments.get(&location.segment)?.segment.clone(),
        ))
    }

    /// Number of segments, and the bytes they take on disk.
    pub(crate) fn in_use(&self) -> (usize, u64) {
        (
            self.segments.len(),
            self.segments
                .values()
                .map(|usage| usage.segment.bytes)
                .sum(),
        )
    }

    /// The oldest segment's number.
    pub(crate) fn first_segment(&self) -> Option<u64> {
        self.segments.first_key_value().map(|(seq, _)| *seq)
    }

    /// Takes out the oldest segments as long as they hold nothing live; never the newest of all.
    pub(crate) fn take_dead(&mut self) -> Vec<Arc<Segment>> {
        let mut dead = vec![];
        while self.segments.len() > 1
            && let Some(oldest) = self.segments.first_entry()
            && oldest.get().live_bytes == 0
        {
            dead.push(oldest.remove().segment);
        }
        dead
    }

    /// Whether moving what is live in the oldest segment to the tail is worth it: at least two
    /// segments are full, and at least half of all full ones is dead. So over time at most as much
    /// is moved as was appended.
    pub(crate) fn worth_moving(&self) -> bool {
        let full = self.segments.len().saturating_sub(1);
        let (bytes, live) = self
            .segments
            .values()
            .take(full)
            .fold((0, 0), |(bytes, live), usage| {
                (bytes + usage.segment.bytes, live + usage.live_bytes)
            });
        full >= 2 && live * 2 <= bytes
    }

    /// Live records of the oldest segment, at least one if there is any and then up to `bytes_max`.
    pub(crate) fn laggards(&self, bytes_max: u64) -> Vec<Laggard> {
        let Some((&oldest, usage)) = self.segments.first_key_value() else {
            return vec![];
        };
        let enough = usage.live_bytes.min(bytes_max);
        let mut found = vec![];
        let mut bytes = 0;
        for (&id, group) in &self.groups {
            let singles = [
                (Kind::Vote, &group.vote),
                (Kind::Committed, &group.committed),
                (Kind::PurgedUpTo, &group.purged),
                (Kind::Note, &group.note),
            ];
            let singles = singles.into_iter().filter_map(|(kind, latest)| {
                let Latest {
                    location,
                    index,
                    payload,
                } = latest.clone()?;
                Some(Laggard {
                    group: id,
                    kind,
                    index,
                    location,
                    payload: Some(payload),
                })
            });
            let entries = group
                .entries
                .iter()
                .zip(group.first..)
                .map(|(&location, index)| Laggard {
                    group: id,
                    kind: Kind::Moved,
                    index,
                    location,
                    payload: None,
                });
            for laggard in singles
                .chain(entries)
                .filter(|laggard| laggard.location.segment == oldest)
            {
                bytes += laggard.location.bytes();
                found.push(laggard);
                if bytes >= enough {
                    return found;
                }
            }
        }
        found
    }
}

impl GroupIndex {
    /// The index after the last entry.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Sets where an entry is; returns where it was.
    fn place(&mut self, index: u64, location: Location) -> Option<Location> {
        if self.entries.is_empty() {
            self.first = index;
        }
        while index < self.first {
            self.entries.push_front(Location::UNSEEN);
            self.first -= 1;
        }
        let at = usize::try_from(index - self.first).expect("a group's entries fit into memory");
        if at >= self.entries.len() {
            self.entries.resize(at + 1, Location::UNSEEN);
        }
        Some(std::mem::replace(&mut self.entries[at], location))
            .filter(|old| *old != Location::UNSEEN)
    }

    /// Drops entries from `index` on; returns where they were.
    fn truncate_from(&mut self, index: u64) -> Vec<Location> {
        let keep = index
            .saturating_sub(self.first)
            .min(self.entries.len() as u64);
        self.entries
            .split_off(usize::try_from(keep).expect("at most the length"))
            .into()
    }

    /// Drops entries up to `index`; returns where they were.
    fn purge(&mut self, index: u64) -> Vec<Location> {
        let gone = index
            .saturating_add(1)
            .saturating_sub(self.first)
            .min(self.entries.len() as u64);
        self.first += gone;
        self.entries
            .drain(..usize::try_from(gone).expect("at most the length"))
            .collect()
    }
}
