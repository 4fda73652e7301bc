//! Ordered rows of bytes: what a store offers to one partition replica, and to the node.
//!
//! ```text
//!                    Store (one per node)            Rows (one per partition replica)
//! on disk            rocks::RocksStore               rocks::RocksRows
//! in memory          mem::MemStore                   mem::MemRows
//!
//!                                                    StagedRows, CompleteRows (from another node)
//!                                                    RowsView (as of one moment)
//!                                                      └─ Cursor (walks a range of it)
//! ```
//!
//! Writes are atomic and visible at once, but durable only after [`Rows::flush`] (or earlier, if the store so
//! pleases): after a crash the rows are those of some write not older than the last flush, never of half a write.
//! Every error is a fault: the store is broken and whoever depends on it must stop.

mod batch;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use batch::{Operation, RowBatch};
use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;

use crate::records::SnapshotManifest;

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// The rows of one partition replica, ordered by key byte by byte.
pub trait Rows: Send + Sync {
    /// The value of a row.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault>;

    /// The value of a row as it would be after a crash now, or an older one that would be.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault>;

    /// Up to `limit` rows whose keys begin with `prefix`, in order, after the key `after`.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault>;

    /// The rows as they are now, whatever is written afterwards.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn view(&self) -> Result<Box<dyn RowsView>, TableFault>;

    /// Performs all operations of the batch, or none; not durable yet.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn write(&self, batch: RowBatch) -> Result<(), TableFault>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn flush(&self) -> Result<(), TableFault>;

    /// Writes all rows as of one moment into files in `dir`, which must exist and be empty, with a manifest.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken, the files cannot be written, or no checkpoint was written yet.
    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault>;
}

/// The rows of one partition replica as of one moment. To be dropped soon: what was written since is kept beside it.
///
/// Once other rows were put in place of these by [`Store::import`], a view may fail.
pub trait RowsView: Send + Sync {
    /// The value of a row.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault>;

    /// Walks the rows from the first key of `range`, included, to the second, excluded, in order.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn walk(&self, range: Range<Vec<u8>>) -> Result<Box<dyn Cursor + '_>, TableFault>;
}

/// A place in a range of rows, at first the first of them.
pub trait Cursor {
    /// Key and value of the row here; `None` behind the last one.
    fn row(&self) -> Option<(&[u8], &[u8])>;

    /// Goes on to the next row.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn advance(&mut self) -> Result<(), TableFault>;
}

/// The rows of all partition replicas of a node, and facts of the node's own.
pub trait Store: Send + Sync {
    /// The rows of a partition; none at first.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn partition(&self, partition: PartitionId) -> Result<Arc<dyn Rows>, TableFault>;

    /// Puts the rows exported into `dir` in place of those of `partition`, durably and at once: a crash leaves the old
    /// rows or the new ones. Handles to the old rows are useless afterwards. `dir` stays as it is.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken, the files are damaged, or they are another partition's.
    fn import(&self, partition: PartitionId, dir: &Path) -> Result<Arc<dyn Rows>, TableFault>;

    /// Begins to gather rows that shall replace those of `partition`, beside them; several at a time if need be.
    ///
    /// # Errors
    /// [`TableFault`] if there is no place for them.
    fn stage(&self, partition: PartitionId) -> Result<Box<dyn StagedRows>, TableFault>;

    /// The partitions that have rows here, or had: all that were asked for and not removed.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn partitions(&self) -> Result<Vec<PartitionId>, TableFault>;

    /// Removes all rows of a partition, durably and at once: a crash leaves them or nothing. Does nothing if there are
    /// none. Handles to them are useless afterwards, and the partition begins anew when it is asked for again.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn remove(&self, partition: PartitionId) -> Result<(), TableFault>;

    /// A fact of the node's own.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn node_fact(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault>;

    /// Stores a fact of the node's own, durable on return. Slow; for what changes rarely.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn put_node_fact(&self, key: &[u8], value: &[u8]) -> Result<(), TableFault>;
}

/// Rows that shall replace those of a partition, as they come. Dropped, they leave nothing behind.
pub trait StagedRows: Send {
    /// Takes the next row. Keys come in order, each once.
    ///
    /// # Errors
    /// [`TableFault`] if it cannot be kept.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableFault>;

    /// Says that there are no more; makes them durable.
    ///
    /// # Errors
    /// [`TableFault`] if they cannot be kept.
    fn finish(self: Box<Self>) -> Result<Box<dyn CompleteRows>, TableFault>;
}

/// Rows that can replace those of a partition. Dropped, they leave nothing behind.
pub trait CompleteRows: Send {
    /// Puts them in place of the partition's own, durably and at once: a crash leaves the old rows or these. Handles to
    /// the old rows are useless afterwards.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    fn install(self: Box<Self>) -> Result<Arc<dyn Rows>, TableFault>;
}
