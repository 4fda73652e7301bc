//! What a cluster says of its members: whether everything is where it should be again after a node was emptied.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;

/// `longhaul cluster status -o json`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Cluster {
    maybe_old: bool,
    meta_group: Voters,
    nodes: Vec<Member>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Deserialize)]
struct Voters {
    voters: BTreeSet<u64>,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: u64,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Partition {
    id: u32,
    leader: Option<u64>,
    voters: BTreeSet<u64>,
    wanted: BTreeSet<u64>,
    r#move: Option<serde_json::Value>,
}

impl Cluster {
    /// From what the command printed.
    ///
    /// # Errors
    /// If that is something else.
    pub(super) fn parse(printed: &str) -> Result<Self> {
        serde_json::from_str(printed).with_context(|| printed.to_owned())
    }

    /// What is not yet as it should be with so many nodes, each with a replica of everything; none if all is.
    pub(super) fn unsettled(&self, nodes: usize) -> Option<String> {
        if self.maybe_old {
            return Some("no majority of the meta group answers".to_owned());
        }
        let active = self.nodes.iter().filter(|node| node.state == "active");
        let active: BTreeSet<u64> = active.map(|node| node.id).collect();
        let left = self.nodes.iter().filter(|node| node.state != "gone");
        if active.len() != nodes || left.count() != nodes {
            return Some(format!("the members are {:?}", self.nodes));
        }
        if self.meta_group.voters != active {
            return Some(format!("the meta group is {:?}", self.meta_group.voters));
        }
        let settled = |partition: &&Partition| {
            partition.leader.is_some()
                && partition.r#move.is_none()
                && partition.voters == active
                && partition.wanted == active
        };
        let unsettled = self.partitions.iter().find(|it| !settled(it))?;
        Some(format!("partition {} is {unsettled:?}", unsettled.id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster() -> Value {
        let node =
            |id: u64, state: &str| json!({ "id": id, "name": "n", "state": state, "up": true });
        json!({
            "cluster_id": "00", "maybe_old": false,
            "meta_group": { "leader": 2, "voters": [2, 3, 4] },
            "nodes": [node(1, "gone"), node(2, "active"), node(3, "active"), node(4, "active")],
            "partitions": [{ "id": 0, "leader": 2, "voters": [2, 3, 4], "wanted": [4, 2, 3], "move": null, "learners": [] }],
        })
    }

    fn unsettled(at: &str, value: Value) -> Option<String> {
        let mut said = cluster();
        *said.pointer_mut(at).expect("it is there") = value;
        Cluster::parse(&said.to_string())
            .expect("it fits")
            .unsettled(3)
    }

    #[test]
    fn a_cluster_is_settled_when_only_those_who_are_there_have_a_say() {
        assert_eq!(unsettled("/maybe_old", json!(false)), None);
        for (at, value) in [
            ("/maybe_old", json!(true)),
            ("/nodes/0/state", json!("leaving")),
            ("/nodes/3/state", json!("draining")),
            ("/meta_group/voters", json!([1, 2, 3])),
            ("/partitions/0/voters", json!([1, 2, 3])),
            ("/partitions/0/wanted", json!([1, 2, 3])),
            ("/partitions/0/leader", json!(null)),
            (
                "/partitions/0/move",
                json!({ "add": 4, "remove": 1, "phase": "switching" }),
            ),
        ] {
            assert!(unsettled(at, value).is_some(), "{at}");
        }
    }
}
