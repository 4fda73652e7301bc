//! Choosing replicas: first along the ring, then levelled.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::NodeId;

use crate::Candidate;

/// The replicas of each partition, which prefers nodes in the given order.
pub(crate) fn choose(
    preferences: Vec<Vec<NodeId>>,
    factor: usize,
    candidates: &[Candidate],
) -> Vec<Vec<NodeId>> {
    let mut loads = Loads::new(preferences.len() * factor.min(candidates.len()), candidates);
    let mut chosen: Vec<Vec<NodeId>> = preferences
        .into_iter()
        .map(|preference| {
            let mut replicas = Vec::new();
            while replicas.len() < factor {
                let Some(next) = loads.next(&preference, &replicas) else {
                    break;
                };
                loads.add(next);
                replicas.push(next);
            }
            replicas
        })
        .collect();
    loads.level(&mut chosen);
    chosen
}

struct Loads<'a> {
    zones: BTreeMap<NodeId, &'a str>,
    replicas: BTreeMap<NodeId, usize>,
    /// The share of one node, rounded up.
    share: usize,
}

impl<'a> Loads<'a> {
    fn new(replicas: usize, candidates: &'a [Candidate]) -> Self {
        let zones = candidates
            .iter()
            .filter_map(|it| Some((it.node, it.zone.as_deref()?)));
        Self {
            zones: zones.collect(),
            replicas: candidates.iter().map(|it| (it.node, 0)).collect(),
            share: replicas.div_ceil(candidates.len().max(1)),
        }
    }

    fn add(&mut self, node: NodeId) {
        *self.replicas.entry(node).or_default() += 1;
    }

    /// The first preferred node that is not a replica yet: in a new zone and below its share if there is one, else in a
    /// new zone, else below its share, else any.
    fn next(&self, preference: &[NodeId], replicas: &[NodeId]) -> Option<NodeId> {
        let rank = |node: &NodeId| {
            let same_zone = self.neighbours(*node, replicas) > 0;
            (same_zone, self.replicas[node] >= self.share)
        };
        let others = preference.iter().filter(|node| !replicas.contains(node));
        others.min_by_key(|node| rank(node)).copied()
    }

    /// How many of `replicas` are in the zone of `node`.
    fn neighbours(&self, node: NodeId, replicas: &[NodeId]) -> usize {
        let Some(zone) = self.zones.get(&node) else {
            return 0;
        };
        let zones = replicas.iter().filter_map(|it| self.zones.get(it));
        zones.filter(|it| *it == zone).count()
    }

    /// Hands replicas from nodes above their share to nodes below, as long as no two come closer by it.
    fn level(&mut self, chosen: &mut [Vec<NodeId>]) {
        while self.level_one(chosen) {}
    }

    fn level_one(&mut self, chosen: &mut [Vec<NodeId>]) -> bool {
        let by_load = |above: bool| -> BTreeSet<(usize, NodeId)> {
            let loads = self.replicas.iter().map(|(node, load)| (*load, *node));
            loads
                .filter(|(load, _)| {
                    if above {
                        *load > self.share
                    } else {
                        *load < self.share
                    }
                })
                .collect()
        };
        for (_, full) in by_load(true).into_iter().rev() {
            for (_, free) in by_load(false) {
                let movable = chosen
                    .iter_mut()
                    .find(|replicas| self.may_move(full, free, replicas));
                if let Some(replicas) = movable {
                    let place = replicas.iter().position(|it| *it == full);
                    replicas[place.expect("it has one")] = free;
                    *self.replicas.get_mut(&full).expect("a candidate") -= 1;
                    self.add(free);
                    return true;
                }
            }
        }
        false
    }

    fn may_move(&self, from: NodeId, to: NodeId, replicas: &[NodeId]) -> bool {
        if !replicas.contains(&from) || replicas.contains(&to) {
            return false;
        }
        let rest: Vec<NodeId> = replicas.iter().copied().filter(|it| *it != from).collect();
        self.neighbours(to, &rest) <= self.neighbours(from, &rest)
    }
}
