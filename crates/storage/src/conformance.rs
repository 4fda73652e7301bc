//! What every store must do, as functions that tests call on each implementation.
//!
//! A test calls each of [`ALL`] with a [`Subject`] of its own.

mod crashes;
mod snapshots;
mod transfers;
mod views;
mod writes;

use std::path::PathBuf;

use bytes::Bytes;
use longhaul_engine::tables::PartitionState;
use longhaul_types::{PartitionCount, PartitionId};

use crate::keys;
use crate::records::{PartitionRow, Position, put_partition_row};
use crate::rows::{RowBatch, Rows, Store};

/// A store under test, empty at first.
pub trait Subject {
    /// The store as it is now.
    fn store(&self) -> &dyn Store;

    /// Lets the node crash and start again.
    fn crash(&mut self);

    /// A new empty directory.
    fn scratch(&mut self) -> PathBuf;
}

/// One thing a store must do; panics if it does not.
pub type Behaviour = fn(&mut dyn Subject);

/// Everything a store must do, by name.
pub const ALL: [(&str, Behaviour); 21] = [
    ("writes are visible at once", writes::are_visible_at_once),
    (
        "a batch is performed in order",
        writes::are_performed_in_order,
    ),
    (
        "rows are scanned in order, by prefix and page",
        writes::are_scanned_in_order,
    ),
    ("a range is removed without its end", writes::remove_ranges),
    ("values may be empty and large", writes::hold_any_value),
    ("partitions are apart", writes::of_partitions_are_apart),
    ("views stay as they were", views::stay_as_they_were),
    (
        "views are walked in order, by range",
        views::are_walked_in_order,
    ),
    (
        "what was flushed survives a crash",
        crashes::keep_what_was_flushed,
    ),
    ("a crash leaves whole batches", crashes::leave_whole_batches),
    (
        "what is called durable survives a crash",
        crashes::keep_what_is_called_durable,
    ),
    ("facts of the node survive a crash", crashes::keep_facts),
    (
        "an export replaces a partition elsewhere",
        snapshots::replace_a_partition,
    ),
    ("an import survives a crash", snapshots::survive_a_crash),
    ("an export is of one moment", snapshots::are_of_one_moment),
    ("damaged files change nothing", snapshots::must_be_whole),
    (
        "files of another partition are refused",
        snapshots::must_be_of_the_partition,
    ),
    (
        "rows that arrived replace a partition",
        transfers::replace_a_partition,
    ),
    (
        "rows that arrived begin a partition",
        transfers::begin_a_partition,
    ),
    (
        "rows that arrive change nothing until they are installed",
        transfers::change_nothing_until_installed,
    ),
    (
        "the rows of a removed partition are gone",
        transfers::of_a_removed_partition_are_gone,
    ),
];

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

fn put(rows: &dyn Rows, key: &[u8], value: &[u8]) {
    let mut batch = RowBatch::default();
    batch.put(key, value);
    rows.write(batch).expect("written");
}

fn get(rows: &dyn Rows, key: &[u8]) -> Option<Bytes> {
    rows.get(key).expect("read")
}

/// Every row, in order.
fn all(rows: &dyn Rows) -> Vec<(Bytes, Bytes)> {
    rows.scan(b"", None, usize::MAX).expect("scanned")
}

/// Makes the rows those of a checkpoint at this log index.
fn put_applied(rows: &dyn Rows, partition: PartitionId, index: u64) -> Position {
    let count = PartitionCount::new(4).expect("a power of two");
    let applied = Position { term: 1, index };
    let row = PartitionRow {
        applied: Some(applied),
        membership: Some(Bytes::from_static(b"voters")),
        state: PartitionState::new(partition, count),
        indexes_version: 0,
    };
    let mut batch = RowBatch::default();
    batch.put_with(keys::PARTITION, |out| put_partition_row(&row, out));
    rows.write(batch).expect("written");
    applied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{InMemory, OnDisk};

    #[test]
    fn the_store_in_memory_conforms() {
        for (name, behaviour) in ALL {
            println!("{name}");
            behaviour(&mut InMemory::new());
        }
    }

    #[test]
    fn the_store_on_disk_conforms() {
        for (name, behaviour) in ALL {
            println!("{name}");
            behaviour(&mut OnDisk::new());
        }
    }
}
