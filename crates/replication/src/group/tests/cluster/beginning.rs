//! Groups that begin with a state.

use std::collections::BTreeSet;

use super::*;
use crate::{beginning::beginning, testing::State, types::Position};

over_every_network!(a_state_that_a_group_begins_with_is_given_to_whoever_joins);

async fn a_state_that_a_group_begins_with_is_given_to_whoever_joins(kind: Kind) {
    let network = Wires::new(kind);
    let mut node = Node::new(1, network.of(1));
    let restored = Bytes::from_static(b"restored");
    let voters = BTreeSet::from([node.id]);
    node.ledger = Ledger::holding(State {
        applied: beginning(voters.clone()),
        commands: vec![(Position { term: 0, index: 0 }, restored.clone())],
    });
    let group = node.start().await.expect("starts");
    let mut cluster = Cluster {
        nodes: vec![node],
        groups: vec![Some(group.clone())],
        network,
        acknowledged: vec![restored.clone()],
        proposed: 0,
    };
    // It has begun already.
    group.initialize(voters).await.expect("running");
    cluster.propose(&[0], 3).await;
    let new = cluster.add_node().await;
    cluster.add_learner(&[0], new).await;
    cluster.converge().await;
    let commands = cluster.nodes[new].ledger.commands();
    assert_eq!(commands.first(), Some(&restored));
    assert_eq!(commands.len(), 4);
    cluster.stop().await;
}
