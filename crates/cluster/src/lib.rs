//! What makes nodes a cluster: what they agree on, and how it is brought about. See `docs/cluster.md`.
//!
//! ```text
//! catalog     what is decided: members, task hubs, where replicas are to be     pure, replicated by the meta group
//! controller  from what is decided and what is observed to the next steps       pure, on the meta group's leader
//! ```

pub mod catalog;
pub mod controller;
