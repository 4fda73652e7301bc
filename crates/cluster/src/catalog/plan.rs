//! Where the replicas of one partition are, and how they get where they are wanted.
//!
//! ```text
//!  settled ─Move─► catching up: the new replica learns ─Switch─► switching: voters change ─Settle─► settled
//! ```

use longhaul_types::NodeId;

/// A replica that comes, one that goes, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Gets a replica.
    pub add: Option<NodeId>,
    /// Loses its replica.
    pub remove: Option<NodeId>,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The new replica receives what there is, and votes on nothing.
    CatchingUp,
    /// The group's voters change.
    Switching,
}

/// What is decided about one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes whose replicas vote. Empty until the partition has been placed.
    pub voters: Vec<NodeId>,
    /// The first voters, which never change: the first of them begins the group.
    pub founders: Vec<NodeId>,
    /// Nodes that should have the replicas in the end; the first should lead.
    pub wanted: Vec<NodeId>,
    /// The move that is under way.
    pub moving: Option<(Move, Phase)>,
}

impl Plan {
    /// Whether `node` has a replica, votes or learns.
    #[must_use]
    pub fn holds(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learner() == Some(node)
    }

    /// The node that gets a replica.
    #[must_use]
    pub fn learner(&self) -> Option<NodeId> {
        self.moving.and_then(|(change, _)| change.add)
    }

    /// The voters after the move that is under way.
    #[must_use]
    pub fn next_voters(&self) -> Vec<NodeId> {
        let Some((Move { add, remove }, _)) = self.moving else {
            return self.voters.clone();
        };
        let stay = self.voters.iter().copied();
        stay.filter(|node| Some(*node) != remove)
            .chain(add)
            .collect()
    }

    /// What brings the replicas one step closer to where they are wanted.
    #[must_use]
    pub fn next_move(&self) -> Option<Move> {
        let missing = |from: &[NodeId], of: &[NodeId]| {
            let mut missing = from.iter().filter(|node| !of.contains(node));
            missing.next().copied()
        };
        let change = Move {
            add: missing(&self.wanted, &self.voters),
            remove: missing(&self.voters, &self.wanted),
        };
        let differs = change.add.is_some() || change.remove.is_some();
        (self.moving.is_none() && differs).then_some(change)
    }

    /// Where the replicas should be in the end. A partition that has none begins with all of them.
    pub(super) fn want(&mut self, wanted: Vec<NodeId>) {
        if self.voters.is_empty() {
            self.voters.clone_from(&wanted);
            self.founders.clone_from(&wanted);
        }
        self.wanted = wanted;
    }

    /// Of this and the functions below: false if it does not follow from the plan, which then is as it was.
    pub(super) fn begin(&mut self, change: Move) -> bool {
        if self.moving.is_some_and(|(begun, _)| begun == change) {
            return true;
        }
        if self.next_move() != Some(change) {
            return false;
        }
        self.moving = Some((change, Phase::CatchingUp));
        true
    }

    pub(super) fn switch(&mut self, add: Option<NodeId>) -> bool {
        match &mut self.moving {
            Some((change, phase)) if change.add == add => {
                *phase = Phase::Switching;
                true
            }
            _ => false,
        }
    }

    pub(super) fn settle(&mut self, voters: &[NodeId]) -> bool {
        match self.moving {
            Some((_, Phase::Switching)) if same(voters, &self.next_voters()) => {
                self.voters = self.next_voters();
                self.moving = None;
                true
            }
            Some(_) => false,
            None => same(voters, &self.voters),
        }
    }
}

/// Whether two lists of distinct nodes name the same ones.
#[must_use]
pub(crate) fn same(a: &[NodeId], b: &[NodeId]) -> bool {
    a.len() == b.len() && a.iter().all(|node| b.contains(node))
}
