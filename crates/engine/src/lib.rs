//! The partition state machine: pure, synchronous and deterministic.
//!
//! ```text
//!   worker's answer ──► turn::decide ──► Command ──► (replicated log) ──► apply ──► Reply    to the caller
//!   client's call   ──────────────────►     │                              │   └──► Effect   hints for the leader
//!                                           └── time and ids are inside    └──► Tables       the truth
//! ```
//!
//! Never in here: a clock, randomness, I/O, async, logging, bytes on disk. Payloads and history events are opaque
//! encoded bytes; [`history`] only writes them.

pub mod apply;
pub mod batch;
pub mod command;
mod commands;
pub mod dispatch;
pub mod effects;
pub mod entity;
pub mod history;
pub mod instance;
pub mod invariants;
pub mod key;
pub mod mem;
pub mod message;
pub mod outstanding;
pub mod query;
pub mod requests;
pub mod tables;
pub mod turn;
pub mod view;

pub use apply::apply;
pub use command::Command;
pub use effects::{Effect, Outcome, Reply};
pub use entity::Entity;
pub use instance::{Instance, Status};
pub use key::InstanceKey;
pub use outstanding::outstanding;
pub use requests::RequestId;
pub use tables::{TableFault, Tables};
pub use view::InstanceView;
