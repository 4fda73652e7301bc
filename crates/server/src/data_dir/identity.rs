//! Whose data it is: `identity.json`, written once when a directory is first used.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use longhaul_types::PartitionCount;
use serde::{Deserialize, Serialize};

use super::durable_file::{self, FileError, Sync};

/// Layout of a data directory. A change that older releases cannot read gets a new number.
pub const FORMAT: u32 = 1;

const FILE_NAME: &str = "identity.json";

/// Which node of which cluster owns a directory, and what was fixed when it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The node, never reused within its cluster.
    pub node_id: u64,
    /// Into how many partitions the cluster's instances are divided.
    pub partitions: PartitionCount,
    /// When the directory was first used, in UTC.
    pub created: String,
    /// Whether the write-ahead log was opened once, so that its absence is a loss.
    pub has_log: bool,
}

/// Why a directory's identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Written by another release.
    #[error(
        "{path} has format {found}, this binary reads format {FORMAT}; run the release that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not what was written.
    #[error(
        "{path} is damaged: {reason}; restore it from a copy, since nothing else tells whose data this is"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The file. `format` comes first and alone in what any release may change.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    cluster_id: String,
    node_id: u64,
    partitions: u16,
    created: String,
    has_log: bool,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Identity {
    /// A new cluster of one node.
    pub(super) fn create(
        cluster_id: [u8; 16],
        partitions: PartitionCount,
        now: SystemTime,
    ) -> Self {
        Self {
            cluster_id,
            node_id: 1,
            partitions,
            created: humantime::format_rfc3339_seconds(now).to_string(),
            has_log: false,
        }
    }

    /// The cluster, as people see it: 32 hex digits.
    #[must_use]
    pub fn cluster_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.cluster_id))
    }

    /// The identity of `dir`; `None` if it has none yet.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(FILE_NAME);
        let Some(content) = durable_file::read(&path)? else {
            return Ok(None);
        };
        let damaged = |reason: String| IdentityError::Damaged {
            path: path.clone(),
            reason,
        };
        let FormatOnly { format } =
            serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        if format != FORMAT {
            return Err(IdentityError::Format {
                path,
                found: format,
            });
        }
        let record: Record =
            serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        let cluster_id = (record.cluster_id.len() == 32)
            .then(|| u128::from_str_radix(&record.cluster_id, 16).ok())
            .flatten()
            .ok_or_else(|| damaged("cluster_id is not 32 hex digits".to_owned()))?;
        let partitions = PartitionCount::new(record.partitions)
            .ok_or_else(|| damaged("partitions is not a power of two".to_owned()))?;
        Ok(Some(Self {
            cluster_id: cluster_id.to_be_bytes(),
            node_id: record.node_id,
            partitions,
            created: record.created,
            has_log: record.has_log,
        }))
    }

    /// Makes this the identity of `dir`.
    pub(super) fn write(&self, dir: &Path, sync: Sync) -> Result<(), FileError> {
        let record = Record {
            format: FORMAT,
            cluster_id: self.cluster_hex(),
            node_id: self.node_id,
            partitions: self.partitions.get(),
            created: self.created.clone(),
            has_log: self.has_log,
        };
        let mut content =
            serde_json::to_vec_pretty(&record).expect("plain fields have a JSON form");
        content.push(b'\n');
        durable_file::replace(&dir.join(FILE_NAME), &content, sync)
    }
}
