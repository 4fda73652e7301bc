//! One node of Longhaul: configuration, data directory, ports, and the wiring of every other crate.
//!
//! ```text
//! args ─► config ─► node ─┬─► data_dir, hubs          what is durable besides the log and the state
//!                         ├─► wiring of wal, storage, replication, partition, frontend
//!                         ├─► grpc                    the port of SDKs
//!                         └─► http                    status page, probes, metrics
//! ```
//!
//! It decides nothing about orchestrations. Nothing here is a singleton but the metrics recorder, the logs and, in the
//! binary, the allocator: two nodes can run in one process.

pub mod admin;
pub mod args;
mod banner;
mod call_endings;
pub mod config;
pub mod data_dir;
mod dev_cluster;
pub mod fault;
pub mod grpc;
pub mod http;
pub mod hubs;
pub mod listen;
mod membership;
pub mod node;
mod readiness;
mod replicas;
pub mod run;
pub mod shutdown;
pub mod telemetry;
mod wiring;
