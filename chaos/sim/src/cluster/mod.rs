//! Deterministic simulation of a cluster: several nodes, each the real thing over a machine of its own, and a network
//! between them in which everything takes time and nothing can be relied on.
//!
//! ```text
//!   seed ─► plan ─► Simulation ─ goes on in small steps ─┬─ Net          links, delays, cuts
//!                       │                                ├─ Host ─ Process  (a runtime each)
//!                       └─ troubles, clients that move   └─ Host ─ Process
//! ```
//!
//! Troubles come first. Then they end, everything has to come to rest, and every replica has to be the same.

mod host;
mod moves;
mod network;
mod panics;
mod plan;
mod process;
mod rest;
mod shared;
mod simulation;
mod troubles;

pub use simulation::{moves_replicas, run};
