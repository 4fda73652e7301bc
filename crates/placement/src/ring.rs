//! The circle of hashes: where each node stands, and whom a partition meets on its way around.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};

use hashring::HashRing;
use longhaul_types::{NodeId, PartitionId};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::Candidate;

/// Places of one node on the circle: enough that shares differ little before anything is levelled.
const PLACES: u64 = 128;

pub(crate) struct Ring(HashRing<Place, Stable>);

/// One of a node's places.
#[derive(Clone, Debug)]
struct Place {
    node: NodeId,
    hash: u64,
}

impl std::hash::Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hashes the bytes it is given and nothing else, so that every release and platform agrees.
struct Stable;

impl BuildHasher for Stable {
    type Hasher = Xxh3;

    fn build_hasher(&self) -> Xxh3 {
        Xxh3::new()
    }
}

impl Ring {
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        let mut ring = HashRing::with_hasher(Stable);
        let places = candidates.iter().flat_map(|candidate| {
            let node = candidate.node;
            (0..PLACES).map(move |place| Place {
                node,
                hash: hash_of([node.0, place]),
            })
        });
        ring.batch_add(places.collect());
        Self(ring)
    }

    /// Every node once, in the order in which `partition` meets them clockwise.
    pub(crate) fn walk(&self, partition: PartitionId) -> Vec<NodeId> {
        let key = hash_of([u64::MAX, u64::from(partition.0)]);
        let round = self.0.get_with_replicas(&key, self.0.len());
        let mut seen = BTreeSet::new();
        let nodes = round.into_iter().flatten().map(|place| place.node);
        nodes.filter(|node| seen.insert(*node)).collect()
    }
}

fn hash_of(numbers: [u64; 2]) -> u64 {
    xxh3_64(&numbers.map(u64::to_le_bytes).concat())
}
