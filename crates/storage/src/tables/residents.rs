//! Instances and entities in memory.
//!
//! A slot per record; its index is its place, so that lists of changed records are lists of numbers. What matters to
//! callers never depends on the order of the map: only on keys, and on the order in which slots were filled.

use std::sync::Arc;

use foldhash::HashMap;
use longhaul_engine::key::InstanceKey;

use super::Statistics;
use super::look::{Change, Unwritten, Version};
use super::record::{Derived, Record};

/// Which slot a record is in, while it is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// Records in memory.
pub(super) struct Residents {
    places: HashMap<InstanceKey, Place>,
    slots: Vec<Option<Slot>>,
    free: Vec<Place>,
    /// Counts checkpoints, from 1.
    generation: u64,
    /// Slots changed in this generation, each once, in order of their first change.
    dirty: Vec<Place>,
    /// Slots that are frozen and not written yet.
    frozen: Vec<Place>,
    /// Slots changed since they were last written, by key; built when asked for, dropped when it may be wrong.
    unwritten: Option<Vec<Place>>,
    /// What the last look saw unwritten.
    seen: Unwritten,
    /// Slots changed in this generation since the last look, each once.
    unseen: Vec<Place>,
    bytes: usize,
    bytes_max: usize,
    /// Where the search for what to evict goes on.
    hand: usize,
    /// Nothing is only in rows: a key without a slot stands for nothing.
    has_all: bool,
}

struct Slot {
    key: InstanceKey,
    /// `None` is a record removed, until its row is removed too.
    record: Option<Record>,
    /// Generation of the last change, or [`WRITTEN`].
    changed: u64,
    /// Whether it is among the unseen.
    is_unseen: bool,
    /// The rows of the key, once what is frozen is written.
    stored: Stored,
    /// Estimate of the memory it takes.
    bytes: usize,
    /// Used since the hand last passed.
    recent: bool,
}

/// What is known of the rows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing: it was put or removed without having been read.
    Unknown,
    /// There are none.
    Nothing,
    /// There is a record, and what follows from it.
    Record(Derived),
}

/// A changed record as of the moment of freezing.
pub(super) struct FrozenRecord {
    pub(super) place: Place,
    pub(super) key: InstanceKey,
    /// `None` if it was removed.
    pub(super) record: Option<Record>,
    /// The rows to be replaced.
    pub(super) before: Stored,
    /// The rows to replace them with; never [`Stored::Unknown`].
    pub(super) after: Stored,
}

/// A record that has become a row.
pub(super) struct WrittenRecord {
    pub(super) place: Place,
    pub(super) record_bytes: usize,
    /// Equal to what was frozen, but in memory of its own; `None` if it was removed.
    pub(super) compact: Option<Record>,
}

/// The row is as the slot.
const WRITTEN: u64 = 0;

/// What a record takes beside its bytes and its structure: slot, map entry, allocations.
const OVERHEAD_BYTES: usize = size_of::<Option<Slot>>() + size_of::<(InstanceKey, Place)>() + 128;

/// After the limit is exceeded this part of it is freed, so that not every checkpoint has to look for room.
const FREED_PART: usize = 8;

impl Stored {
    /// Keys of the rows that follow from the record of `key`.
    pub(super) fn derived(self, key: &InstanceKey) -> Vec<Vec<u8>> {
        match self {
            Self::Record(derived) => derived.rows(key).collect(),
            Self::Nothing | Self::Unknown => Vec::new(),
        }
    }
}

impl Slot {
    fn change(&self) -> Change {
        (self.key.clone(), self.record.clone())
    }
}

