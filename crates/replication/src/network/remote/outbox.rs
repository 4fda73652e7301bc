//! What waits to be sent to a node: groups take turns, and each keeps its order.

use std::collections::{BTreeMap, VecDeque};

use longhaul_wal::GroupId;

/// A queue for each group. Whoever fills it sees to its bounds.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    /// Groups with something to send.
    queues: BTreeMap<GroupId, VecDeque<T>>,
    /// The same groups, in the order of their turns.
    turns: VecDeque<GroupId>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self {
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T> Outbox<T> {
    pub(super) fn push(&mut self, group: GroupId, item: T) {
        let queue = self.queues.entry(group).or_default();
        if queue.is_empty() {
            self.turns.push_back(group);
        }
        queue.push_back(item);
    }

    /// The next item of the group whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let group = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&group)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&group);
        } else {
            self.turns.push_back(group);
        }
        item
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
        self.turns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_take_turns_and_keep_their_order() {
        let mut outbox = Outbox::default();
        for n in 0..4 {
            outbox.push(GroupId(1), (1, n));
        }
        outbox.push(GroupId(2), (2, 0));
        outbox.push(GroupId(3), (3, 0));
        outbox.push(GroupId(2), (2, 1));
        let mut order = Vec::new();
        while let Some(item) = outbox.pop() {
            order.push(item);
        }
        let expected = [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (1, 3)];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_group_that_comes_back_waits_for_its_turn() {
        let mut outbox = Outbox::default();
        outbox.push(GroupId(1), 'a');
        outbox.push(GroupId(2), 'b');
        assert_eq!(outbox.pop(), Some('a'));
        outbox.push(GroupId(1), 'c');
        assert_eq!(outbox.pop(), Some('b'));
        assert_eq!(outbox.pop(), Some('c'));
        assert_eq!(outbox.pop(), None);
    }
}
