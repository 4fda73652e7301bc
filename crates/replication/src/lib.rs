//! Replicated logs of opaque bytes: one [`Group`] per partition and node, over the node's write-ahead log.
//!
//! ```text
//!            propose ─►┌────────┐ append ┌───────────┐ one fsync for all groups
//!  runtime ───────────►│ Group  ├───────►│ LogStore  ├────► longhaul-wal
//!     ▲  leadership    │ (Raft) │        └───────────┘
//!     └────────────────┤        │ apply  ┌──────────────┐
//!                      │        ├───────►│ StateMachine ├─► impl Machine (the partition's state)
//!                      └───┬────┘        └──────────────┘
//!                          └─ network: other nodes' replicas of the same group
//! ```
//!
//! This is the only crate that names the consensus library. It knows neither commands nor tables:
//! entries are bytes, and whoever owns the state implements [`Machine`].

mod beginning;
mod codec;
mod config;
mod divergence;
mod fault;
pub mod fuzzing;
mod group;
mod guard;
mod leadership;
mod log_store;
mod machine;
mod network;
mod note;
mod solo;
mod state_machine;
#[cfg(test)]
mod testing;
mod types;

pub use beginning::beginning;
pub use config::{CheckpointThread, GroupConfig};
pub use fault::{GroupFault, OnFault};
pub use group::{
    ChangeError, Group, GroupSetup, Membership, Progress, ProposeError, ReadError, StartError,
    Stopped,
};
pub use leadership::Leadership;
pub use longhaul_wal::{GroupId, GroupLog};
pub use machine::{
    Applied, Checkpoint, Machine, MachineFault, Snapshot, SnapshotReader, Stage, StagedState,
    Staging,
};
pub use network::{InProcess, Network, RemoteConfig};
pub use note::destroy_log;
pub use types::{NodeId, Position};
