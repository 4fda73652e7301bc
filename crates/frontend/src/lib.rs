//! gRPC for the SDKs: `TaskHubSidecarService` over the partitions.
//!
//! ```text
//!   client ─► task_hub_service ─► from_proto ─► Partition ─► to_proto, status ─► answer
//!   worker ─► worker_stream    ◄─ work_item   ◄─ Session (claims what this stream can take)
//! ```
//!
//! Only this crate knows both the wire and the engine's types. It decides nothing about orchestrations, keeps no state
//! of them, and holds stored payloads as the bytes they are.

#[cfg(test)]
mod bad_input;
mod config;
mod from_proto;
pub mod fuzzing;
mod history_chunks;
mod hubs;
mod limits;
mod metadata;
mod meters;
mod paging;
mod refusals;
mod rpc;
pub mod spans;
mod status;
mod task_hub_service;
#[cfg(test)]
mod testing;
mod to_proto;
mod transport_refusals;
mod work_item;
mod worker_stream;

pub use config::{Config, ConfigError};
pub use history_chunks::HistoryChunks;
pub use hubs::{ChangeRefused, Existing, Hubs, UnknownHub};
pub use limits::Limits;
pub use task_hub_service::{Dependencies, Server, TaskHubService, service};
pub use transport_refusals::{Answer, Translated};
pub use worker_stream::WorkerStream;
