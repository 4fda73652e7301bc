//! `longhaul backup create`: writes down what the cluster sends.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use longhaul_proto::admin::v1 as wire;
use serde_json::json;
use wire::backup_part::Part;
use xxhash_rust::xxh3::Xxh3;

use super::super::connection::refused;
use super::super::{Failure, Outcome, Session, Target, cluster::open};
use super::cut;
use super::manifest::{self, Manifest, checksum_text};

pub(super) async fn execute(
    dir: &Path,
    target: &Target,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    let mut connection = open(target).await?;
    claim(dir)?;
    let mut parts = connection.backup().await?;
    let mut writer = Writer::new(dir);
    let written = loop {
        let part = parts.message().await;
        let part = part.map_err(|status| refused(connection.url(), &status))?;
        let part = part.and_then(|it| it.part).ok_or_else(|| {
            Failure::failed(format!(
                "the copy ended too early; {} is no backup",
                dir.display()
            ))
        })?;
        match writer.take(part).map_err(|error| writer.broken(&error))? {
            Step::More(progress) => progress.into_iter().for_each(|it| session.tell(it)),
            Step::Done(manifest) => break manifest,
        }
    };
    written.write(dir)?;
    let bytes: u64 = written.partitions.iter().map(|it| it.file.bytes).sum();
    let rows: u64 = written.partitions.iter().map(|it| it.file.rows).sum();
    let count = written.partitions.len();
    let said = || {
        let dir = dir.display();
        format!(
            "copied {count} partitions to {dir}: {rows} rows, {bytes} bytes, as of {}",
            written.taken_at
        )
    };
    let result = || json!({ "dir": dir, "partitions": count, "rows": rows, "bytes": bytes, "taken_at": written.taken_at });
    session.print(target.output, said, result)?;
    Ok(Outcome::Done)
}

/// Makes the directory, or finds it empty.
fn claim(dir: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("{}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut there = std::fs::read_dir(dir).map_err(failed)?;
    match there.next() {
        None => Ok(()),
        Some(_) => Err(Failure::failed(format!(
            "{} is not empty; a backup needs a directory of its own",
            dir.display()
        ))),
    }
}

/// The files so far.
struct Writer {
    dir: PathBuf,
    manifest: Option<Manifest>,
    /// What the server says of the partitions, whose rows come in this order.
    copies: std::vec::IntoIter<manifest::PartitionCopy>,
    open: Option<OpenFile>,
}

struct OpenFile {
    copy: manifest::PartitionCopy,
    name: String,
    file: File,
    bytes: u64,
    hasher: Xxh3,
}

enum Step {
    More(Option<String>),
    Done(Manifest),
}

/// Why what was sent is no backup.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error("the server sent {0}")]
    Sent(&'static str),
    #[error(transparent)]
    Inconsistent(#[from] Mismatch),
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Mismatch(cut::Inconsistent);

impl Writer {
    fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            manifest: None,
            copies: Vec::new().into_iter(),
            open: None,
        }
    }

    fn broken(&self, error: &Broken) -> Failure {
        let dir = self.dir.display();
        Failure::failed(format!("{error}; {dir} is no backup, remove it"))
    }

    fn take(&mut self, part: Part) -> Result<Step, Broken> {
        match part {
            Part::Begin(begin) if self.manifest.is_none() => self.begin(begin)?,
            Part::Begin(_) => return Err(Broken::Sent("a second beginning")),
            Part::Rows(rows) => self.write(&rows)?,
            Part::PartitionEnd(end) => {
                return self.end_partition(&end).map(|it| Step::More(Some(it)));
            }
            Part::End(_) => return self.end().map(Step::Done),
        }
        Ok(Step::More(None))
    }

    fn begin(&mut self, begin: wire::BackupBegin) -> Result<(), Broken> {
        let copies: Vec<_> = begin.partitions.iter().map(copy).collect();
        if copies.len() != begin.partition_count as usize {
            return Err(Broken::Sent("another number of partitions than there are"));
        }
        if let Some(found) = cut::inconsistency(&copies) {
            return Err(Mismatch(found).into());
        }
        self.copies = copies.into_iter();
        self.manifest = Some(content(begin));
        self.next_file()
    }

    fn next_file(&mut self) -> Result<(), Broken> {
        self.open = match self.copies.next() {
            None => None,
            Some(copy) => {
                let name = format!("partition-{:05}.rows", copy.id);
                Some(OpenFile {
                    file: File::create(self.dir.join(&name))?,
                    copy,
                    name,
                    bytes: 0,
                    hasher: Xxh3::new(),
                })
            }
        };
        Ok(())
    }

    fn write(&mut self, rows: &[u8]) -> Result<(), Broken> {
        let open = self.open.as_mut();
        let open = open.ok_or(Broken::Sent("rows of no partition"))?;
        open.file.write_all(rows)?;
        open.hasher.update(rows);
        open.bytes += rows.len() as u64;
        Ok(())
    }

    fn end_partition(&mut self, end: &wire::PartitionEnd) -> Result<String, Broken> {
        let open = self.open.take();
        let open = open.filter(|open| open.copy.id == end.id);
        let open = open.ok_or(Broken::Sent("the end of a partition whose turn it is not"))?;
        if (open.bytes, open.hasher.digest()) != (end.bytes, end.checksum) {
            return Err(Broken::Sent("rows that have changed on their way"));
        }
        open.file.sync_all()?;
        let (id, bytes) = (open.copy.id, open.bytes);
        let manifest = self
            .manifest
            .as_mut()
            .expect("begun, since a file was open");
        manifest.partitions.push(manifest::Partition {
            copy: open.copy,
            file: manifest::RowsFile {
                name: open.name,
                rows: end.rows,
                bytes,
                checksum: checksum_text(end.checksum),
            },
        });
        self.next_file()?;
        Ok(format!("partition {id}: {} rows, {bytes} bytes", end.rows))
    }

    fn end(&mut self) -> Result<Manifest, Broken> {
        let whole = self.open.is_none();
        let manifest = self.manifest.take().filter(|_| whole);
        manifest.ok_or(Broken::Sent("the end before the last partition's"))
    }
}

fn content(begin: wire::BackupBegin) -> Manifest {
    let taken_at = UNIX_EPOCH + Duration::from_millis(begin.taken_at_ms);
    let hubs = begin.hubs.unwrap_or_default();
    let listed = hubs.listed.into_iter().map(|hub| manifest::Hub {
        id: hub.id,
        name: hub.name,
    });
    Manifest {
        cluster: manifest::Cluster {
            id: begin.cluster_id,
            partitions: begin.partition_count,
            replicas: begin.replicas,
        },
        taken_at: humantime::format_rfc3339_seconds(taken_at).to_string(),
        version: begin.version,
        rows_format: begin.rows_format,
        hubs: manifest::Hubs {
            last_id: hubs.last_id,
            listed: listed.collect(),
            doomed: hubs.doomed,
        },
        partitions: Vec::new(),
    }
}

fn copy(copy: &wire::PartitionCopy) -> manifest::PartitionCopy {
    let exchanged = copy.exchanged.iter().map(|it| manifest::Exchanged {
        partition: it.partition,
        sent: it.sent,
        acknowledged: it.acknowledged,
        received: it.received,
    });
    manifest::PartitionCopy {
        id: copy.id,
        term: copy.term,
        index: copy.index,
        exchanged: exchanged.collect(),
    }
}
