//! Rows that arrive from another node, as sorted files in a directory of their own beside the database's.
//!
//! ```text
//!  files, synced ─► new column family ─► ingest ─► switch the pointer ─► drop the old column family
//!  a crash here leaves …                      old │ new
//! ```
//!
//! What has not been ingested, and what is not pointed to, goes when the database is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;
use rocksdb::SstFileWriter;

use super::{Database, Incarnation, RocksRows};
use crate::fault::fault;
use crate::rows::{CompleteRows, Operation, RowBatch, Rows, StagedRows};

/// Below the database's directory; RocksDB leaves what it does not know alone.
const DIRECTORY: &str = "staging";

/// A file is written when this many bytes of rows are there for it.
const FILE_BYTES: usize = 16 << 20;

/// Rows of another node's replica as they come.
pub(super) struct RocksStaged {
    place: Place,
    files: Vec<PathBuf>,
    /// The rows of the next file.
    waiting: RowBatch,
}

/// All of them.
struct RocksComplete {
    place: Place,
    files: Vec<PathBuf>,
}

/// A directory that goes when nobody needs it any more.
struct Place {
    database: Arc<Database>,
    partition: PartitionId,
    dir: PathBuf,
}

/// Removes what was never installed.
pub(super) fn clear(database: &Path) -> Result<(), TableFault> {
    let dir = database.join(DIRECTORY);
    match std::fs::remove_dir_all(&dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault(dir.display(), error)),
    }
}

impl RocksStaged {
    /// Makes an empty directory for the rows; `number` has not been used since the database was opened.
    pub(super) fn begin(
        database: Arc<Database>,
        partition: PartitionId,
        number: u64,
    ) -> Result<Self, TableFault> {
        let dir = database
            .db
            .path()
            .join(DIRECTORY)
            .join(format!("p{partition}-{number}"));
        std::fs::create_dir_all(&dir).map_err(|error| fault(dir.display(), error))?;
        let place = Place {
            database,
            partition,
            dir,
        };
        Ok(Self {
            place,
            files: Vec::new(),
            waiting: RowBatch::default(),
        })
    }

    fn write_file(&mut self) -> Result<(), TableFault> {
        let path = self.place.dir.join(format!("{:06}.sst", self.files.len()));
        let broken = |error| fault(path.display(), error);
        let options = self.place.database.tuning.partition();
        let mut file = SstFileWriter::create(&options);
        file.open(&path).map_err(broken)?;
        for operation in std::mem::take(&mut self.waiting).operations() {
            if let Operation::Put { key, value } = operation {
                file.put(key, value).map_err(broken)?;
            }
        }
        // Also makes it durable.
        file.finish().map_err(broken)?;
        self.files.push(path);
        Ok(())
    }
}

impl StagedRows for RocksStaged {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.waiting.put(key, value);
        if self.waiting.bytes() < FILE_BYTES {
            return Ok(());
        }
        self.write_file()
    }

    fn finish(mut self: Box<Self>) -> Result<Box<dyn CompleteRows>, TableFault> {
        if self.waiting.bytes() > 0 {
            self.write_file()?;
        }
        let Self { place, files, .. } = *self;
        Ok(Box::new(RocksComplete { place, files }))
    }
}

impl CompleteRows for RocksComplete {
    fn install(self: Box<Self>) -> Result<Arc<dyn Rows>, TableFault> {
        let database = &self.place.database;
        let mut numbers = database.families.lock();
        let old = database.current(self.place.partition)?;
        let new = database.next(&mut numbers, self.place.partition, old);
        database.ingest(new, self.files.clone())?;
        database.make_current(new)?;
        if let Some(old) = old {
            database.drop_copy(old)?;
        }
        Ok(Arc::new(RocksRows::open(Arc::clone(database), new)?))
    }
}

impl Database {
    /// Fills a new copy, which nobody uses yet, with files in key order.
    pub(super) fn ingest(&self, copy: Incarnation, files: Vec<PathBuf>) -> Result<(), TableFault> {
        let name = copy.name();
        if self.db.cf_handle(&name).is_some() {
            // An installation that failed before the switch, in this process.
            self.drop_copy(copy)?;
        }
        self.create_copy(copy)?;
        let family = self.family(&name)?;
        let mut options = rocksdb::IngestExternalFileOptions::default();
        // Links instead of copies; the ingested files are synced before the call returns.
        options.set_move_files(true);
        self.db
            .ingest_external_file_cf_opts(&family, &options, files)
            .map_err(|error| fault(&name, error))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed now is removed when the database is opened.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
