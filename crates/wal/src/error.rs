//! Why a log cannot be opened, and why it stopped.
//!
//! Everything here is a *fault* in the sense of the code base: the node stops loudly. No variant is
//! worth a retry.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::config::{ConfigError, Identity};
use crate::entry::{GroupId, PAYLOAD_BYTES_MAX};

/// A file operation that failed.
#[derive(Clone, Debug, Error)]
#[error("cannot {action} {path}: {source}")]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// The system's answer.
    pub source: Arc<io::Error>,
}

/// Why the log, or one operation on it, failed after it was opened.
#[derive(Clone, Debug, Error)]
pub enum WalFault {
    /// A read, write or sync failed. Nothing is acknowledged after it; whether the bytes are on
    /// disk is unknown.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record that was written no longer reads as it was written.
    #[error(
        "record of group {group}, index {index}, in {path} at byte {offset} no longer reads \
         as written"
    )]
    Damaged {
        /// Whose record.
        group: GroupId,
        /// Its log index.
        index: u64,
        /// The segment.
        path: PathBuf,
        /// Where in the segment.
        offset: u64,
    },
    /// The append would have left a hole or overwritten entries. Nothing of it was written.
    #[error("group {group} was asked to append index {found} where {expected} is next")]
    NotConsecutive {
        /// Which group.
        group: GroupId,
        /// The next index of the log.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// A payload over [`PAYLOAD_BYTES_MAX`]. Nothing of the operation was written.
    #[error(
        "group {group} was given a payload of {bytes} bytes, over the limit of {PAYLOAD_BYTES_MAX}"
    )]
    TooLarge {
        /// Which group.
        group: GroupId,
        /// The payload's size.
        bytes: usize,
    },
    /// The log was closed before the operation.
    #[error("the log is closed")]
    Closed,
    /// A callback or hook panicked on the writer's thread.
    #[error("the log's writer panicked")]
    Panicked,
}

/// Why a log cannot be opened.
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process, or another log in this one, has the directory open.
    #[error("{dir} is in use by another process; stop it, or choose another data directory")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The file belongs to another node or cluster.
    #[error(
        "{path} belongs to node {} of cluster {:02x?}, this is node {} of cluster {:02x?}; \
         a data directory must never move between nodes",
        found.node_id, found.cluster_id, expected.node_id, expected.cluster_id
    )]
    WrongIdentity {
        /// The file that says so.
        path: PathBuf,
        /// Who opened the log.
        expected: Identity,
        /// Whose it is.
        found: Identity,
    },
    /// The file was written by another version of the format.
    #[error(
        "{path} has format version {found}, this binary reads version {supported}; \
         run the release that wrote it"
    )]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        supported: u32,
    },
    /// There is a log, but its watermark is missing or unreadable, so nothing says how long the log
    /// must be.
    #[error(
        "the watermark {path} {reason}, so nothing tells whether the log is complete; {REPLACE}"
    )]
    WatermarkLost {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Records that were acknowledged are gone.
    #[error("the log in {dir} lost acknowledged records: {loss}; {REPLACE}")]
    LogLost {
        /// The log's directory.
        dir: PathBuf,
        /// What is missing.
        loss: Loss,
    },
    /// Bytes that were synced no longer read as written.
    #[error("{path} is damaged at byte {offset}: {reason}; {REPLACE}")]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage begins, at the latest.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

/// What a node with a damaged or shortened log may do.
const REPLACE: &str = "this node must not vote with what is left: move its data directory away \
    and let it rejoin its cluster as a new node, or restore a cluster of one node from its backup";

/// What is missing from a log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Loss {
    /// The node ran before, but neither log nor watermark exists.
    #[error("nothing is left of it")]
    Everything,
    /// A segment file is missing.
    #[error("segment {segment:016x} is missing")]
    Segment {
        /// Its number.
        segment: u64,
    },
    /// The log ends before the watermark.
    #[error("it ends at batch {found}, but batch {expected} was acknowledged")]
    Tail {
        /// The last batch known to have been acknowledged.
        expected: u64,
        /// The last batch found.
        found: u64,
    },
    /// The log reaches the watermark, but with other records than those acknowledged, as after
    /// restoring an old copy.
    #[error("batch {batch_seq} is not the one that was acknowledged")]
    History {
        /// The batch of the watermark.
        batch_seq: u64,
    },
}
