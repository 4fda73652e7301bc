//! Whose data it is: `identity.json`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use longhaul_types::NodeId;
use serde::{Deserialize, Serialize};

use super::durable_file::{self, FileError, Sync};

/// Layout of a data directory. A change that older releases cannot read gets a new number.
pub const FORMAT: u32 = 2;

const FILE_NAME: &str = "identity.json";

/// Which node of which cluster owns a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Drawn when the directory was first used; tells it from every other one.
    pub directory: [u8; 16],
    /// As which node it belongs to which cluster; `None` before it does.
    pub membership: Option<Membership>,
    /// How many times a node was started on it.
    pub incarnation: u64,
    /// When the directory was first used, in UTC.
    pub created: String,
    /// Whether the write-ahead log was opened once, so that its absence is a loss.
    pub has_log: bool,
}

/// A node's place in its cluster. Once given, it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The node, never reused within its cluster.
    pub node: NodeId,
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
    directory: String,
    cluster_id: Option<String>,
    node_id: Option<u64>,
    incarnation: u64,
    created: String,
    has_log: bool,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Identity {
    /// Of a directory that belongs to nobody yet.
    pub(super) fn create(directory: [u8; 16], now: SystemTime) -> Self {
        Self {
            directory,
            membership: None,
            incarnation: 0,
            created: humantime::format_rfc3339_seconds(now).to_string(),
            has_log: false,
        }
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
        let id = |text: &str, name: &str| {
            from_hex(text).ok_or_else(|| damaged(format!("{name} is not 32 hex digits")))
        };
        let membership = match (&record.cluster_id, record.node_id) {
            (None, None) => None,
            (Some(cluster), Some(node)) => Some(Membership {
                cluster_id: id(cluster, "cluster_id")?,
                node: NodeId(node),
            }),
            _ => return Err(damaged("cluster_id and node_id belong together".to_owned())),
        };
        Ok(Some(Self {
            directory: id(&record.directory, "directory")?,
            membership,
            incarnation: record.incarnation,
            created: record.created,
            has_log: record.has_log,
        }))
    }

    /// Makes this the identity of `dir`.
    pub(super) fn write(&self, dir: &Path, sync: Sync) -> Result<(), FileError> {
        let record = Record {
            format: FORMAT,
            directory: hex(&self.directory),
            cluster_id: self.membership.map(|it| hex(&it.cluster_id)),
            node_id: self.membership.map(|it| it.node.0),
            incarnation: self.incarnation,
            created: self.created.clone(),
            has_log: self.has_log,
        };
        let mut content =
            serde_json::to_vec_pretty(&record).expect("plain fields have a JSON form");
        content.push(b'\n');
        durable_file::replace(&dir.join(FILE_NAME), &content, sync)
    }
}

/// An id as people see it: 32 hex digits.
#[must_use]
pub fn hex(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = u128::from_str_radix(text, 16).ok().filter(|_| digits)?;
    Some(id.to_be_bytes())
}
