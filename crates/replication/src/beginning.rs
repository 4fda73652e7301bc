//! Groups that begin with a state instead of nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    codec,
    machine::Applied,
    types::{Membership, NodeId, Position, StoredMembership},
};

/// Where the first entry of every log stands.
const FIRST: Position = Position { term: 0, index: 0 };

/// What storage has to say of a state with which a group is to begin, with these voters: that the first entry, which names
/// them, has been applied. The log of the group stays empty until the replica starts, so that whoever joins later is given
/// the state, and not a log that does not have it.
///
/// # Panics
/// There are no voters.
#[must_use]
pub fn beginning(voters: BTreeSet<NodeId>) -> Applied {
    let nodes: BTreeMap<NodeId, ()> = voters.iter().map(|node| (*node, ())).collect();
    let membership = Membership::new(vec![voters], nodes).expect("every voter is among the nodes");
    let stored = StoredMembership::new(Some(FIRST.log_id()), membership);
    Applied {
        position: Some(FIRST),
        membership: Some(codec::encode_membership(&stored)),
    }
}
