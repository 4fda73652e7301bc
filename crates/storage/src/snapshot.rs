//! The files of an exported partition: what both stores agree on.
//!
//! ```text
//! dir/manifest         SnapshotManifest │ XXH3 of it, 8 bytes, little-endian; written last
//! dir/000000.sst …     rows in key order, as the manifest's format says
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::fault::fault;
use crate::records::{FileFormat, PartitionRow, SnapshotFile, SnapshotManifest};

/// Name of the file that holds the manifest.
pub const MANIFEST_FILE: &str = "manifest";

const CHECKSUM_LEN: usize = 8;
const COPY_BUFFER_BYTES: usize = 64 << 10;

/// Reads and checks the manifest in `dir`.
///
/// # Errors
/// [`TableFault`] if the file cannot be read or is damaged.
pub fn read_manifest(dir: &Path) -> Result<SnapshotManifest, TableFault> {
    let path = dir.join(MANIFEST_FILE);
    let content = std::fs::read(&path).map_err(|error| fault(path.display(), error))?;
    let damaged = || fault(path.display(), "the manifest is damaged");
    let (record, checksum) = content
        .split_last_chunk::<CHECKSUM_LEN>()
        .ok_or_else(damaged)?;
    if xxh3_64(record) != u64::from_le_bytes(*checksum) {
        return Err(damaged());
    }
    SnapshotManifest::decode(Bytes::copy_from_slice(record))
        .map_err(|corrupt| fault(path.display(), corrupt))
}

/// Makes the manifest of `files` and writes it, durably and after them.
pub(crate) fn write_manifest(
    dir: &Path,
    row: Option<PartitionRow>,
    incarnation: u64,
    format: FileFormat,
    files: Vec<SnapshotFile>,
) -> Result<SnapshotManifest, TableFault> {
    let nothing = || fault(dir.display(), "there is no checkpoint to export yet");
    let row = row.ok_or_else(nothing)?;
    let manifest = SnapshotManifest {
        partition: row.state.id,
        incarnation,
        applied: row.applied.ok_or_else(nothing)?,
        membership: row.membership,
        format,
        files,
    };
    let mut content = manifest.encode().to_vec();
    content.extend_from_slice(&xxh3_64(&content).to_le_bytes());
    write_synced(&dir.join(MANIFEST_FILE), &content)?;
    sync_dir(dir)?;
    Ok(manifest)
}

/// Reads the manifest in `dir` and checks that it and its files are what `partition` needs.
pub(crate) fn verify(
    dir: &Path,
    partition: PartitionId,
    format: FileFormat,
) -> Result<SnapshotManifest, TableFault> {
    let manifest = read_manifest(dir)?;
    if manifest.partition != partition {
        let reason = format!("this is partition {}, not {partition}", manifest.partition);
        return Err(fault(dir.display(), reason));
    }
    if manifest.format != format {
        let reason = format!("the files are {:?}, not {format:?}", manifest.format);
        return Err(fault(dir.display(), reason));
    }
    for expected in &manifest.files {
        if describe(dir, &expected.name)? != *expected {
            return Err(fault(
                dir.join(&expected.name).display(),
                "the file is damaged",
            ));
        }
    }
    Ok(manifest)
}

/// Length and checksum of a file as it is.
pub(crate) fn describe(dir: &Path, name: &str) -> Result<SnapshotFile, TableFault> {
    let path = dir.join(name);
    let broken = |error| fault(path.display(), error);
    let mut file = File::open(&path).map_err(broken)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(broken)?;
        if read == 0 {
            return Ok(SnapshotFile {
                name: name.to_owned(),
                bytes,
                checksum: hasher.digest(),
            });
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Creates a file with this content, durable but for its name.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), TableFault> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error: std::io::Error| fault(path.display(), error))
}

fn sync_dir(dir: &Path) -> Result<(), TableFault> {
    let sync = || File::open(dir)?.sync_all();
    sync().map_err(|error| fault(dir.display(), error))
}
