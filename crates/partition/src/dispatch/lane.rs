//! A queue of one kind of work in one hub, in which a head that nobody takes blocks nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foldhash::HashMap;

/// What filters look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) name: Arc<str>,
    pub(crate) version: Option<Arc<str>>,
}

/// Oldest first over all classes a taker admits; `T` is pushed at either end.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    classes: HashMap<Class, VecDeque<(i64, T)>>,
    /// Rank of the first item of each class that has any.
    heads: BTreeMap<i64, Class>,
    first_rank: i64,
    last_rank: i64,
    len: usize,
}

impl<T> Default for Lane<T> {
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

impl<T> Lane<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push_back(&mut self, class: &Class, item: T) {
        self.last_rank += 1;
        let rank = self.last_rank;
        self.len += 1;
        if let Some(queue) = self.classes.get_mut(class) {
            if queue.is_empty() {
                self.heads.insert(rank, class.clone());
            }
            queue.push_back((rank, item));
        } else {
            self.heads.insert(rank, class.clone());
            self.classes
                .insert(class.clone(), VecDeque::from([(rank, item)]));
        }
    }

    pub(crate) fn push_front(&mut self, class: &Class, item: T) {
        self.first_rank -= 1;
        let rank = self.first_rank;
        self.len += 1;
        let queue = self.classes.entry(class.clone()).or_default();
        if let Some((head, _)) = queue.front() {
            self.heads.remove(head);
        }
        self.heads.insert(rank, class.clone());
        queue.push_front((rank, item));
    }

    /// The oldest item of the classes that `admit` lets through.
    pub(crate) fn pop(&mut self, mut admit: impl FnMut(&Class) -> bool) -> Option<(Class, T)> {
        let (rank, class) = self
            .heads
            .iter()
            .find(|(_, class)| admit(class))
            .map(|(rank, it)| (*rank, it.clone()))?;
        self.heads.remove(&rank);
        let queue = self
            .classes
            .get_mut(&class)
            .expect("a class with a head has a queue");
        let (_, item) = queue.pop_front().expect("a class with a head has an item");
        match queue.front() {
            Some((next, _)) => {
                self.heads.insert(*next, class.clone());
            }
            None => {
                self.classes.remove(&class);
            }
        }
        self.len -= 1;
        Some((class, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Class {
        Class {
            name: name.into(),
            version: None,
        }
    }

    #[test]
    fn oldest_first_over_classes_and_the_front_before_all() {
        let mut lane = Lane::default();
        lane.push_back(&class("a"), 1);
        lane.push_back(&class("b"), 2);
        lane.push_back(&class("a"), 3);
        lane.push_front(&class("b"), 0);
        let order: Vec<i32> =
            std::iter::from_fn(|| lane.pop(|_| true).map(|(_, item)| item)).collect();
        assert_eq!(order, [0, 1, 2, 3]);
        assert_eq!(lane.len(), 0);
    }

    #[test]
    fn trap_52_what_nobody_takes_blocks_nothing() {
        let mut lane = Lane::default();
        lane.push_back(&class("a"), 1);
        lane.push_back(&class("b"), 2);
        assert_eq!(
            lane.pop(|class| &*class.name == "b").map(|it| it.1),
            Some(2)
        );
        assert_eq!(lane.pop(|class| &*class.name == "b"), None);
        assert_eq!(lane.len(), 1);
    }
}
