//! What the log tells about itself.

use std::time::Duration;

/// Counters since the log was opened, and gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches written. Each is one write and one sync.
    pub batches: u64,
    /// Syncs of the watermark, which no caller waits for.
    pub watermark_syncs: u64,
    /// Bytes written in batches, with headers and padding.
    pub bytes: u64,
    /// Entries appended.
    pub entries: u64,
    /// Records moved to the tail so that an old segment could be freed.
    pub moved: u64,
    /// Segments in use.
    pub segments: u64,
    /// Duration of the latest sync of a batch, in nanoseconds.
    pub last_sync_ns: u64,
    /// Bytes of records that wait for the writer.
    pub queued_bytes: u64,
}

/// One written and synced batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchStats {
    /// Records in it, of every kind.
    pub records: u64,
    /// Entries appended in it.
    pub entries: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// Time spent writing it.
    pub write: Duration,
    /// Time spent syncing it.
    pub sync: Duration,
}

/// Sees every batch, from the writer, after its sync and before its callbacks. Must not block.
pub trait Observer: Send + Sync {
    /// A batch became durable.
    fn batch(&self, batch: &BatchStats);
}

/// Sees nothing.
impl Observer for () {
    fn batch(&self, _batch: &BatchStats) {}
}
