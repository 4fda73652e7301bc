//! Single behaviours, told as stories.

use longhaul_engine::instance::Status;
use longhaul_engine::tables::Tables;

use super::world::{Change, PARTITION, World, execution, key};
use crate::conformance::Subject;
use crate::keys::Kind;
use crate::testing::{InMemory, OnDisk};

const LIVE: Change = Change::PutInstance {
    key: 0,
    status: Status::Running,
    second: 1,
    payload_bytes: 100,
};
const ENDED: Change = Change::UpdateInstance {
    key: 0,
    status: Status::Completed,
};

fn put(key: u8, status: Status) -> Change {
    Change::PutInstance {
        key,
        status,
        second: 1,
        payload_bytes: 100,
    }
}

fn rows_of(world: &World<InMemory>, kind: Kind) -> usize {
    let rows = world.subject.store().partition(PARTITION).expect("opened");
    rows.scan(&kind.prefix(), None, usize::MAX)
        .expect("scanned")
        .len()
}

#[test]
fn a_crash_leaves_the_state_of_the_last_flush() {
    let mut world = World::new(OnDisk::new(), usize::MAX);
    world.apply(&LIVE);
    world.write_through();
    let durability = world.tables.durability();
    assert_eq!(
        durability.applied().expect("read"),
        None,
        "written is not durable"
    );
    let flushed = durability.flush().expect("flushed");
    assert_eq!(flushed.map(|at| at.index), Some(1));
    world.apply(&ENDED);
    world.write_through();
    assert_eq!(durability.applied().expect("read"), flushed);
    drop(durability);

    world.crash();
    assert_eq!(world.tables.applied(), flushed);
    world.check();
}

#[test]
fn applying_goes_on_while_a_checkpoint_is_written() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&LIVE);
    world.freeze();
    world.apply(&ENDED);
    world.write();
    world.flush();
    world.check();
    // The checkpoint holds the instance as it was frozen.
    world.crash();
    world.check();
    let found = world
        .tables
        .instance(&key(0))
        .expect("read")
        .expect("stored");
    assert_eq!(found.status, Status::Running);
}

#[test]
fn what_changed_while_it_was_written_is_written_again() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&LIVE);
    world.freeze();
    world.apply(&ENDED);
    world.write();
    world.complete();
    assert_eq!(world.tables.statistics().dirty_instances, 1);
    world.write_through();
    assert_eq!(world.tables.statistics().dirty_instances, 0);
    world.flush();
    world.crash();
    world.check();
    let found = world
        .tables
        .instance(&key(0))
        .expect("read")
        .expect("stored");
    assert_eq!(found.status, Status::Completed);
}

#[test]
fn nothing_is_frozen_without_an_entry() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    assert!(world.tables.freeze().is_none());
    world.apply(&Change::Nothing);
    let checkpoint = world.tables.freeze().expect("the applied position moved");
    assert_eq!(checkpoint.records(), 0);
    let written = checkpoint.write().expect("written");
    world.tables.complete(written);
    assert!(world.tables.freeze().is_none());
}

#[test]
fn an_instance_that_begins_and_ends_between_checkpoints_is_written_once() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&LIVE);
    world.apply(&ENDED);
    world.write_through();
    assert_eq!(rows_of(&world, Kind::Instance), 1);
    assert_eq!(rows_of(&world, Kind::Active), 0);
}

#[test]
fn markers_follow_the_instances() {
    let mut world = World::new(InMemory::new(), 0);
    for key in 0..3 {
        world.apply(&put(key, Status::Running));
    }
    world.write_through();
    assert_eq!(rows_of(&world, Kind::Active), 3);
    world.apply(&Change::UpdateInstance {
        key: 0,
        status: Status::Failed,
    });
    world.apply(&Change::RemoveInstance { key: 1 });
    world.apply(&put(2, Status::Completed));
    world.check();
    world.write_through();
    assert_eq!(rows_of(&world, Kind::Active), 0);
    assert_eq!(rows_of(&world, Kind::Instance), 2);
    world.check();
}

#[test]
fn ended_instances_are_evicted_before_live_ones() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    for key in 0..6 {
        let status = if key % 2 == 0 {
            Status::Running
        } else {
            Status::Completed
        };
        world.apply(&put(key, status));
    }
    world.write_through();
    let all = world.tables.statistics();
    assert_eq!(all.resident_instances, 6);

    let budget = all.resident_bytes * 3 / 4;
    let mut world = World::new(InMemory::new(), budget);
    for key in 0..6 {
        let status = if key % 2 == 0 {
            Status::Running
        } else {
            Status::Completed
        };
        world.apply(&put(key, status));
    }
    world.write_through();
    let kept = world.tables.statistics();
    assert!(kept.resident_bytes <= budget, "{kept:?}");
    for live in [0, 2, 4].map(key) {
        assert!(
            world.tables.residents.find(&live).is_some(),
            "{live:?} was evicted"
        );
    }
    world.check();
}

#[test]
fn what_has_just_ended_leaves_when_memory_is_nearly_full() {
    let fill = |bytes_max| {
        let mut world = World::new(InMemory::new(), bytes_max);
        for number in 0..5 {
            world.apply(&put(number, Status::Running));
            world.write_through();
        }
        world.apply(&put(5, Status::Completed));
        world.write_through();
        world
    };
    let all = fill(usize::MAX).tables.statistics();
    assert_eq!(all.resident_instances, 6);

    let mut world = fill(all.resident_bytes);
    assert!(world.tables.residents.find(&key(5)).is_none());
    assert_eq!(world.tables.statistics().resident_instances, 5);
    assert!(world.tables.instance(&key(5)).expect("read").is_some());
    world.check();
}

