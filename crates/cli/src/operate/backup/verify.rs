//! `longhaul backup verify`: whether a backup is what was written.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use super::super::{Failure, Outcome, Output, Session};
use super::cut;
use super::manifest::{Manifest, ManifestError, RowsFile, checksum_text};
use super::rows::RowReader;

const BUFFER_BYTES: usize = 1 << 20;

/// Something that is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not one copy of each partition.
    #[error("it has {found} partitions in the wrong order or number, not {expected}")]
    Partitions {
        /// As many as there are.
        found: usize,
        /// As many as the cluster has.
        expected: u32,
    },
    /// A file that is not there, or cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// Its name.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file that is not what was written.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// Its name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Copies of different moments.
    #[error("{0}")]
    Inconsistent(cut::Inconsistent),
}

pub(super) fn execute(
    dir: &Path,
    output: Output,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    let failed = |error: &ManifestError| Failure::failed(format!("{}: {error}", dir.display()));
    let manifest = Manifest::read(dir).map_err(|error| failed(&error))?;
    let problems = problems(dir, &manifest);
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = format!(
            "{} cannot be restored:\n{}",
            dir.display(),
            lines.join("\n")
        );
        return Err(Failure::failed(message));
    }
    let rows: u64 = manifest.partitions.iter().map(|it| it.file.rows).sum();
    let bytes: u64 = manifest.partitions.iter().map(|it| it.file.bytes).sum();
    let (count, cluster) = (manifest.partitions.len(), &manifest.cluster.id);
    let taken_at = &manifest.taken_at;
    let said = || {
        format!(
            "whole: {count} partitions of cluster {cluster} as of {taken_at}, {rows} rows, {bytes} bytes"
        )
    };
    let result = || {
        json!({
            "whole": true,
            "cluster_id": cluster,
            "taken_at": taken_at,
            "version": manifest.version,
            "partitions": count,
            "rows": rows,
            "bytes": bytes,
        })
    };
    session.print(output, said, result)?;
    Ok(Outcome::Done)
}

/// Everything that is wrong with the backup in `dir`, which has this manifest. Reads all of it.
#[must_use]
pub fn problems(dir: &Path, manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (found, expected) = (manifest.partitions.len(), manifest.cluster.partitions);
    let numbers = manifest.partitions.iter().map(|it| it.copy.id);
    if !numbers.eq(0..expected) {
        problems.push(Problem::Partitions { found, expected });
    }
    let files = manifest.partitions.iter().map(|it| &it.file);
    problems.extend(files.filter_map(|file| problem_of(dir, file)));
    problems.extend(cut::inconsistency(&manifest.copies()).map(Problem::Inconsistent));
    problems
}

fn problem_of(dir: &Path, expected: &RowsFile) -> Option<Problem> {
    let file = expected.name.clone();
    if Path::new(&file).file_name() != Some(file.as_ref()) {
        let reason = "it is not the name of a file in the backup".to_owned();
        return Some(Problem::Damaged { file, reason });
    }
    match read(&dir.join(&file)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let reason = error.to_string();
            Some(Problem::Damaged { file, reason })
        }
        Err(error) => {
            let reason = error.to_string();
            Some(Problem::Unreadable { file, reason })
        }
        Ok(found) => differs(&found, expected).map(|reason| Problem::Damaged { file, reason }),
    }
}

/// What a file of rows turns out to be.
struct Found {
    rows: u64,
    bytes: u64,
    checksum: u64,
    in_order: bool,
}

fn differs(found: &Found, expected: &RowsFile) -> Option<String> {
    if found.bytes != expected.bytes {
        return Some(format!(
            "it has {} bytes, not {}",
            found.bytes, expected.bytes
        ));
    }
    if checksum_text(found.checksum) != expected.checksum {
        return Some("its checksum is another one".to_owned());
    }
    if found.rows != expected.rows {
        return Some(format!("it has {} rows, not {}", found.rows, expected.rows));
    }
    (!found.in_order).then(|| "its rows are not in order".to_owned())
}

fn read(path: &Path) -> io::Result<Found> {
    let mut hashing = Hashing {
        file: BufReader::with_capacity(BUFFER_BYTES, File::open(path)?),
        hasher: Xxh3::new(),
        bytes: 0,
    };
    let mut reader = RowReader::new(&mut hashing);
    let (mut rows, mut in_order, mut last) = (0, true, None);
    while let Some((key, _)) = reader.next()? {
        rows += 1;
        in_order &= last.is_none_or(|last| last < key);
        last = Some(key);
    }
    Ok(Found {
        rows,
        bytes: hashing.bytes,
        checksum: hashing.hasher.digest(),
        in_order,
    })
}

/// A file whose bytes are counted as they are read.
struct Hashing {
    file: BufReader<File>,
    hasher: Xxh3,
    bytes: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
