//! What callers put into the log: entries of a group. Payloads are opaque here.

use std::fmt;

use bytes::Bytes;

/// The largest payload of one record, in bytes. Far above what the layers above allow; it bounds
/// what one batch holds.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Names one Raft group on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One Raft log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term of the leader that proposed it.
    pub term: u64,
    /// Its log index. Consecutive within a group.
    pub index: u64,
    /// Encoded by the caller; never looked into.
    pub payload: Bytes,
}
