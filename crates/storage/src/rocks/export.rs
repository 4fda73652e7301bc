//! Writes a partition as of one moment into sorted files that another node can take over as they are.

use std::path::Path;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use rocksdb::{ReadOptions, SstFileWriter};

use super::rows::RocksRows;
use crate::fault::fault;
use crate::keys;
use crate::records::{FileFormat, SnapshotFile, SnapshotManifest, decode_partition_row};
use crate::snapshot;

/// Files are cut at this size, so that a transfer can be resumed and spread.
const FILE_BYTES: u64 = 64 << 20;
const READAHEAD_BYTES: usize = 2 << 20;

pub(super) fn export(rows: &RocksRows, dir: &Path) -> Result<SnapshotManifest, TableFault> {
    let broken = |error| rows.broken(error);
    let family = rows.family()?;
    let view = rows.database.db.snapshot();
    let row = view.get_cf(&family, keys::PARTITION).map_err(broken)?;
    let row = row
        .map(|record| decode_partition_row(Bytes::from(record)))
        .transpose();
    let row = row.map_err(|corrupt| fault(format!("{} partition row", rows.family), corrupt))?;

    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD_BYTES);
    let mut cursor = view.raw_iterator_cf_opt(&family, options);
    cursor.seek_to_first();
    let mut files = Vec::new();
    while cursor.valid() {
        files.push(export_file(rows, dir, files.len(), &mut cursor)?);
    }
    cursor.status().map_err(broken)?;
    snapshot::write_manifest(dir, row, rows.copy.number, FileFormat::Sst, files)
}

type Cursor<'a> =
    rocksdb::DBRawIteratorWithThreadMode<'a, rocksdb::DBWithThreadMode<rocksdb::MultiThreaded>>;

/// Writes rows into one file until it is large enough or there are none left.
fn export_file(
    rows: &RocksRows,
    dir: &Path,
    number: usize,
    cursor: &mut Cursor<'_>,
) -> Result<SnapshotFile, TableFault> {
    let broken = |error| rows.broken(error);
    let name = format!("{number:06}.sst");
    let options = rows.database.tuning.partition();
    let mut file = SstFileWriter::create(&options);
    file.open(dir.join(&name)).map_err(broken)?;
    while let Some((key, value)) = cursor.item() {
        file.put(key, value).map_err(broken)?;
        cursor.next();
        if file.file_size() >= FILE_BYTES {
            break;
        }
    }
    file.finish().map_err(broken)?;
    drop(file);
    snapshot::describe(dir, &name)
}
