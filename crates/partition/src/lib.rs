//! The runtime around the engine: one replicated partition, led from here, and the workers it feeds.
//!
//! ```text
//!  propose ─► Proposer ─► Group (replication) ─► Machine ─► engine::apply ─► replies to callers
//!                                                  │ effects, if this replica leads
//!             Sessions ◄── wakes ── Leader { Dispatcher, Timers, Waiters, outbox hints }
//!              │ claim                                │
//!          worker streams                     jobs: timers, outbox, checkpoints
//! ```
//!
//! Everything in [`leader`](crate) is soft: it is rebuilt from state when leadership begins and dropped when it ends.
//! Never in here: gRPC, HTTP, or decisions about what a command does.

mod backlog;
mod backup;
mod checkpoint;
mod clock;
mod config;
mod core;
mod dispatch;
mod entities;
mod errors;
pub mod fuzzing;
mod jobs;
mod leader;
mod machine;
mod outbox;
pub mod paging;
mod partition;
mod partitions;
mod proposer;
mod queries;
mod replica;
mod retention;
mod seal;
mod settling;
#[cfg(test)]
mod testing;
mod timers;
mod transfer;
mod waiters;

pub use clock::{Clock, Randomness, SystemClock, SystemRandomness};
pub use config::Config;
pub use dispatch::{
    AbandonDelay, ActivityLease, BatchLease, Capabilities, Claimed, Elsewhere, EncodedItem,
    Filters, Found, LeaseId, Look, NameFilter, Outlook, PartialTooLarge, Proxy, Session,
    SessionSpec, Sessions, Taker, TurnLease, Watch, Watcher, WorkKind,
};
pub use errors::{ProposeError, ReadError};
pub use outbox::Courier;
pub use partition::{ActivityResult, CommittedHistory, Figures, Partition};
pub use partitions::{DiscardError, Partitions, Setup, StartError};
pub use retention::{RetentionAges, RetentionPolicy};
pub use waiters::WaitFor;
