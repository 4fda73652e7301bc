//! Metrics of the write-ahead log.

use longhaul_wal::{BatchStats, Observer};
use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

const BATCHES: &str = "longhaul_wal_batches_total";
const ENTRIES: &str = "longhaul_wal_entries_total";
const BYTES: &str = "longhaul_wal_written_bytes_total";
const WRITE: &str = "longhaul_wal_write_duration_seconds";
const SYNC: &str = "longhaul_wal_sync_duration_seconds";

/// Counts batches; registered once, so that the writer only adds.
pub(crate) struct WalMeters {
    batches: Counter,
    entries: Counter,
    bytes: Counter,
    write: Histogram,
    sync: Histogram,
}

impl WalMeters {
    pub(crate) fn register() -> Self {
        describe_counter!(BATCHES, "Batches written; each is one write and one sync.");
        describe_counter!(ENTRIES, "Log entries appended.");
        describe_counter!(BYTES, "Bytes written.");
        describe_histogram!(WRITE, "Time to write a batch.");
        describe_histogram!(SYNC, "Time to sync a batch.");
        Self {
            batches: counter!(BATCHES),
            entries: counter!(ENTRIES),
            bytes: counter!(BYTES),
            write: histogram!(WRITE),
            sync: histogram!(SYNC),
        }
    }
}

impl Observer for WalMeters {
    fn batch(&self, batch: &BatchStats) {
        self.batches.increment(1);
        self.entries.increment(batch.entries);
        self.bytes.increment(batch.bytes);
        self.write.record(batch.write);
        self.sync.record(batch.sync);
    }
}
