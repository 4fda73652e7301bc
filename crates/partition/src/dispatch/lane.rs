//! A queue of one kind of work in one hub, in which a head that nobody takes blocks nothing, and an instance with much
//! work does not keep others waiting.
//!
//! ```text
//!   class ─► ring of flows, by rank:   a ─► a1 a2 a3 …      take the first flow's first item;
//!                                      b ─► b1              what the flow has left goes to the end of the ring
//!                                      c ─► c1 c2
//! ```
//!
//! A flow is what its items belong to, an instance. Flows take turns, in the order in which they came, and so one that
//! comes waits for one item of each that is there, however many they have, and is never overtaken for ever by later
//! ones. A flow without items is forgotten. Every step costs the logarithm of what is queued.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::HashMap;

/// What filters look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) name: Arc<str>,
    pub(crate) version: Option<Arc<str>>,
}

/// Items of type `T` of flows `F`, pushed at either end; taken in turns over all classes a taker admits.
#[derive(Debug)]
pub(crate) struct Lane<F, T> {
    classes: HashMap<Class, Ring<F, T>>,
    /// Rank of the first flow of each class.
    heads: BTreeMap<i64, Class>,
    first_rank: i64,
    last_rank: i64,
    len: usize,
}

/// The flows of one class that have items, at least one.
#[derive(Debug)]
struct Ring<F, T> {
    flows: BTreeMap<i64, Flow<F, T>>,
    ranks: HashMap<F, i64>,
}

#[derive(Debug)]
struct Flow<F, T> {
    of: F,
    /// At least one.
    items: VecDeque<T>,
    /// How many of them, from the first, were pushed to the front, and are taken without waiting for a turn.
    urgent: usize,
}

impl<F, T> Default for Lane<F, T> {
    fn default() -> Self {
        Self {
            classes: HashMap::default(),
            heads: BTreeMap::new(),
            first_rank: 0,
            last_rank: 0,
            len: 0,
        }
    }
}

impl<F, T> Default for Ring<F, T> {
    fn default() -> Self {
        Self {
            flows: BTreeMap::new(),
            ranks: HashMap::default(),
        }
    }
}

impl<F: Clone + Eq + Hash, T> Lane<F, T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push_back(&mut self, class: &Class, of: &F, item: T) {
        self.len += 1;
        let ring = self.ring(class);
        if let Some(rank) = ring.ranks.get(of) {
            let flow = ring.flows.get_mut(rank).expect("a ranked flow is there");
            return flow.items.push_back(item);
        }
        self.last_rank += 1;
        let flow = Flow {
            of: of.clone(),
            items: VecDeque::from([item]),
            urgent: 0,
        };
        self.insert(class, self.last_rank, flow);
    }

    /// Puts an item before all others.
    pub(crate) fn push_front(&mut self, class: &Class, of: &F, item: T) {
        self.len += 1;
        let ring = self.ring(class);
        let rank = ring.ranks.get(of).copied();
        let mut flow = rank
            .and_then(|rank| self.remove(class, rank))
            .unwrap_or_else(|| Flow {
                of: of.clone(),
                items: VecDeque::new(),
                urgent: 0,
            });
        flow.items.push_front(item);
        flow.urgent += 1;
        self.first_rank -= 1;
        self.insert(class, self.first_rank, flow);
    }

    /// The item whose turn it is among the classes that `admit` lets through.
    pub(crate) fn pop(&mut self, mut admit: impl FnMut(&Class) -> bool) -> Option<(Class, T)> {
        let mut heads = self.heads.iter();
        let (&rank, class) = heads.find(|(_, class)| admit(class))?;
        let class = class.clone();
        let mut flow = self.remove(&class, rank).expect("a head is in its ring");
        let item = flow.items.pop_front().expect("a flow has items");
        flow.urgent = flow.urgent.saturating_sub(1);
        if !flow.items.is_empty() {
            let rank = if flow.urgent > 0 {
                rank
            } else {
                self.last_rank += 1;
                self.last_rank
            };
            self.insert(&class, rank, flow);
        }
        self.len -= 1;
        Some((class, item))
    }

    /// Removes a flow's items of any class that `matches`; answers how many there were.
    pub(crate) fn purge(&mut self, of: &F, mut matches: impl FnMut(&T) -> bool) -> usize {
        let ranks = |(class, ring): (&Class, &Ring<F, T>)| {
            let rank = ring.ranks.get(of)?;
            Some((class.clone(), *rank))
        };
        let found: Vec<(Class, i64)> = self.classes.iter().filter_map(ranks).collect();
        let before = self.len;
        for (class, rank) in found {
            let mut flow = self.remove(&class, rank).expect("a ranked flow is there");
            let mut kept = VecDeque::with_capacity(flow.items.len());
            let mut urgent = 0;
            for (place, item) in flow.items.into_iter().enumerate() {
                if matches(&item) {
                    self.len -= 1;
                } else {
                    urgent += usize::from(place < flow.urgent);
                    kept.push_back(item);
                }
            }
            flow.items = kept;
            flow.urgent = urgent;
            if !flow.items.is_empty() {
                self.insert(&class, rank, flow);
            }
        }
        before - self.len
    }

    /// What is queued, in no order.
    #[cfg(test)]
    pub(crate) fn items(&self) -> impl Iterator<Item = &T> {
        let flows = self.classes.values().flat_map(|ring| ring.flows.values());
        flows.flat_map(|flow| &flow.items)
    }

    fn ring(&mut self, class: &Class) -> &mut Ring<F, T> {
        if !self.classes.contains_key(class) {
            self.classes.insert(class.clone(), Ring::default());
        }
        self.classes.get_mut(class).expect("just made sure")
    }

    fn insert(&mut self, class: &Class, rank: i64, flow: Flow<F, T>) {
        let ring = self.ring(class);
        let head = ring.flows.keys().next().copied();
        ring.ranks.insert(flow.of.clone(), rank);
        ring.flows.insert(rank, flow);
        if head.is_none_or(|head| rank < head) {
            if let Some(head) = head {
                self.heads.remove(&head);
            }
            self.heads.insert(rank, class.clone());
        }
    }

    fn remove(&mut self, class: &Class, rank: i64) -> Option<Flow<F, T>> {
        let ring = self.classes.get_mut(class)?;
        let flow = ring.flows.remove(&rank)?;
        ring.ranks.remove(&flow.of);
        let next = ring.flows.keys().next().copied();
        if self.heads.remove(&rank).is_some()
            && let Some(next) = next
        {
            self.heads.insert(next, class.clone());
        }
        if next.is_none() {
            self.classes.remove(class);
        }
        Some(flow)
    }
}

#[cfg(test)]
mod tests;
