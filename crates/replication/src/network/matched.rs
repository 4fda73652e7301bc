//! What followers said they have, as the leader heard it: a node that later has less was set back to
//! an older copy of its disk, and has forgotten what it promised.
//!
//! The library takes for granted that this cannot happen. So it is not told, and goes on believing
//! that the node does not answer.

use std::{collections::BTreeMap, sync::Arc};

use openraft::{
    errors::RPCError,
    raft::{StreamAppendError, StreamAppendResult},
};
use parking_lot::Mutex;

use super::unreachable;
use crate::types::{LogId, Membership, NodeId, Position, TypeConfig};

/// What the followers of one replica have, while it leads; clones are about the same replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matched(Arc<Mutex<BTreeMap<NodeId, Follower>>>);

#[derive(Debug)]
struct Follower {
    /// Of the leadership in which it said so; what comes of a later one may replace the entries.
    term: u64,
    last: Option<LogId>,
    /// How often, in a row, it was found to have less.
    found_lacking: u32,
}

/// An answer may have been overtaken by a later one. So many in a row are no chance.
const SET_BACK: u32 = 3;

impl Matched {
    /// Called before an entry with members is written: who is none of them may begin anew.
    pub(crate) fn note_members(&self, members: &Membership) {
        let mut followers = self.0.lock();
        followers.retain(|follower, _| members.get_node(follower).is_some());
    }

    /// A follower has taken over a state of this position.
    pub(super) fn note_installed(&self, follower: NodeId, term: u64, last: Option<LogId>) {
        // That there is an answer at all says that the follower has it.
        drop(self.check(follower, term, Ok(last)));
    }

    /// Looks at what a follower answers to the leader of `term`, before the library does.
    ///
    /// # Errors
    /// It has lost what it had.
    pub(super) fn check(
        &self,
        follower: NodeId,
        term: u64,
        answer: StreamAppendResult<TypeConfig>,
    ) -> Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
        let mut followers = self.0.lock();
        let known = followers.entry(follower).or_insert(Follower {
            term,
            last: None,
            found_lacking: 0,
        });
        if known.term != term {
            known.term = term;
            known.last = None;
        }
        match &answer {
            Ok(last) => {
                known.last = (*last).max(known.last);
                known.found_lacking = 0;
            }
            Err(StreamAppendError::Conflict(at)) if known.last.as_ref() >= Some(at) => {
                known.found_lacking = known.found_lacking.saturating_add(1);
                if known.found_lacking == SET_BACK {
                    tracing::error!(
                        node = %follower,
                        had = ?known.last.map(Position::of),
                        missing = ?Position::of(*at),
                        "a node has lost a part of its log that it said it had; its data directory was set back to \
                         an older copy. It must be emptied, and join as a new node"
                    );
                }
                return Err(unreachable(format!("node {follower} has lost its log")));
            }
            Err(_) => {}
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);

    fn id(term: u64, index: u64) -> LogId {
        LogId::new_term_index(term, index)
    }

    fn has(index: u64) -> StreamAppendResult<TypeConfig> {
        Ok(Some(id(1, index)))
    }

    fn lacks(index: u64) -> StreamAppendResult<TypeConfig> {
        Err(StreamAppendError::Conflict(id(1, index)))
    }

    #[test]
    fn what_a_follower_never_had_it_may_lack() {
        let matched = Matched::default();
        assert!(matched.check(NODE, 1, lacks(9)).is_ok(), "asked too much");
        assert!(matched.check(NODE, 1, has(5)).is_ok(), "fine");
        assert!(matched.check(NODE, 1, lacks(6)).is_ok(), "asked too much");
        assert!(
            matched.check(NodeId(3), 1, lacks(5)).is_ok(),
            "another node"
        );
    }

    #[test]
    fn what_it_had_it_may_not() {
        let matched = Matched::default();
        assert!(matched.check(NODE, 1, has(5)).is_ok(), "fine");
        for index in [5, 3] {
            assert!(matched.check(NODE, 1, lacks(index)).is_err(), "lost");
        }
        assert!(matched.check(NODE, 1, has(2)).is_ok(), "an older answer");
        assert!(matched.check(NODE, 1, lacks(5)).is_err(), "still lost");
    }

    #[test]
    fn another_leadership_or_a_new_replica_begins_anew() {
        let matched = Matched::default();
        assert!(matched.check(NODE, 1, has(5)).is_ok(), "fine");
        assert!(matched.check(NODE, 2, lacks(5)).is_ok(), "entries replaced");
        assert!(matched.check(NODE, 2, has(5)).is_ok(), "fine");
        let voters = |ids: [u64; 2]| {
            let ids: std::collections::BTreeSet<NodeId> = ids.map(NodeId).into();
            Membership::new_with_defaults(vec![ids], [])
        };
        matched.note_members(&voters([1, 2]));
        assert!(matched.check(NODE, 2, lacks(5)).is_err(), "still a member");
        matched.note_members(&voters([1, 3]));
        assert!(
            matched.check(NODE, 2, lacks(5)).is_ok(),
            "it was emptied meanwhile"
        );
    }
}
