//! Real nodes, real faults, and a verdict by somebody else: see `docs/chaos.md`.
//!
//! ```text
//! run ─► lab        nodes in network namespaces, each with a disk of its own
//!     ├► workload   clients and workers, by way of the service that stands before all nodes
//!     ├► faults     strike and heal, once a round
//!     └► record ─► verdict       what was seen from outside, and whether promises were kept
//! ```

pub mod args;
pub mod command;
pub mod dice;
pub mod faults;
pub mod lab;
pub mod probe;
pub mod record;
pub mod recovery;
pub mod repeating;
pub mod report;
pub mod run;
pub mod scene;
pub mod service;
pub mod verdict;
pub mod worker;
pub mod workers;
pub mod workload;
