//! Rows of one partition replica: one column family.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use rocksdb::{BoundColumnFamily, ReadOptions, ReadTier, WriteBatch, WriteOptions};

use super::view::RocksView;
use super::{Database, Incarnation};
use crate::fault::fault;
use crate::keys;
use crate::records::SnapshotManifest;
use crate::rows::{Operation, Row, RowBatch, Rows, RowsView};

/// Rows of one copy of a partition.
pub struct RocksRows {
    pub(super) database: Arc<Database>,
    pub(super) copy: Incarnation,
    pub(super) family: String,
}

impl RocksRows {
    pub(super) fn open(database: Arc<Database>, copy: Incarnation) -> Result<Self, TableFault> {
        let family = copy.name();
        database.family(&family)?;
        Ok(Self {
            database,
            copy,
            family,
        })
    }

    /// Looked up each time (about 50 ns): a handle cannot be kept beside the database it borrows from.
    pub(super) fn family(&self) -> Result<Arc<BoundColumnFamily<'_>>, TableFault> {
        self.database.family(&self.family)
    }

    pub(super) fn broken(&self, error: rocksdb::Error) -> TableFault {
        fault(&self.family, error)
    }
}

impl Rows for RocksRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        let found = self.database.db.get_cf(&self.family()?, key);
        Ok(found.map_err(|error| self.broken(error))?.map(Bytes::from))
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        let mut options = ReadOptions::default();
        // Without a log in use this tier leaves out what is only in memory.
        options.set_read_tier(ReadTier::Persisted);
        let found = self.database.db.get_cf_opt(&self.family()?, key, &options);
        Ok(found.map_err(|error| self.broken(error))?.map(Bytes::from))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        let mut options = ReadOptions::default();
        if let Some(end) = keys::end_of(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let family = self.family()?;
        let mut rows = self.database.db.raw_iterator_cf_opt(&family, options);
        match after {
            Some(after) if after >= prefix => {
                rows.seek(after);
                if rows.key() == Some(after) {
                    rows.next();
                }
            }
            _ => rows.seek(prefix),
        }
        let mut found = Vec::new();
        while found.len() < limit {
            let Some((key, value)) = rows.item() else {
                break;
            };
            found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            rows.next();
        }
        rows.status().map_err(|error| self.broken(error))?;
        Ok(found)
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        Ok(Box::new(RocksView::open(self)?))
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        let family = self.family()?;
        let mut writes = WriteBatch::with_capacity_bytes(batch.bytes());
        for operation in batch.operations() {
            match operation {
                Operation::Put { key, value } => writes.put_cf(&family, key, value),
                Operation::Delete { key } => writes.delete_cf(&family, key),
                Operation::DeleteRange { from, to } => writes.delete_range_cf(&family, from, to),
            }
        }
        let mut unlogged = WriteOptions::new();
        unlogged.disable_wal(true);
        self.database
            .db
            .write_opt(writes, &unlogged)
            .map_err(|error| self.broken(error))
    }

    fn flush(&self) -> Result<(), TableFault> {
        self.database
            .db
            .flush_cf(&self.family()?)
            .map_err(|error| self.broken(error))
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        super::export::export(self, dir)
    }
}
