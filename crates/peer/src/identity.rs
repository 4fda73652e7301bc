//! Who a node says it is.

use std::fmt;

use longhaul_types::NodeId;

/// Version of what nodes say to each other. Nodes of different versions do not talk.
pub const PROTOCOL_VERSION: u32 = 1;

/// A cluster's id, drawn when it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterId(pub [u8; 16]);

/// What a node says of itself when it meets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its id there.
    pub node: NodeId,
    /// Larger with every start of the node. A start with a smaller one than was seen is refused.
    pub incarnation: u64,
    /// Drawn at every start. Of two processes that are the same start of the same node, which a
    /// copied data directory makes possible, the second is refused.
    pub process: u64,
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}
