//! The record that describes an exported partition.

use bytes::Bytes;
use longhaul_proto::storage::v1 as wire;
use longhaul_types::PartitionId;

use super::partition::{position, position_to_wire};
use super::values::{out_of_range, partition_id, required};
use super::{Corrupt, Position, envelope};

/// Describes the files of an exported partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotManifest {
    /// The partition.
    pub partition: PartitionId,
    /// The copy the rows were exported from.
    pub incarnation: u64,
    /// The place in the log that the rows are the state of.
    pub applied: Position,
    /// The group's membership as of `applied`, opaque here.
    pub membership: Option<Bytes>,
    /// What the files are.
    pub format: FileFormat,
    /// The files, in key order; no two overlap.
    pub files: Vec<SnapshotFile>,
}

/// What the files of a snapshot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// RocksDB's sorted string tables.
    Sst,
    /// Keys and values with their lengths, as the in-memory store writes them.
    Rows,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name, without a directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// XXH3 with 64 bits over the whole file.
    pub checksum: u64,
}

impl SnapshotManifest {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        envelope::seal(&wire::SnapshotManifest {
            partition: self.partition.0.into(),
            incarnation: self.incarnation,
            applied: Some(position_to_wire(self.applied)),
            encoded_membership: self.membership.clone(),
            format: format_to_wire(self.format).into(),
            files: self.files.iter().map(file_to_wire).collect(),
        })
    }

    /// The manifest in a record.
    ///
    /// # Errors
    /// [`Corrupt`] says what is wrong with the record.
    pub fn decode(record: Bytes) -> Result<Self, Corrupt> {
        let manifest: wire::SnapshotManifest = envelope::open(record)?;
        Ok(Self {
            partition: partition_id(manifest.partition)?,
            incarnation: manifest.incarnation,
            applied: position(required(manifest.applied, "applied position")?),
            membership: manifest.encoded_membership,
            format: format(manifest.format)?,
            files: manifest
                .files
                .into_iter()
                .map(file)
                .collect::<Result<_, _>>()?,
        })
    }
}

fn format_to_wire(format: FileFormat) -> wire::FileFormat {
    match format {
        FileFormat::Sst => wire::FileFormat::Sst,
        FileFormat::Rows => wire::FileFormat::Rows,
    }
}

fn format(number: i32) -> Result<FileFormat, Corrupt> {
    match wire::FileFormat::try_from(number) {
        Ok(wire::FileFormat::Sst) => Ok(FileFormat::Sst),
        Ok(wire::FileFormat::Rows) => Ok(FileFormat::Rows),
        Ok(wire::FileFormat::Unspecified) | Err(_) => Err(out_of_range("file format", number)),
    }
}

fn file_to_wire(file: &SnapshotFile) -> wire::SnapshotFile {
    wire::SnapshotFile {
        name: file.name.clone(),
        bytes: file.bytes,
        checksum: file.checksum,
    }
}

/// A name that would leave the directory is refused: manifests come over the network.
fn file(file: wire::SnapshotFile) -> Result<SnapshotFile, Corrupt> {
    if file.name.is_empty() || file.name.starts_with('.') || file.name.contains(['/', '\\', '\0']) {
        return Err(Corrupt::FileName(file.name));
    }
    Ok(SnapshotFile {
        name: file.name,
        bytes: file.bytes,
        checksum: file.checksum,
    })
}
