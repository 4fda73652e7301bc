//! Every item that is queued, delayed or out, by the instance it belongs to. What is none of these has no entry.

use std::collections::BTreeMap;
use std::collections::btree_map;

use foldhash::HashMap;
use longhaul_engine::InstanceKey;

use super::{Item, WorkKind};

/// The items in hand.
#[derive(Debug, Default)]
pub(super) struct Docket {
    instances: HashMap<InstanceKey, Items>,
    /// How many are parked, by kind.
    parked: [u64; 3],
}

/// The items in hand of one instance; at least one.
#[derive(Debug, Default)]
struct Items {
    /// Or, if it is an entity, its batch.
    turn: Option<Entry>,
    activities: BTreeMap<u64, Entry>,
}

/// An item in hand.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    /// What went wrong with it lately, if anything did; few items have that.
    trouble: Option<Box<Trouble>>,
}

/// Where an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In its lane.
    Queued {
        /// Must match the lane's entry.
        ticket: u64,
        /// The delivery that was lost and may still be answered.
        lost: Option<u64>,
    },
    /// Waits for an alarm.
    Delayed {
        /// Must match the alarm's.
        ticket: u64,
    },
    /// At a worker.
    Out {
        /// The delivery.
        lease: u64,
    },
}

#[derive(Debug, Default)]
struct Trouble {
    /// Since it was last completed.
    setbacks: u32,
    /// Answers, in a row, that said the worker could not run it.
    failures: u32,
    /// The stream that abandoned it: others may take it first.
    abandoned_by: Option<u64>,
    parked: bool,
}

impl Place {
    /// The newest delivery that may be answered.
    pub(super) fn delivery(self) -> Option<u64> {
        match self {
            Self::Queued { lost, .. } => lost,
            Self::Delayed { .. } => None,
            Self::Out { lease } => Some(lease),
        }
    }
}

impl Entry {
    fn new(place: Place) -> Self {
        Self {
            place,
            trouble: None,
        }
    }

    /// Answers how many there were in a row.
    pub(super) fn count_setback(&mut self) -> u32 {
        let trouble = self.trouble.get_or_insert_default();
        trouble.setbacks = trouble.setbacks.saturating_add(1);
        trouble.setbacks
    }

    /// Answers how many there were in a row.
    pub(super) fn count_failure(&mut self) -> u32 {
        let trouble = self.trouble.get_or_insert_default();
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.failures
    }

    pub(super) fn set_abandoned_by(&mut self, session: u64) {
        self.trouble.get_or_insert_default().abandoned_by = Some(session);
    }

    /// Who abandoned it last; told once.
    pub(super) fn take_abandoned_by(&mut self) -> Option<u64> {
        self.trouble.as_mut()?.abandoned_by.take()
    }

    fn is_parked(&self) -> bool {
        self.trouble.as_ref().is_some_and(|it| it.parked)
    }
}

impl Docket {
    pub(super) fn get_mut(&mut self, item: &Item) -> Option<&mut Entry> {
        let items = self.instances.get_mut(item.key())?;
        match item {
            Item::Turn(_) | Item::Batch(_) => items.turn.as_mut(),
            Item::Activity(_, seq) => items.activities.get_mut(seq),
        }
    }

    pub(super) fn place(&self, item: &Item) -> Option<Place> {
        let items = self.instances.get(item.key())?;
        let entry = match item {
            Item::Turn(_) | Item::Batch(_) => items.turn.as_ref(),
            Item::Activity(_, seq) => items.activities.get(seq),
        };
        entry.map(|entry| entry.place)
    }

    /// Says where the item is now; what is known of it otherwise stays.
    pub(super) fn put(&mut self, item: &Item, place: Place) {
        if !self.instances.contains_key(item.key()) {
            self.instances.insert(item.key().clone(), Items::default());
        }
        let items = self.instances.get_mut(item.key()).expect("just made sure");
        match item {
            Item::Turn(_) | Item::Batch(_) => match &mut items.turn {
                Some(entry) => entry.place = place,
                None => items.turn = Some(Entry::new(place)),
            },
            Item::Activity(_, seq) => match items.activities.entry(*seq) {
                btree_map::Entry::Occupied(entry) => entry.into_mut().place = place,
                btree_map::Entry::Vacant(entry) => {
                    entry.insert(Entry::new(place));
                }
            },
        }
    }

    /// Forgets the item; answers where it was.
    pub(super) fn remove(&mut self, item: &Item) -> Option<Place> {
        let items = self.instances.get_mut(item.key())?;
        let entry = match item {
            Item::Turn(_) | Item::Batch(_) => items.turn.take(),
            Item::Activity(_, seq) => items.activities.remove(seq),
        }?;
        if items.turn.is_none() && items.activities.is_empty() {
            self.instances.remove(item.key());
        }
        self.parked[item.kind() as usize] -= u64::from(entry.is_parked());
        Some(entry.place)
    }

    /// Forgets the activities of an instance; answers where they were, in order.
    pub(super) fn remove_activities(&mut self, key: &InstanceKey) -> Vec<Place> {
        let Some(items) = self.instances.get_mut(key) else {
            return Vec::new();
        };
        let removed = std::mem::take(&mut items.activities);
        if items.turn.is_none() {
            self.instances.remove(key);
        }
        let parked = removed.values().filter(|entry| entry.is_parked()).count();
        self.parked[WorkKind::Activity as usize] -= parked as u64;
        removed.into_values().map(|entry| entry.place).collect()
    }

    /// Where the activities of an instance are, in order.
    pub(super) fn activities(&self, key: &InstanceKey) -> impl Iterator<Item = Place> {
        let items = self.instances.get(key);
        items
            .into_iter()
            .flat_map(|items| items.activities.values().map(|entry| entry.place))
    }

    /// Parks the item until it is forgotten; answers whether it was not parked before.
    pub(super) fn park(&mut self, item: &Item) -> bool {
        let Some(entry) = self.get_mut(item) else {
            return false;
        };
        let trouble = entry.trouble.get_or_insert_default();
        let newly = !std::mem::replace(&mut trouble.parked, true);
        self.parked[item.kind() as usize] += u64::from(newly);
        newly
    }

    /// How many are parked, by kind.
    pub(super) fn parked(&self) -> [u64; 3] {
        self.parked
    }

    /// Every item and where it is.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (Item, Place)> {
        self.instances.iter().flat_map(|(key, items)| {
            let turn = items.turn.iter();
            let turn = turn.map(|entry| (Item::main_of(key), entry.place));
            let activities = items.activities.iter();
            turn.chain(
                activities.map(|(seq, entry)| (Item::Activity(key.clone(), *seq), entry.place)),
            )
        })
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.parked == [0; 3]
    }
}
