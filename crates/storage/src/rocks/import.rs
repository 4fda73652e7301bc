//! Puts an exported partition in place of the node's own copy.
//!
//! ```text
//!  check files ─► new column family ─► ingest ─► switch the pointer ─► drop the old column family
//!  a crash here leaves …                  old │ new
//! ```
//!
//! Whatever is not pointed to is dropped when the store is opened.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;

use super::{Database, Incarnation};
use crate::fault::fault;
use crate::keys;
use crate::records::{FileFormat, SnapshotManifest, decode_partition_row};
use crate::snapshot;

impl Database {
    pub(super) fn import(
        &self,
        partition: PartitionId,
        dir: &Path,
    ) -> Result<Incarnation, TableFault> {
        let manifest = snapshot::verify(dir, partition, FileFormat::Sst)?;
        let mut numbers = self.families.lock();
        let old = self.current(partition)?;
        let new = self.next(&mut numbers, partition, old);
        self.stage(new, dir, &manifest)?;
        self.make_current(new)?;
        if let Some(old) = old {
            self.drop_copy(old)?;
        }
        Ok(new)
    }

    /// Fills a new copy, which nobody uses yet.
    pub(super) fn stage(
        &self,
        copy: Incarnation,
        dir: &Path,
        manifest: &SnapshotManifest,
    ) -> Result<(), TableFault> {
        let name = copy.name();
        let broken = |error| fault(&name, error);
        let files: Vec<PathBuf> = manifest
            .files
            .iter()
            .map(|file| dir.join(&file.name))
            .collect();
        self.ingest(copy, files)?;
        let family = self.family(&name)?;
        let row = self.db.get_cf(&family, keys::PARTITION).map_err(broken)?;
        let row = row.ok_or_else(|| fault(&name, "the snapshot has no partition row"))?;
        let row =
            decode_partition_row(Bytes::from(row)).map_err(|corrupt| fault(&name, corrupt))?;
        if row.state.id != copy.partition || row.applied != Some(manifest.applied) {
            return Err(fault(
                &name,
                "the snapshot's rows are not those of its manifest",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use longhaul_engine::tables::PartitionState;
    use longhaul_types::PartitionCount;
    use rocksdb::{DB, Options};

    use super::*;
    use crate::conformance::Subject;
    use crate::records::{PartitionRow, Position, put_partition_row};
    use crate::rows::{RowBatch, Rows};
    use crate::testing::OnDisk;

    const PARTITION: PartitionId = PartitionId(3);
    const OLD: Incarnation = Incarnation {
        partition: PARTITION,
        number: 1,
    };
    const NEW: Incarnation = Incarnation {
        partition: PARTITION,
        number: 2,
    };

    fn put_checkpoint(rows: &dyn Rows, index: u64) {
        let count = PartitionCount::new(4).expect("a power of two");
        let row = PartitionRow {
            applied: Some(Position { term: 1, index }),
            membership: None,
            state: PartitionState::new(PARTITION, count),
            indexes_version: 0,
        };
        let mut batch = RowBatch::default();
        batch.put_with(keys::PARTITION, |out| put_partition_row(&row, out));
        batch.put(b"i", &[u8::try_from(index).expect("small")]);
        rows.write(batch).expect("written");
    }

    /// A node whose partition is at index 1, and an export of it at index 2.
    fn prepared() -> (OnDisk, PathBuf, SnapshotManifest) {
        let mut disk = OnDisk::new();
        let export = disk.scratch();
        let mut source = OnDisk::new();
        let rows = source.rocks().rows(PARTITION).expect("opened");
        put_checkpoint(&rows, 2);
        let manifest = rows.export(&export).expect("exported");
        drop(rows);
        source.crash();
        let rows = disk.rocks().rows(PARTITION).expect("opened");
        put_checkpoint(&rows, 1);
        rows.flush().expect("flushed");
        (disk, export, manifest)
    }

    fn check(disk: &OnDisk, value: u8, families: &[&str]) {
        let rows = disk.rocks().rows(PARTITION).expect("opened");
        assert_eq!(rows.get(b"i").expect("read").as_deref(), Some(&[value][..]));
        let found = DB::list_cf(&Options::default(), disk.database()).expect("listed");
        assert_eq!(found, families);
    }

    #[test]
    fn a_crash_before_the_switch_leaves_the_old_rows() {
        let (mut disk, _, _) = prepared();
        disk.rocks().database.create_copy(NEW).expect("created");
        disk.crash();
        check(&disk, 1, &["default", "node", "p3-1"]);

        let (mut disk, export, manifest) = prepared();
        disk.rocks()
            .database
            .stage(NEW, &export, &manifest)
            .expect("staged");
        disk.crash();
        check(&disk, 1, &["default", "node", "p3-1"]);
    }

    #[test]
    fn a_crash_after_the_switch_leaves_the_new_rows() {
        let (mut disk, export, manifest) = prepared();
        let database = &disk.rocks().database;
        database.stage(NEW, &export, &manifest).expect("staged");
        database.make_current(NEW).expect("switched");
        disk.crash();
        check(&disk, 2, &["default", "node", "p3-2"]);

        let (mut disk, export, manifest) = prepared();
        let database = &disk.rocks().database;
        database.stage(NEW, &export, &manifest).expect("staged");
        database.make_current(NEW).expect("switched");
        database.drop_copy(OLD).expect("dropped");
        disk.crash();
        check(&disk, 2, &["default", "node", "p3-2"]);
    }

    #[test]
    fn an_import_that_failed_can_be_repeated() {
        let (disk, export, _) = prepared();
        disk.rocks().database.create_copy(NEW).expect("created");
        disk.rocks()
            .database
            .import(PARTITION, &export)
            .expect("imported");
        check(&disk, 2, &["default", "node", "p3-2"]);
    }
}
