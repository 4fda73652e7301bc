//! Deterministic simulation of Longhaul: the real log, storage, replication, engine, partition runtime and routing on
//! one thread, over simulated disks, clocks, randomness and links, through kills, losses of power and failing disks.
//!
//! Of one node:
//!
//! ```text
//!   seed ─► plan ─► simulation ─┬─ node      the real crates           ┐
//!                               ├─ clients   follow stories            ├─► moments ─► trace, invariants
//!                               └─ workers   run orchestrations, entities ┘
//! ```
//!
//! Of several nodes: [`cluster`]; clients, workers, moments and invariants are the same.
//!
//! A seed decides everything: settings, work, faults, the order in which jobs run. Two runs of one seed leave the same
//! trace and the same bytes on disk. Whoever judges a run sees only what clients and workers see.

mod clients;
pub mod clock;
pub mod cluster;
pub mod dice;
pub mod disk;
pub mod entities;
pub mod history;
mod idleness;
pub mod invariants;
pub mod moment;
pub mod node;
pub mod orchestrations;
pub mod plan;
pub mod randomness;
mod replay;
pub mod sabotage;
mod searches;
pub mod simulation;
mod stories;
mod workers;
pub mod world;

pub use sabotage::Sabotage;
pub use simulation::{Outcome, run};
