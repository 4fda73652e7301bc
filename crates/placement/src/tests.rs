//! What every placement must be like, for any nodes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn nodes(ids: impl IntoIterator<Item = u64>) -> Vec<Candidate> {
    let candidate = |id| Candidate {
        node: NodeId(id),
        zone: None,
    };
    ids.into_iter().map(candidate).collect()
}

fn count(partitions: u16) -> PartitionCount {
    PartitionCount::new(partitions).expect("a power of two")
}

fn all(placement: &Placement, partitions: u16) -> Vec<Vec<u64>> {
    let replicas = |it| placement.replicas(it).iter().map(|node| node.0).collect();
    count(partitions).all().map(replicas).collect()
}

/// How often each node appears.
fn loads<'a>(nodes: impl IntoIterator<Item = &'a u64>) -> BTreeMap<u64, usize> {
    let mut loads = BTreeMap::new();
    for node in nodes {
        *loads.entry(*node).or_default() += 1;
    }
    loads
}

fn spread(loads: &BTreeMap<u64, usize>) -> usize {
    let (least, most) = (loads.values().min(), loads.values().max());
    most.zip(least).map_or(0, |(most, least)| most - least)
}

#[test]
fn placement_of_three_nodes_never_changes() {
    let placement = Placement::new(count(8), 3, &nodes(1..=3));
    assert_eq!(all(&placement, 8), GOLDEN, "releases must agree on it");
}

const GOLDEN: [[u64; 3]; 8] = [
    [1, 2, 3],
    [2, 1, 3],
    [3, 2, 1],
    [2, 3, 1],
    [3, 2, 1],
    [1, 2, 3],
    [3, 2, 1],
    [2, 3, 1],
];

#[test]
fn without_nodes_there_are_no_replicas_and_few_nodes_get_what_they_can_hold() {
    assert_eq!(all(&Placement::new(count(2), 3, &[]), 2), [[]; 2]);
    assert_eq!(all(&Placement::new(count(2), 3, &nodes([7])), 2), [[7]; 2]);
    let two = Placement::new(count(8), 3, &nodes([1, 2]));
    assert!(all(&two, 8).iter().all(|replicas| replicas.len() == 2));
    assert!(two.replicas(PartitionId(8)).is_empty());
}

#[test]
fn another_node_takes_its_share_and_moves_little_else() {
    let (before, after) = (nodes(1..=4), nodes(1..=5));
    let before = all(&Placement::new(count(64), 3, &before), 64);
    let after = all(&Placement::new(count(64), 3, &after), 64);
    let moved: usize = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after.iter().filter(|node| !before.contains(node)).count())
        .sum();
    let share = 64 * 3_usize / 5;
    assert!(moved >= share, "{moved}");
    assert!(moved <= share * 2, "{moved} of {}", 64 * 3);
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let zone = prop::option::of(prop::sample::select(vec!["a", "b", "c", "d"]));
    prop::collection::btree_map(1_u64..1000, zone, 1..12).prop_map(|nodes| {
        let candidate = |(id, zone): (u64, Option<&str>)| Candidate {
            node: NodeId(id),
            zone: zone.map(Into::into),
        };
        nodes.into_iter().map(candidate).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replicas_are_distinct_and_as_many_as_can_be(
        candidates in candidates(),
        factor in 1_usize..6,
        partitions in prop::sample::select(vec![1_u16, 4, 8, 16, 64]),
    ) {
        let placement = all(&Placement::new(count(partitions), factor, &candidates), partitions);
        for replicas in &placement {
            let distinct: BTreeSet<_> = replicas.iter().collect();
            prop_assert_eq!(distinct.len(), factor.min(candidates.len()));
            prop_assert_eq!(distinct.len(), replicas.len());
        }
    }

    #[test]
    fn zones_are_apart_as_far_as_there_are_enough(
        candidates in candidates(),
        factor in 1_usize..6,
    ) {
        let zones: BTreeMap<u64, String> = candidates
            .iter()
            .map(|it| (it.node.0, it.zone.as_deref().map_or(it.node.0.to_string(), str::to_owned)))
            .collect();
        let enough = zones.values().collect::<BTreeSet<_>>().len();
        for replicas in all(&Placement::new(count(16), factor, &candidates), 16) {
            let used: BTreeSet<_> = replicas.iter().map(|node| &zones[node]).collect();
            prop_assert_eq!(used.len(), factor.min(enough));
        }
    }

    #[test]
    fn shares_are_even_without_zones(
        ids in prop::collection::btree_set(1_u64..1000, 1..12),
        factor in 1_usize..6,
        partitions in prop::sample::select(vec![1_u16, 4, 8, 16, 64]),
    ) {
        let candidates = nodes(ids.iter().copied());
        let placement = all(&Placement::new(count(partitions), factor, &candidates), partitions);
        let held = loads(placement.iter().flatten());
        let share = (usize::from(partitions) * factor.min(ids.len())).div_ceil(ids.len());
        prop_assert!(held.values().all(|load| *load <= share), "{held:?}");
        let mut led = loads(placement.iter().map(|replicas| &replicas[0]));
        if factor >= ids.len() {
            // Every node can lead every partition.
            for id in &ids {
                led.entry(*id).or_default();
            }
            prop_assert!(spread(&led) <= 1, "{led:?}");
        }
        // Nobody leads two more than a replica that could take one over.
        for replicas in &placement {
            for other in replicas {
                let of = |node: &u64| led.get(node).copied().unwrap_or_default();
                prop_assert!(of(&replicas[0]) <= of(other) + 1, "{led:?}");
            }
        }
    }

    #[test]
    fn order_and_repetition_of_candidates_do_not_matter(candidates in candidates()) {
        let mut shuffled = candidates.clone();
        shuffled.reverse();
        shuffled.extend_from_slice(&candidates);
        prop_assert_eq!(
            Placement::new(count(16), 3, &shuffled),
            Placement::new(count(16), 3, &candidates)
        );
    }
}
