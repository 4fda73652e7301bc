//! What makes nodes a cluster: what they agree on, and how it is brought about. See `docs/cluster.md`.
//!
//! ```text
//! catalog     what is decided: members, task hubs, where replicas are to be     pure, replicated by the meta group
//! controller  from what is decided and what is observed to the next steps       pure, on the meta group's leader
//! codec       commands, replies and the catalog as bytes
//! meta        the meta group: a copy on every node, proposals from any, and the controller's runner
//! formation   how nodes without an identity become a cluster, or join one
//! ```

pub mod catalog;
mod codec;
pub mod controller;
mod file;
pub mod formation;
pub mod meta;
#[cfg(test)]
mod testing;

pub use codec::DecodeFault;
pub use file::FileError;
