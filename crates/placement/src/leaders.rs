//! Sharing leadership: every node leads as many partitions as any other, give or take one, if its replicas allow it.

use std::collections::{BTreeMap, VecDeque};

use longhaul_types::NodeId;

/// Puts the node that should lead a partition in front of its replicas.
pub(crate) fn share(replicas: &mut [Vec<NodeId>]) {
    let mut led: BTreeMap<NodeId, usize> = replicas.iter().flatten().map(|it| (*it, 0)).collect();
    for nodes in replicas.iter_mut() {
        let fewest = (0..nodes.len()).min_by_key(|place| led[&nodes[*place]]);
        if let Some(place) = fewest {
            nodes.swap(0, place);
            *led.get_mut(&nodes[0]).expect("counted") += 1;
        }
    }
    while let Some(path) = relief(replicas, &led) {
        for (partition, to) in path {
            let nodes = &mut replicas[partition];
            let place = nodes.iter().position(|it| *it == to);
            *led.get_mut(&nodes[0]).expect("counted") -= 1;
            nodes.swap(0, place.expect("a replica"));
            *led.get_mut(&to).expect("counted") += 1;
        }
    }
}

/// Partitions and their new leaders, such that a node that leads too many leads one less, one that leads two less or fewer
/// leads one more, and nobody else notices.
fn relief(replicas: &[Vec<NodeId>], led: &BTreeMap<NodeId, usize>) -> Option<Vec<(usize, NodeId)>> {
    let mut by_load: Vec<(usize, NodeId)> = led.iter().map(|(node, load)| (*load, *node)).collect();
    by_load.sort_unstable();
    by_load
        .into_iter()
        .rev()
        .find_map(|(load, from)| path(replicas, from, |node| led[&node] + 2 <= load))
}

/// The shortest chain of handovers from `from` to a node that `takes` one.
fn path(
    replicas: &[Vec<NodeId>],
    from: NodeId,
    takes: impl Fn(NodeId) -> bool,
) -> Option<Vec<(usize, NodeId)>> {
    let mut came: BTreeMap<NodeId, (usize, NodeId)> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(node) = open.pop_front() {
        if takes(node) {
            let mut steps = Vec::new();
            let mut at = node;
            while at != from {
                let (partition, before) = came[&at];
                steps.push((partition, at));
                at = before;
            }
            return Some(steps);
        }
        for (partition, nodes) in replicas.iter().enumerate() {
            if nodes.first() != Some(&node) {
                continue;
            }
            for next in &nodes[1..] {
                if *next != from && !came.contains_key(next) {
                    came.insert(*next, (partition, node));
                    open.push_back(*next);
                }
            }
        }
    }
    None
}