#[test]
fn what_was_used_lately_stays() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    for key in 0..6 {
        world.apply(&put(key, Status::Running));
    }
    world.write_through();
    world.flush();

    let mut world = World::new(world.subject, usize::MAX);
    assert!(world.tables.instance(&key(0)).expect("read").is_some());
    let one = world.tables.statistics().resident_bytes;
    // Room for four and a bit; a fifth is loaded before the sixth has one of them evicted.
    let mut world = World::new(world.subject, one * 19 / 4);
    for number in 0..6 {
        assert!(world.tables.instance(&key(number)).expect("read").is_some());
    }
    let is_resident =
        |world: &World<_>, number| world.tables.residents.find(&key(number)).is_some();
    assert!(
        !is_resident(&world, 1),
        "all were used; the hand took the first it met"
    );

    assert!(world.tables.instance(&key(2)).expect("read").is_some());
    assert!(world.tables.instance(&key(1)).expect("read").is_some());
    assert!(is_resident(&world, 2), "used since the hand passed");
    assert!(!is_resident(&world, 3), "not used since");
}

#[test]
fn memory_is_bounded_by_what_is_read_too() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    for number in 0..6 {
        world.apply(&put(number, Status::Completed));
    }
    world.write_through();
    world.flush();
    let mut world = World::new(world.subject, 0);
    for number in 0..6 {
        assert!(world.tables.instance(&key(number)).expect("read").is_some());
        assert_eq!(
            world.tables.statistics().resident_instances,
            1,
            "the one just read"
        );
    }
}

#[test]
fn long_histories_are_removed_whole() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    for number in 0..100 {
        world.apply(&Change::PutHistory {
            key: 1,
            execution: 0,
            number,
            byte: 1,
        });
        world.apply(&Change::PutHistory {
            key: 1,
            execution: 1,
            number,
            byte: 2,
        });
    }
    world.write_through();
    assert_eq!(rows_of(&world, Kind::History), 200);
    world.apply(&Change::RemoveHistory {
        key: 1,
        execution: 0,
        count: 100,
    });
    world.check();
    world.write_through();
    assert_eq!(rows_of(&world, Kind::History), 100);
    assert!(world.tables.history(&key(1), &execution(1), 99).is_ok());
    world.check();
}

#[test]
fn acknowledged_messages_leave_no_rows() {
    let mut world = World::new(InMemory::new(), usize::MAX);
    world.apply(&Change::PutOutbox {
        target: 0,
        count: 100,
    });
    world.write_through();
    world.apply(&Change::PutOutbox {
        target: 0,
        count: 5,
    });
    world.apply(&Change::RemoveOutbox {
        target: 0,
        through: 103,
    });
    world.check();
    world.write_through();
    assert_eq!(rows_of(&world, Kind::Outbox), 2);
    world.flush();
    world.crash();
    world.check();
    world.apply(&Change::RemoveOutbox {
        target: 0,
        through: 105,
    });
    world.apply(&Change::PutOutbox {
        target: 0,
        count: 1,
    });
    world.check();
    world.write_through();
    assert_eq!(rows_of(&world, Kind::Outbox), 1);
}

#[test]
fn a_snapshot_holds_the_state_of_the_last_checkpoint() {
    for on_disk in [false, true] {
        if on_disk {
            snapshot_story(OnDisk::new())
        } else {
            snapshot_story(InMemory::new())
        }
    }
}

fn snapshot_story<S: Subject>(subject: S) {
    let mut world = World::new(subject, usize::MAX);
    for key in 0..4 {
        world.apply(&put(key, Status::Running));
        world.apply(&Change::PutHistory {
            key,
            execution: 0,
            number: 0,
            byte: key,
        });
    }
    world.apply(&Change::PutOutbox {
        target: 1,
        count: 3,
    });
    world.apply(&Change::Membership { byte: 1 });
    world.write_through();
    let digest = world.tables.state_digest().expect("read");
    let applied = world.tables.applied();
    let dir = world.subject.scratch();
    world.apply(&Change::RemoveInstance { key: 0 });
    let manifest = world.tables.rows().export(&dir).expect("exported");
    assert_eq!(Some(manifest.applied), applied);

    world
        .subject
        .store()
        .import(PARTITION, &dir)
        .expect("imported");
    world.flush_is_refused();
    let mut world = World::new(world.subject, usize::MAX);
    assert_eq!(world.tables.applied(), applied);
    assert_eq!(world.tables.state_digest().expect("read"), digest);
    let active = world.tables.active(None, 10).expect("read");
    assert_eq!(active.len(), 4);
}

impl<S: Subject> World<S> {
    /// The rows under these tables were replaced.
    fn flush_is_refused(&self) {
        assert!(self.tables.durability().flush().is_err());
    }
}

/// Checkpoints are written on another thread than the one that applies, and tables move between threads.
#[test]
fn tables_and_checkpoints_can_change_threads() {
    fn can<T: Send>() {}
    can::<super::super::PartitionTables>();
    can::<super::super::Checkpoint>();
    can::<super::super::Written>();
    can::<super::super::Replaced>();
    can::<super::super::Durability>();
}
