//! Copying a running cluster.
//!
//! ```text
//!  coordinator, on the node that was asked          copies, on every node
//!  1 task hubs
//!  2 hold    ──────────────────────────────────────► no partition ships messages to others
//!  3 pin     ──────────────────────────────────────► leaders keep a view of their state
//!  4 release of the hold; do the copies fit together? else again from 2
//!  5 task hubs, once more
//!  6 read    ──────────────────────────────────────► rows of the views, a chunk at a time
//! ```
//!
//! The hold lasts as long as views take, not as long as rows take. It only makes it likely that the copies fit together;
//! that they do is checked from the numbers in them (`longhaul_cli::operate::backup::cut`), whatever happened to leaders
//! and nodes meanwhile.

mod coordinator;
mod copies;
mod hubs;
mod pinned;

pub(super) use coordinator::{Coordinator, PartStream};
pub(super) use copies::Copies;

/// What the rows mean: keys and records as `docs/storage-format.md` has them. Changes when an older release could not
/// read them.
pub(super) const ROWS_FORMAT: u32 = 1;
