//! Where an instance lives: the partition that owns a range of the hash.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::{HubId, InstanceId};

/// Number of a partition, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions the cluster has: a power of two, fixed when the cluster is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCount(u16);

impl PartitionCount {
    /// `None` unless `count` is a power of two from 1 to 1024.
    #[must_use]
    pub fn new(count: u16) -> Option<Self> {
        (count.is_power_of_two() && count <= 1024).then_some(Self(count))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// Every partition, in order.
    pub fn all(self) -> impl Iterator<Item = PartitionId> {
        (0..self.0).map(PartitionId)
    }

    /// The partition of an instance: the top bits of `xxh3_64(hub id (4 bytes, little-endian), 0, instance id)`.
    ///
    /// Part of the on-disk format: the tests hold vectors that must never change.
    #[must_use]
    pub fn partition_of(self, hub: HubId, instance: &InstanceId) -> PartitionId {
        let mut hasher = Xxh3::new();
        hasher.update(&hub.0.to_le_bytes());
        hasher.update(&[0]);
        hasher.update(instance.as_str().as_bytes());
        // Ranges, not a remainder, so that a partition can be split without touching the others.
        let top = (u128::from(hasher.digest()) * u128::from(self.0)) >> 64;
        PartitionId(u16::try_from(top).expect("below the partition count"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_are_counts() {
        assert!(PartitionCount::new(0).is_none());
        assert!(PartitionCount::new(3).is_none());
        assert_eq!(PartitionCount::new(8).map(PartitionCount::get), Some(8));
    }

    #[test]
    fn placement_never_changes() {
        let eight = PartitionCount::new(8).expect("power of two");
        let got: Vec<u16> = ["a", "order-1", "order-2", "ünï", "x:0001"]
            .iter()
            .map(|id| eight.partition_of(HubId(1), &InstanceId::trusted(*id)).0)
            .collect();
        assert_eq!(got, GOLDEN, "the hash is part of the on-disk format");
    }

    const GOLDEN: [u16; 5] = [4, 0, 7, 4, 2];
}
