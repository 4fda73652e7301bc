//! Single instances, read while everything changes.

use longhaul_engine::Status;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::mem::MemTables;
use longhaul_engine::view::InstanceView;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::reading::Reading;
use super::agreement::{Step, any_budget, any_record_change, any_step_with};
use super::world::{Change, ENTITIES, KEYS, World, entity_key, key};
use crate::conformance::Subject;
use crate::testing::{InMemory, OnDisk};

fn keys() -> impl Iterator<Item = InstanceKey> {
    let instances = (0..KEYS).map(key);
    instances.chain((0..ENTITIES).map(entity_key))
}

fn expected(model: &MemTables, key: &InstanceKey) -> Option<InstanceView> {
    let instance = model.instances.get(key)?;
    Some(InstanceView::of(key, instance))
}

/// Readings are taken after every step. Half of them are read at once, the others steps later.
fn agree<S: Subject>(subject: S, budget: usize, steps: &[(Step, bool)]) {
    let mut world = World::new(subject, budget);
    let mut past = vec![world.model.clone()];
    let mut kept: Vec<(usize, InstanceKey, Reading)> = Vec::new();
    for (step, read_kept) in steps {
        if matches!(step, Step::Crash) {
            kept.clear();
        }
        step.take(&mut world);
        past.push(world.model.clone());
        for key in keys() {
            let seen = world.tables.read(&key).view().expect("read");
            assert_eq!(seen, expected(&world.model, &key), "{key:?}");
            kept.push((past.len() - 1, key.clone(), world.tables.read(&key)));
        }
        if *read_kept {
            for (taken, key, reading) in kept.drain(..) {
                let seen = reading.view().expect("read");
                let mut since = past[taken..].iter().map(|model| expected(model, &key));
                assert!(since.any(|state| state == seen), "{key:?} is {seen:?}");
            }
        }
    }
}

fn any_steps(max: usize) -> impl Strategy<Value = Vec<(Step, bool)>> {
    let step = any_step_with(any_record_change(KEYS));
    vec((step, prop::bool::weighted(0.2)), 1..max)
}

proptest! {
    #[test]
    fn readings_of_tables_in_memory_agree_with_the_model(
        budget in any_budget(),
        steps in any_steps(60),
    ) {
        agree(InMemory::new(), budget, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn readings_of_tables_on_disk_agree_with_the_model(
        budget in any_budget(),
        steps in any_steps(40),
    ) {
        agree(OnDisk::new(), budget, &steps);
    }
}

#[test]
fn what_is_read_takes_no_memory_from_what_is_used() {
    let mut world = World::new(InMemory::new(), 0);
    for number in [0, 2, 4] {
        world.apply(&Change::PutInstance {
            key: number,
            status: Status::Completed,
            second: number,
            payload_bytes: 10,
        });
    }
    world.write_through();
    assert_eq!(world.tables.statistics().resident_instances, 0);
    let found = world.tables.read(&key(2)).view().expect("read");
    assert_eq!(found.expect("stored").key, key(2));
    assert_eq!(world.tables.statistics().resident_instances, 0);
}

#[test]
fn readings_can_change_threads_and_outlive_the_tables() {
    fn can<T: Send + 'static>() {}
    can::<Reading>();

    let mut world = World::new(OnDisk::new(), 0);
    world.apply(&Change::PutInstance {
        key: 0,
        status: Status::Running,
        second: 1,
        payload_bytes: 10,
    });
    world.write_through();
    let reading = world.tables.read(&key(0));
    let World {
        tables, subject, ..
    } = world;
    drop(tables);
    assert!(reading.view().expect("read").is_some());
    drop(subject);
}
