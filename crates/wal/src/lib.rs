//! The node's write-ahead log, shared by every Raft group on the node.
//!
//! One writer drains everything that was queued, writes it as one batch, syncs once, and only then
//! completes the callbacks, in order. While it syncs, the next batch gathers: group commit without
//! timers.
//!
//! ```text
//!  GroupLog::append ────┐                     ┌─► write ─► sync ─► watermark ─► callbacks
//!  GroupLog::save_vote ─┼─► queue ─► Writer ──┤
//!  GroupLog::purge ─────┘                     └─► free or recycle segments
//! ```
//!
//! What it never does: complete a callback before its bytes are durable, retry a failed sync, start
//! from a log that is shorter than what it once acknowledged, or look inside a payload. It knows
//! neither Raft nor an async runtime.
//!
//! The files on disk, and what each kind of damage leads to, are described in `docs/wal.md`.

mod batch;
mod cache;
mod config;
mod entry;
mod error;
mod files;
mod group_log;
mod index;
mod queue;
mod reader;
mod record;
mod recovery;
mod segment;
mod stall;
mod stats;
mod view;
mod volume;
mod wal;
mod watermark;
mod writer;

pub mod testing;

pub use batch::Position;
pub use config::{Config, ConfigError, Hooks, Identity};
pub use entry::{Entry, GroupId, PAYLOAD_BYTES_MAX};
pub use error::{FileError, Loss, OpenError, WalFault};
pub use files::{File, Files, Lock, RealFiles};
pub use group_log::GroupLog;
pub use queue::Done;
pub use recovery::Recovery;
pub use stats::{BatchStats, Observer, Stats};
pub use wal::Wal;
pub use writer::{Progress, Writer};
