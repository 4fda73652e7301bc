//! Rows of versions that had other indexes, or none.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use longhaul_engine::instance::Status;
use longhaul_engine::tables::TableFault;

use super::super::{PartitionTables, indexes};
use super::world::{Change, PARTITION, World, check_derived_rows, state};
use crate::conformance::Subject;
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::records::{self, PartitionRow, SnapshotManifest};
use crate::rows::{Row, RowBatch, Rows, RowsView};
use crate::testing::{InMemory, OnDisk};

fn filled<S: Subject>(subject: S) -> World<S> {
    let mut world = World::new(subject, usize::MAX);
    let statuses = [Status::Pending, Status::Completed, Status::Running];
    for number in 0..9 {
        world.apply(&Change::PutInstance {
            key: number,
            status: statuses[usize::from(number) % 3],
            second: number,
            payload_bytes: 10,
        });
    }
    world.apply(&Change::PutEntity {
        key: 0,
        state: None,
    });
    world.write_through();
    world
}

fn all(rows: &dyn Rows) -> Vec<Row> {
    rows.scan(b"", None, usize::MAX).expect("scanned")
}

fn partition_row(rows: &dyn Rows) -> PartitionRow {
    let row = rows.get(keys::PARTITION).expect("read").expect("written");
    records::decode_partition_row(row).expect("well formed")
}

/// Makes the rows those of a version without indexes, but for what a half-finished attempt left.
fn forget_indexes(rows: &dyn Rows) {
    let mut batch = RowBatch::default();
    for kind in [Kind::Created, Kind::Finished] {
        for (key, _) in rows
            .scan(&kind.prefix(), None, usize::MAX)
            .expect("scanned")
        {
            batch.delete(&key);
        }
    }
    batch.put(b"s left over", b"");
    let row = PartitionRow {
        indexes_version: 0,
        ..partition_row(rows)
    };
    batch.put_with(keys::PARTITION, |out| records::put_partition_row(&row, out));
    rows.write(batch).expect("written");
}

fn open(rows: Arc<dyn Rows>) -> Result<PartitionTables, TableFault> {
    PartitionTables::open(rows, state(), usize::MAX)
}

#[test]
fn rows_without_indexes_get_them_when_they_are_opened() {
    let world = filled(InMemory::new());
    rows_get_indexes(&**world.tables.rows(), &world.subject);
    let world = filled(OnDisk::new());
    rows_get_indexes(&**world.tables.rows(), &world.subject);
}

fn rows_get_indexes(rows: &dyn Rows, subject: &dyn Subject) {
    let before = all(rows);
    assert_eq!(partition_row(rows).indexes_version, keys::index::VERSION);
    check_derived_rows(rows);
    forget_indexes(rows);
    assert_ne!(all(rows), before);
    open(subject.store().partition(PARTITION).expect("opened")).expect("opened");
    assert_eq!(all(rows), before);
}

#[test]
fn rows_with_their_indexes_are_left_alone() {
    let world = filled(InMemory::new());
    let rows = StopsWriting::new(Arc::clone(world.tables.rows()), 0);
    assert!(open(rows).is_ok(), "nothing had to be written");
}

#[test]
fn an_exported_partition_of_an_earlier_version_gets_its_indexes() {
    let mut world = filled(InMemory::new());
    let before = all(&**world.tables.rows());
    forget_indexes(&**world.tables.rows());
    let dir = world.subject.scratch();
    world.tables.rows().export(&dir).expect("exported");
    let store = world.subject.store();
    let rows = store.import(PARTITION, &dir).expect("imported");
    open(Arc::clone(&rows)).expect("opened");
    assert_eq!(all(&*rows), before);
}

/// Wherever an attempt is cut short, the next one begins anew and ends as if it had been the first.
#[test]
fn an_attempt_that_was_cut_short_is_repeated() {
    let world = filled(InMemory::new());
    let rows = world.tables.rows();
    let before = all(&**rows);
    let mut attempts = 0..50;
    let finished = attempts.try_for_each(|writes| {
        forget_indexes(&**rows);
        let stops = StopsWriting::new(Arc::clone(rows), writes);
        let row = partition_row(&**rows);
        if indexes::rebuild(&*stops, &row, 0).is_ok() {
            return ControlFlow::Break(writes);
        }
        open(Arc::clone(rows)).expect("opened");
        assert_eq!(all(&**rows), before, "after {writes} writes");
        ControlFlow::Continue(())
    });
    let ControlFlow::Break(writes) = finished else {
        panic!("no attempt was long enough");
    };
    assert!(writes > 5, "several batches: {writes}");
}

/// Rows that can be written a number of times.
struct StopsWriting {
    rows: Arc<dyn Rows>,
    left: AtomicUsize,
}

impl StopsWriting {
    fn new(rows: Arc<dyn Rows>, writes: usize) -> Arc<Self> {
        let left = AtomicUsize::new(writes);
        Arc::new(Self { rows, left })
    }
}

impl Rows for StopsWriting {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.rows.get(key)
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.rows.get_durable(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        self.rows.scan(prefix, after, limit)
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        self.rows.view()
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(fault("rows", "no write is left"));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        self.rows.write(batch)
    }

    fn flush(&self) -> Result<(), TableFault> {
        self.rows.flush()
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        self.rows.export(dir)
    }
}
