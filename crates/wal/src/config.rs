//! What a log is opened with: sizes, places, and the hooks by which it reports.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::batch::SECTOR_BYTES;
use crate::error::WalFault;
use crate::stats::Observer;

/// Bounds of [`Config::segment_bytes`]. The upper one keeps offsets within a segment in 32 bits.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 8 << 10..=1 << 30;

/// Bounds of [`Config::batch_bytes`].
const BATCH_BYTES: std::ops::RangeInclusive<u64> = 512..=256 << 20;

/// Whose log this is. Stands in every segment header and in the watermark, so that swapped
/// directories are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The node, never reused within its cluster.
    pub node_id: u64,
}

/// How to open a log.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the segments. Created if missing; nothing else may live in it.
    pub dir: PathBuf,
    /// Path of the watermark. Must lie outside [`Config::dir`], so that losing or restoring that
    /// directory is noticed.
    pub watermark: PathBuf,
    /// Size of a segment file. A multiple of 512, from 8 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// The payloads of the newest entries, up to this many bytes over all groups, are kept in
    /// memory for readers.
    pub cache_bytes: u64,
    /// The writer stops draining its queue into one batch at this size.
    pub batch_bytes: u64,
    /// Free segments kept for reuse.
    pub spare_segments_max: usize,
    /// The watermark is synced at the latest after this many batches.
    pub watermark_batches: u32,
    /// The watermark is synced when the writer had nothing to do for this long.
    pub watermark_idle: Duration,
    /// False only for data that may vanish with the machine: every sync becomes a no-op.
    pub sync: bool,
    /// Fill new segments with zeros instead of only reserving their blocks, for disks where first
    /// writes are slow.
    pub prewrite: bool,
    /// True if this node ran before: then finding no log at all is a loss, not a first start.
    pub must_exist: bool,
    /// How the log reports to its surroundings.
    pub hooks: Hooks,
}

impl Config {
    /// The defaults for a log in `dir`, with the watermark beside it (`wal` and `wal.watermark`).
    pub fn new(dir: impl Into<PathBuf>) -> Config {
        let dir = dir.into();
        Config {
            watermark: dir.with_extension("watermark"),
            dir,
            segment_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            batch_bytes: 8 << 20,
            spare_segments_max: 2,
            watermark_batches: 32,
            watermark_idle: Duration::from_millis(5),
            sync: true,
            prewrite: false,
            must_exist: false,
            hooks: Hooks::default(),
        }
    }

    /// Checks every limit and relation.
    ///
    /// # Errors
    /// The first one that does not hold, naming the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !SEGMENT_BYTES.contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(SECTOR_BYTES)
        {
            return Err(ConfigError::SegmentBytes(self.segment_bytes));
        }
        if !BATCH_BYTES.contains(&self.batch_bytes) {
            return Err(ConfigError::BatchBytes(self.batch_bytes));
        }
        if self.watermark_batches == 0 {
            return Err(ConfigError::WatermarkBatches);
        }
        if self.watermark.starts_with(&self.dir) {
            return Err(ConfigError::WatermarkInside {
                watermark: self.watermark.clone(),
                dir: self.dir.clone(),
            });
        }
        Ok(())
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// See [`Config::segment_bytes`].
    #[error("segment_bytes is {0}, but must be a multiple of 512 from 8 KiB to 1 GiB")]
    SegmentBytes(u64),
    /// See [`Config::batch_bytes`].
    #[error("batch_bytes is {0}, but must be from 512 bytes to 256 MiB")]
    BatchBytes(u64),
    /// See [`Config::watermark_batches`].
    #[error("watermark_batches is 0, but must be at least 1")]
    WatermarkBatches,
    /// See [`Config::watermark`].
    #[error("watermark {watermark} must not lie inside dir {dir}")]
    WatermarkInside {
        /// The watermark's path.
        watermark: PathBuf,
        /// The segments' directory.
        dir: PathBuf,
    },
}

/// Called once, with the first fault.
type OnFault = Arc<dyn Fn(WalFault) + Send + Sync>;

/// How the log reports to its surroundings.
#[derive(Clone)]
pub struct Hooks {
    /// Called from the writer on the first fault, before any callback sees it. A server ends the
    /// process here.
    pub on_fault: OnFault,
    /// Told of every batch, for metrics.
    pub observer: Arc<dyn Observer>,
    /// Called when work was queued or the log is closing. Only a writer that is driven by hand
    /// needs it. It is called in the middle of an operation and must not call the log.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks {
            on_fault: Arc::new(|_| {}),
            observer: Arc::new(()),
            wake: Arc::new(|| {}),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Config), expected: Result<(), ConfigError>) {
        let mut config = Config::new("data/wal");
        change(&mut config);
        assert_eq!(config.validate(), expected);
    }

    #[test]
    fn relations_are_checked_and_named() {
        check(|_| {}, Ok(()));
        check(
            |c| c.segment_bytes = 100_000,
            Err(ConfigError::SegmentBytes(100_000)),
        );
        check(
            |c| c.segment_bytes = 4096,
            Err(ConfigError::SegmentBytes(4096)),
        );
        check(
            |c| c.segment_bytes = 2 << 30,
            Err(ConfigError::SegmentBytes(2 << 30)),
        );
        check(|c| c.batch_bytes = 0, Err(ConfigError::BatchBytes(0)));
        check(
            |c| c.watermark_batches = 0,
            Err(ConfigError::WatermarkBatches),
        );
        check(
            |c| c.watermark = "data/wal/mark".into(),
            Err(ConfigError::WatermarkInside {
                watermark: "data/wal/mark".into(),
                dir: "data/wal".into(),
            }),
        );
    }
}