impl Residents {
    pub(super) fn new(bytes_max: usize, has_all: bool) -> Self {
        Self {
            places: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            generation: WRITTEN + 1,
            dirty: Vec::new(),
            frozen: Vec::new(),
            unwritten: None,
            seen: Unwritten::default(),
            unseen: Vec::new(),
            bytes: 0,
            bytes_max,
            hand: 0,
            has_all,
        }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            resident_instances: self.places.len(),
            resident_bytes: self.bytes,
            dirty_instances: self.dirty.len(),
        }
    }

    /// Whether a key without a place stands for nothing, wherever.
    pub(super) fn has_all(&self) -> bool {
        self.has_all
    }

    pub(super) fn find(&self, key: &InstanceKey) -> Option<Place> {
        self.places.get(key).copied()
    }

    pub(super) fn get(&mut self, place: Place) -> Option<&Record> {
        let slot = self.slot(place);
        slot.recent = true;
        slot.record.as_ref()
    }

    /// The record, to be changed. While it is shared, frozen or being looked at, a copy is changed.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Record> {
        self.slot(place).record.as_ref()?;
        self.touch(place);
        self.slot(place).record.as_mut()
    }

    pub(super) fn put(&mut self, key: InstanceKey, record: Record, was_absent: bool) {
        let place = match self.find(&key) {
            Some(place) => place,
            None => self.fill(Slot {
                bytes: OVERHEAD_BYTES + record.structure_bytes() + key.id.as_str().len(),
                key,
                record: None,
                changed: WRITTEN,
                is_unseen: false,
                stored: match was_absent || self.has_all {
                    true => Stored::Nothing,
                    false => Stored::Unknown,
                },
                recent: true,
            }),
        };
        self.touch(place);
        self.slot(place).record = Some(record);
    }

    pub(super) fn remove(&mut self, key: &InstanceKey) {
        let place = match self.find(key) {
            Some(place) => place,
            None if self.has_all => return,
            // Perhaps a row that nobody has read yet.
            None => self.fill(Slot {
                bytes: OVERHEAD_BYTES + key.id.as_str().len(),
                key: key.clone(),
                record: None,
                changed: WRITTEN,
                is_unseen: false,
                stored: Stored::Unknown,
                recent: false,
            }),
        };
        self.touch(place);
        self.slot(place).record = None;
    }

    /// Takes in a record that was read from its row of `record_bytes`.
    pub(super) fn load(&mut self, key: InstanceKey, record: Record, record_bytes: usize) -> Place {
        self.make_room();
        self.fill(Slot {
            key,
            changed: WRITTEN,
            is_unseen: false,
            stored: Stored::Record(Derived::of(&record)),
            bytes: OVERHEAD_BYTES + record.structure_bytes() + record_bytes,
            record: Some(record),
            recent: true,
        })
    }

    /// Hands out everything that changed in this generation and begins the next.
    pub(super) fn freeze(&mut self) -> (u64, Vec<FrozenRecord>) {
        self.seen.frozen = self.seen.current.take().map(|seen| {
            let changes = self.take_unseen();
            Version::new(Some(seen), changes)
        });
        let generation = self.generation;
        self.generation += 1;
        self.unseen.clear();
        let places = std::mem::take(&mut self.dirty);
        self.frozen.clone_from(&places);
        let frozen = places.into_iter().map(|place| {
            let slot = self.slot(place);
            slot.is_unseen = false;
            let after = match &slot.record {
                Some(record) => Stored::Record(Derived::of(record)),
                None => Stored::Nothing,
            };
            FrozenRecord {
                place,
                key: slot.key.clone(),
                record: slot.record.clone(),
                before: std::mem::replace(&mut slot.stored, after),
                after,
            }
        });
        (generation, frozen.collect())
    }

    /// What was frozen is written: what did not change since may be forgotten. Answers what has become superfluous.
    pub(super) fn complete(
        &mut self,
        generation: u64,
        mut written: Vec<WrittenRecord>,
    ) -> (Vec<WrittenRecord>, Option<Arc<Version>>) {
        self.unwritten = None;
        self.frozen.clear();
        let mut ended = Vec::new();
        for written in &mut written {
            let place = written.place;
            let slot = self.slot(place);
            let compact = written.compact.as_ref();
            let structure_bytes = compact.map_or(0, Record::structure_bytes);
            let bytes = OVERHEAD_BYTES + structure_bytes + written.record_bytes;
            let bytes_before = std::mem::replace(&mut slot.bytes, bytes);
            let bytes_now = slot.bytes;
            let unchanged = slot.changed == generation;
            if unchanged {
                slot.changed = WRITTEN;
                std::mem::swap(&mut slot.record, &mut written.compact);
            }
            let removed = unchanged && slot.record.is_none();
            if unchanged && slot.record.as_ref().is_some_and(Record::has_ended) {
                ended.push(place);
            }
            self.bytes = self.bytes - bytes_before + bytes_now;
            if removed {
                self.vacate(place);
            }
        }
        self.let_go(&ended);
        self.make_room();
        (written, self.seen.frozen.take())
    }

    /// Places of all that changed since it was last written, by key.
    pub(super) fn unwritten(&mut self) -> &[Place] {
        if self.unwritten.is_none() {
            let mut places = [&self.frozen[..], &self.dirty[..]].concat();
            places.sort_unstable_by(|a, b| self.peek(*a).0.cmp(self.peek(*b).0));
            places.dedup();
            self.unwritten = Some(places);
        }
        self.unwritten.as_deref().unwrap_or_default()
    }

    /// All that changed since it was last written, as of now.
    pub(super) fn look(&mut self) -> Unwritten {
        if self.seen.frozen.is_none() && !self.frozen.is_empty() {
            let frozen = self.frozen.iter().map(|place| self.filled(*place));
            let unchanged = frozen.filter(|slot| slot.changed != self.generation);
            let changes = unchanged.map(Slot::change).collect();
            self.seen.frozen = Some(Version::new(None, changes));
        }
        if !self.unseen.is_empty() {
            let before = self.seen.current.take().filter(|seen| seen.may_go_on());
            if before.is_none() {
                self.unseen.clone_from(&self.dirty);
            }
            let changes = self.take_unseen();
            self.seen.current = Some(Version::new(before, changes));
        }
        self.seen.clone()
    }

    fn take_unseen(&mut self) -> Vec<Change> {
        let places = std::mem::take(&mut self.unseen);
        let changes = places.into_iter().map(|place| {
            let slot = self.slot(place);
            slot.is_unseen = false;
            slot.change()
        });
        changes.collect()
    }

    /// Key and record of a slot, as they are.
    pub(super) fn peek(&self, place: Place) -> (&InstanceKey, Option<&Record>) {
        let slot = self.filled(place);
        (&slot.key, slot.record.as_ref())
    }

    /// Everything in memory, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&InstanceKey, Option<&Record>)> {
        self.slots
            .iter()
            .flatten()
            .map(|slot| (&slot.key, slot.record.as_ref()))
    }

    fn filled(&self, place: Place) -> &Slot {
        self.slots[place.0 as usize]
            .as_ref()
            .expect("a place is a filled slot")
    }

    fn slot(&mut self, place: Place) -> &mut Slot {
        self.slots[place.0 as usize]
            .as_mut()
            .expect("a place is a filled slot")
    }

    /// The slot is used and is about to change.
    fn touch(&mut self, place: Place) {
        let generation = self.generation;
        let slot = self.slot(place);
        slot.recent = true;
        let is_unseen = std::mem::replace(&mut slot.is_unseen, true);
        let changed = std::mem::replace(&mut slot.changed, generation);
        if !is_unseen {
            self.unseen.push(place);
        }
        if changed != generation {
            self.dirty.push(place);
            self.unwritten = None;
        }
    }

    fn fill(&mut self, slot: Slot) -> Place {
        let key = slot.key.clone();
        self.bytes += slot.bytes;
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place.0 as usize] = Some(slot);
                place
            }
            None => {
                let next = u32::try_from(self.slots.len()).expect("memory ends long before");
                self.slots.push(Some(slot));
                Place(next)
            }
        };
        self.places.insert(key, place);
        place
    }

    fn vacate(&mut self, place: Place) {
        let slot = self.slots[place.0 as usize]
            .take()
            .expect("a place is a filled slot");
        self.bytes -= slot.bytes;
        self.places.remove(&slot.key);
        self.free.push(place);
    }

    /// Evicts instances that have just ended and been written, once memory is nearly full: they are hardly needed again.
    /// So what lives stays in memory, and what comes next finds theirs while it is warm.
    fn let_go(&mut self, ended: &[Place]) {
        for place in ended {
            if self.bytes <= self.goal() {
                return;
            }
            self.vacate(*place);
            self.has_all = false;
        }
    }

    /// Bytes in memory after there was no room.
    fn goal(&self) -> usize {
        self.bytes_max - self.bytes_max / FREED_PART
    }

    /// Evicts until the limit is kept or nothing written is left: what makes no work first, then what was not used
    /// lately.
    fn make_room(&mut self) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let goal = self.goal();
        let is_idle = |slot: &Slot| slot.record.as_ref().is_some_and(|r| !r.is_active());
        self.sweep(goal, |slot| {
            is_idle(slot) && !std::mem::take(&mut slot.recent)
        });
        self.sweep(goal, |slot| !std::mem::take(&mut slot.recent));
        self.sweep(goal, |_| true);
    }

    /// Passes over all slots once, evicting the written ones that `chosen` picks, until the goal is reached.
    fn sweep(&mut self, goal: usize, mut chosen: impl FnMut(&mut Slot) -> bool) {
        for _ in 0..self.slots.len() {
            if self.bytes <= goal {
                return;
            }
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(slot) = &mut self.slots[self.hand] else {
                continue;
            };
            if slot.changed == WRITTEN && chosen(slot) {
                let place = Place(u32::try_from(self.hand).expect("places are 32 bits"));
                self.vacate(place);
                self.has_all = false;
            }
        }
    }
}
