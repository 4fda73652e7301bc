//! Index entries for rows of a version that had others, or none.

use bytes::Bytes;
use longhaul_engine::tables::TableFault;

use super::record::{Derived, Record};
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::records::{self, PartitionRow};
use crate::rows::{RowBatch, Rows};

/// When a batch is large enough to be written.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// Replaces all index entries by those that follow from the rows, then the partition's row by `row`.
///
/// A crash before the end leaves the old row, which says that there is still something to do.
pub(super) fn rebuild(
    rows: &dyn Rows,
    row: &PartitionRow,
    batch_bytes: usize,
) -> Result<(), TableFault> {
    let mut batch = RowBatch::default();
    for kind in [Kind::Finished, Kind::Created] {
        if !rows.scan(&kind.prefix(), None, 1)?.is_empty() {
            batch.delete_range(&kind.prefix(), &end(kind));
        }
    }
    let view = rows.view()?;
    let instances = Kind::Instance.prefix().to_vec()..end(Kind::Instance);
    let mut instances = view.walk(instances)?;
    while let Some((key, record)) = instances.row() {
        let key = keys::instance::decode(Kind::Instance, key)
            .map_err(|corrupt| fault("instance", corrupt))?;
        let record = Record::decode(&key, Bytes::copy_from_slice(record))?;
        for entry in Derived::of(&record).index_entries(&key) {
            batch.put(&entry, &[]);
        }
        if batch.bytes() > batch_bytes {
            rows.write(std::mem::take(&mut batch))?;
        }
        instances.advance()?;
    }
    batch.put_with(keys::PARTITION, |out| records::put_partition_row(row, out));
    rows.write(batch)
}

fn end(kind: Kind) -> Vec<u8> {
    keys::end_of(&kind.prefix()).expect("kinds are below 255")
}
