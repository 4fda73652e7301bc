//! Damaged rows are faults that say where.

use std::sync::Arc;

use longhaul_engine::instance::Status;
use longhaul_engine::tables::{PartitionState, Tables};
use longhaul_types::{PartitionCount, PartitionId};

use super::super::PartitionTables;
use super::world::{Change, PARTITION, TARGETS, World, execution, key, state};
use crate::conformance::Subject;
use crate::keys::{self, Kind};
use crate::rows::{RowBatch, Rows};
use crate::testing::InMemory;

/// Tables of which nothing is in memory, after `damage` was done to their rows.
fn damaged(damage: impl FnOnce(&mut RowBatch)) -> (InMemory, PartitionTables) {
    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&Change::PutInstance {
        key: 0,
        status: Status::Running,
        second: 1,
        payload_bytes: 1,
    });
    world.apply(&Change::PutHistory {
        key: 0,
        execution: 0,
        number: 0,
        byte: 1,
    });
    world.apply(&Change::PutOutbox {
        target: 0,
        count: 1,
    });
    world.write_through();
    let rows = world.subject.store().partition(PARTITION).expect("opened");
    let mut batch = RowBatch::default();
    damage(&mut batch);
    rows.write(batch).expect("written");
    let tables = PartitionTables::open(rows, state(), usize::MAX).expect("opened");
    (world.subject, tables)
}

#[test]
fn a_damaged_instance_is_named() {
    let row = keys::instance::encode(Kind::Instance, &key(0));
    let (_subject, mut tables) = damaged(|batch| batch.put(&row, b"\x02"));
    let fault = tables.instance(&key(0)).expect_err("damaged");
    assert_eq!(fault.place, format!("instance {:?}", key(0)));
    assert_eq!(fault.reason, "unknown format version 2");
    assert!(tables.instance_mut(&key(0)).is_err(), "and stays so");
}

#[test]
fn a_damaged_or_missing_run_is_named() {
    let run = keys::history::RunKey::new(&key(0), &execution(0), 0).encode();
    let (_subject, mut tables) = damaged(|batch| batch.put(&run, b""));
    let fault = tables
        .history(&key(0), &execution(0), 0)
        .expect_err("damaged");
    assert!(fault.place.contains("execution-0"), "{fault}");
    let fault = tables
        .history(&key(0), &execution(0), 1)
        .expect_err("missing");
    assert!(fault.reason.contains("missing"), "{fault}");
}

#[test]
fn a_damaged_message_is_named() {
    let row = keys::outbox::encode(TARGETS[0], 1);
    let (_subject, mut tables) = damaged(|batch| batch.put(&row, b"\x01"));
    let fault = tables.outbox(TARGETS[0], 0, 1).expect_err("damaged");
    assert_eq!(fault.place, "outbox 1 1");
}

#[test]
fn a_damaged_marker_is_named() {
    let (_subject, mut tables) = damaged(|batch| batch.put(b"l?", b""));
    let fault = tables.active(None, 10).expect_err("damaged");
    assert_eq!(fault.place, "active marker");
}

#[test]
fn rows_of_something_else_are_not_opened() {
    let subject = InMemory::new();
    let rows = subject.store().partition(PARTITION).expect("opened");
    let mut batch = RowBatch::default();
    batch.put(keys::PARTITION, b"\x01");
    rows.write(batch).expect("written");
    let open = |rows: &Arc<dyn Rows>, state| {
        PartitionTables::open(Arc::clone(rows), state, 0)
            .map(|_| ())
            .expect_err("refused")
    };
    assert_eq!(open(&rows, state()).place, "partition row");

    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&Change::Nothing);
    world.write_through();
    let count = PartitionCount::new(512).expect("a power of two");
    let other = PartitionState::new(PartitionId(1), count);
    let fault = open(world.tables.rows(), other);
    assert!(
        fault.reason.contains("0 of 512, not of 1 of 512"),
        "{fault}"
    );
}

#[test]
fn a_store_that_fails_stops_the_checkpoint() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&Change::Membership { byte: 1 });
    world.write_through();
    let dir = world.subject.scratch();
    world.tables.rows().export(&dir).expect("exported");
    world
        .subject
        .store()
        .import(PARTITION, &dir)
        .expect("imported");
    world.apply(&Change::Nothing);
    assert!(
        world.tables.write_through().is_err(),
        "the rows under the tables are gone"
    );
}
