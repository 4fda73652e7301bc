//! Which nodes hold which partitions: a pure function of the nodes there are.
//!
//! ```text
//! nodes ─► ring: every node at 128 places ─► replicas: the first distinct ones clockwise, ─► leaders: shared
//!          of a hash circle                  zones apart, nobody above its share             evenly
//! ```
//!
//! What comes out is what the cluster *wants*. It is written down once and then is the truth: nobody computes it again to
//! find a partition, so that a node that comes or goes moves nothing by itself.

mod leaders;
mod replicas;
mod ring;
#[cfg(test)]
mod tests;

use longhaul_types::{NodeId, PartitionCount, PartitionId};

use crate::ring::Ring;

/// A node that can hold replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// What fails together with others of the same name: a rack, a data centre. `None` is a zone of its own.
    pub zone: Option<Box<str>>,
}

/// The nodes of every partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    replicas: Vec<Vec<NodeId>>,
}

impl Placement {
    /// Spreads `partitions` over `candidates`, each with `factor` replicas, or as many as there are candidates.
    ///
    /// The replicas of a partition are on distinct nodes; in distinct zones as far as there are enough; and a node has at
    /// most its share of them, rounded up, unless zones forbid it. The same candidates give the same placement, in
    /// whatever order they are named, and a candidate more or less changes little besides its own part.
    #[must_use]
    pub fn new(partitions: PartitionCount, factor: usize, candidates: &[Candidate]) -> Self {
        let mut candidates = candidates.to_vec();
        candidates.sort_unstable_by_key(|candidate| candidate.node);
        candidates.dedup_by_key(|candidate| candidate.node);
        let ring = Ring::new(&candidates);
        let preferences = partitions.all().map(|it| ring.walk(it)).collect();
        let mut replicas = replicas::choose(preferences, factor, &candidates);
        leaders::share(&mut replicas);
        Self { replicas }
    }

    /// The replicas of a partition; the first is the one that should lead. Empty if there were no candidates.
    #[must_use]
    pub fn replicas(&self, partition: PartitionId) -> &[NodeId] {
        self.replicas
            .get(usize::from(partition.0))
            .map_or(&[], Vec::as_slice)
    }
}
