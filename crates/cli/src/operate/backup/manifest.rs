//! `manifest.json`: what a backup holds.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The layout of a backup. A change that older releases cannot read gets a new number.
pub const FORMAT: u32 = 1;

/// The name of the file.
pub const FILE_NAME: &str = "manifest.json";

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The cluster that was copied.
    pub cluster: Cluster,
    /// When, in UTC, by the clock of the node that was asked.
    pub taken_at: String,
    /// The release that took it.
    pub version: String,
    /// What the rows mean, by number; a release reads those it knows.
    pub rows_format: u32,
    /// The task hubs.
    pub hubs: Hubs,
    /// Every partition, in order of numbers.
    pub partitions: Vec<Partition>,
}

/// What was fixed when the cluster was formed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// 32 hex digits.
    pub id: String,
    /// Into how many partitions instances are divided.
    pub partitions: u32,
    /// Replicas of each.
    pub replicas: u32,
}

/// The task hubs; their ids are part of the rows' keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hubs {
    /// Ids up to this one have been given.
    pub last_id: u32,
    /// Those that exist.
    pub listed: Vec<Hub>,
    /// Deleted ones, of which something may be left.
    pub doomed: Vec<u32>,
}

/// A task hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Its id.
    pub id: u32,
    /// As it was first written.
    pub name: String,
}

/// One partition: its copy, and the file that holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// What the rows are the state of.
    pub copy: PartitionCopy,
    /// Where they are.
    pub file: RowsFile,
}

/// What a partition's rows are the state of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionCopy {
    /// The partition's number.
    pub id: u32,
    /// Term of the last entry of the log that is in it.
    pub term: u64,
    /// Index of that entry.
    pub index: u64,
    /// With every other partition of which anything was sent or received.
    pub exchanged: Vec<Exchanged>,
}

/// Messages between this partition and another one, numbered from 1 in each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchanged {
    /// The other one.
    pub partition: u32,
    /// The last one put into the outbox for it.
    pub sent: u64,
    /// The last one that it was known to have, so that it is not in the outbox any more.
    pub acknowledged: u64,
    /// The last one received from it.
    pub received: u64,
}

/// A file of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsFile {
    /// Its name, without a directory.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// XXH3 with 64 bits over it, 16 hex digits.
    pub checksum: String,
}

/// Why a directory's manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error(
        "there is no {FILE_NAME}, which is written last: this is no backup, or one that was not finished"
    )]
    Missing,
    /// It cannot be read.
    #[error("{FILE_NAME} cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Written by another release.
    #[error(
        "{FILE_NAME} has format {0}, this binary reads format {FORMAT}; use the release that wrote it"
    )]
    Format(u32),
    /// Not what was written.
    #[error("{FILE_NAME} is damaged: {0}")]
    Damaged(String),
}

/// The file. `format` comes first and alone in what any release may change.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    /// Of `content`, written without white space.
    checksum: String,
    content: Manifest,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Manifest {
    /// That of the backup in `dir`.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read(dir.join(FILE_NAME)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing,
            _ => ManifestError::Unreadable(error),
        })?;
        let damaged = |error: serde_json::Error| ManifestError::Damaged(error.to_string());
        let FormatOnly { format } = serde_json::from_slice(&text).map_err(damaged)?;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        let record: Record = serde_json::from_slice(&text).map_err(damaged)?;
        if record.checksum != record.content.checksum() {
            return Err(ManifestError::Damaged(
                "its checksum is another one".to_owned(),
            ));
        }
        Ok(record.content)
    }

    /// Makes this the manifest of `dir`, durably and at once.
    ///
    /// # Errors
    /// It cannot be written; there is none then.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let record = Record {
            format: FORMAT,
            checksum: self.checksum(),
            content: self.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&record).expect("plain fields have a JSON form");
        text.push(b'\n');
        let written = dir.join(format!("{FILE_NAME}.new"));
        let mut file = File::create(&written)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(written, dir.join(FILE_NAME))?;
        File::open(dir)?.sync_all()
    }

    /// The copies, without where they are.
    #[must_use]
    pub fn copies(&self) -> Vec<PartitionCopy> {
        let partitions = self.partitions.iter();
        partitions.map(|partition| partition.copy.clone()).collect()
    }

    fn checksum(&self) -> String {
        let text = serde_json::to_vec(self).expect("plain fields have a JSON form");
        checksum_text(xxh3_64(&text))
    }
}

/// A checksum as manifests have it.
#[must_use]
pub fn checksum_text(checksum: u64) -> String {
    format!("{checksum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            taken_at: "2026-01-01T00:00:00Z".to_owned(),
            partitions: vec![Partition::default()],
            ..Manifest::default()
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        manifest().write(dir.path()).expect("written");
        assert_eq!(Manifest::read(dir.path()).expect("whole"), manifest());
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("listed").collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn what_was_changed_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(
            Manifest::read(dir.path()),
            Err(ManifestError::Missing)
        ));
        manifest().write(dir.path()).expect("written");
        let path = dir.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).expect("read");
        for (from, to, says) in [
            ("2026", "2025", "checksum"),
            ("\"format\": 1", "\"format\": 9", "format 9"),
            ("\"content\"", "\"contents\"", "damaged"),
            ("{", "", "damaged"),
        ] {
            std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
            let error = Manifest::read(dir.path()).expect_err(says).to_string();
            assert!(error.contains(says), "{from}: {error}");
        }
    }
}
