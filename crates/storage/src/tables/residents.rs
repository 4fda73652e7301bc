//! Instances in memory.
//!
//! A slot per instance; its index is its place, so that lists of changed instances are lists of numbers. What matters
//! to callers never depends on the order of the map: only on keys, and on the order in which slots were filled.

use std::sync::Arc;

use foldhash::HashMap;
use longhaul_engine::Instance;
use longhaul_engine::key::InstanceKey;

use super::Statistics;

/// Which slot an instance is in, while it is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// Instances in memory.
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
    bytes: usize,
    bytes_max: usize,
    /// Where the search for what to evict goes on.
    hand: usize,
    /// Nothing is only in rows: a key without a slot is no instance.
    has_all: bool,
}

struct Slot {
    key: InstanceKey,
    /// `None` is an instance removed, until its row is removed too.
    instance: Option<Arc<Instance>>,
    /// Generation of the last change, or [`WRITTEN`].
    changed: u64,
    /// Whether there is an active marker among the rows, once what is frozen is written; `None` if that is not known.
    marked: Option<bool>,
    /// Estimate of the memory it takes.
    bytes: usize,
    /// Used since the hand last passed.
    recent: bool,
}

/// A changed instance as of the moment of freezing.
pub(super) struct FrozenInstance {
    pub(super) place: Place,
    pub(super) key: InstanceKey,
    /// `None` if it was removed.
    pub(super) instance: Option<Arc<Instance>>,
    /// Whether to put or to remove the active marker; `None` to leave it.
    pub(super) mark: Option<bool>,
}

/// An instance that has become a row.
pub(super) struct WrittenInstance {
    pub(super) place: Place,
    pub(super) record_bytes: usize,
    /// Equal to what was frozen, but in memory of its own; `None` if it was removed.
    pub(super) compact: Option<Arc<Instance>>,
}

/// The row is as the slot.
const WRITTEN: u64 = 0;

/// What an instance takes beside the bytes of its record: slot, map entry, structure, allocations.
const OVERHEAD_BYTES: usize =
    size_of::<Option<Slot>>() + size_of::<(InstanceKey, Place)>() + size_of::<Instance>() + 128;

/// After the limit is exceeded this part of it is freed, so that not every checkpoint has to look for room.
const FREED_PART: usize = 8;

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
            bytes: 0,
            bytes_max,
            hand: 0,
            has_all,
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            resident_instances: self.places.len(),
            resident_bytes: self.bytes,
            dirty_instances: self.dirty.len(),
        }
    }

    /// Whether a key without a place is no instance, wherever.
    pub(super) fn has_all(&self) -> bool {
        self.has_all
    }

    pub(super) fn find(&self, key: &InstanceKey) -> Option<Place> {
        self.places.get(key).copied()
    }

    pub(super) fn get(&mut self, place: Place) -> Option<&Instance> {
        let slot = self.slot(place);
        slot.recent = true;
        slot.instance.as_deref()
    }

    /// The instance, to be changed. While it is frozen a copy is made, the frozen one stays as it is.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Instance> {
        self.slot(place).instance.as_ref()?;
        self.touch(place);
        self.slot(place).instance.as_mut().map(Arc::make_mut)
    }

    pub(super) fn put(&mut self, key: InstanceKey, instance: Instance, was_absent: bool) {
        let place = match self.find(&key) {
            Some(place) => place,
            None => self.fill(Slot {
                bytes: OVERHEAD_BYTES + key.id.as_str().len(),
                key,
                instance: None,
                changed: WRITTEN,
                marked: (was_absent || self.has_all).then_some(false),
                recent: true,
            }),
        };
        self.touch(place);
        self.slot(place).instance = Some(Arc::new(instance));
    }

    pub(super) fn remove(&mut self, key: &InstanceKey) {
        let place = match self.find(key) {
            Some(place) => place,
            None if self.has_all => return,
            // Perhaps a row that nobody has read yet.
            None => self.fill(Slot {
                bytes: OVERHEAD_BYTES + key.id.as_str().len(),
                key: key.clone(),
                instance: None,
                changed: WRITTEN,
                marked: None,
                recent: false,
            }),
        };
        self.touch(place);
        self.slot(place).instance = None;
    }

    /// Takes in an instance that was read from its row of `record_bytes`.
    pub(super) fn load(
        &mut self,
        key: InstanceKey,
        instance: Instance,
        record_bytes: usize,
    ) -> Place {
        self.make_room();
        let marked = Some(instance.is_active());
        self.fill(Slot {
            key,
            instance: Some(Arc::new(instance)),
            changed: WRITTEN,
            marked,
            bytes: OVERHEAD_BYTES + record_bytes,
            recent: true,
        })
    }

    /// Hands out everything that changed in this generation and begins the next.
    pub(super) fn freeze(&mut self) -> (u64, Vec<FrozenInstance>) {
        let generation = self.generation;
        self.generation += 1;
        let places = std::mem::take(&mut self.dirty);
        self.frozen.clone_from(&places);
        let frozen = places.into_iter().map(|place| {
            let slot = self.slot(place);
            let active = slot
                .instance
                .as_ref()
                .is_some_and(|instance| instance.is_active());
            let mark = (slot.marked != Some(active)).then_some(active);
            slot.marked = Some(active);
            FrozenInstance {
                place,
                key: slot.key.clone(),
                instance: slot.instance.clone(),
                mark,
            }
        });
        (generation, frozen.collect())
    }

    /// What was frozen is written: what did not change since may be forgotten. Answers what has become superfluous.
    pub(super) fn complete(
        &mut self,
        generation: u64,
        mut written: Vec<WrittenInstance>,
    ) -> Vec<WrittenInstance> {
        self.unwritten = None;
        self.frozen.clear();
        for written in &mut written {
            let place = written.place;
            let slot = self.slot(place);
            let bytes = OVERHEAD_BYTES + written.record_bytes;
            let bytes_before = std::mem::replace(&mut slot.bytes, bytes);
            let bytes_now = slot.bytes;
            let unchanged = slot.changed == generation;
            if unchanged {
                slot.changed = WRITTEN;
                std::mem::swap(&mut slot.instance, &mut written.compact);
            }
            let removed = unchanged && slot.instance.is_none();
            self.bytes = self.bytes - bytes_before + bytes_now;
            if removed {
                self.vacate(place);
            }
        }
        self.make_room();
        written
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

    /// Key and instance of a slot, as they are.
    pub(super) fn peek(&self, place: Place) -> (&InstanceKey, Option<&Instance>) {
        let slot = self.slots[place.0 as usize]
            .as_ref()
            .expect("a place is a filled slot");
        (&slot.key, slot.instance.as_deref())
    }

    /// Everything in memory, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&InstanceKey, Option<&Instance>)> {
        self.slots
            .iter()
            .flatten()
            .map(|slot| (&slot.key, slot.instance.as_deref()))
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
        if slot.changed != generation {
            slot.changed = generation;
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

    /// Evicts until the limit is kept or nothing written is left: ended ones first, then those not used lately.
    fn make_room(&mut self) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let goal = self.bytes_max - self.bytes_max / FREED_PART;
        let is_ended = |slot: &Slot| slot.instance.as_ref().is_some_and(|i| !i.is_active());
        self.sweep(goal, |slot| {
            is_ended(slot) && !std::mem::take(&mut slot.recent)
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
