//! Calls to instances, wherever they live: to the partition's replica here if it leads, else to the node that does.
//!
//! ```text
//!                   ┌─ this node leads ────────────────────► Partition
//!  frontend ─► Home ┤
//!                   └─ another does ─► Exchange ═══════════► Desk ─► Partition
//!                        ▲                                    │
//!                        └─ Table of leaders ◄── NotLeader ◄──┘
//! ```
//!
//! While nobody leads, or the leader cannot be reached, a call is held up for a little while and tried again; one that
//! may have taken effect is repeated only if that changes nothing. On a node of its own nothing of this costs anything.
//! Never in here: gRPC, storage, consensus.

mod answers;
mod attempts;
pub mod claims;
mod codec;
mod courier;
#[cfg(test)]
mod cuts;
mod desk;
mod errors;
mod home;
mod once;
mod operation;
mod router;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use answers::{AnswerKind, Judge, WorkerAnswer};
pub use courier::LateCourier;
pub use errors::{ProposeError, ReadError};
pub use home::Home;
pub use router::{ClusterSetup, Router, RouterSetup};
pub use table::Replicas;
