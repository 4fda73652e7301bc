//! Properties: whatever happens in whatever order, the tables answer as the model does.

use longhaul_engine::instance::Status;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::{Change, ENTITIES, EXECUTIONS, KEYS, RUNS, TARGETS, World};
use crate::conformance::Subject;
use crate::testing::{InMemory, OnDisk};

/// One thing that can happen to tables.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Apply(Change),
    Freeze,
    Write,
    Complete,
    WriteThrough,
    Flush,
    Crash,
}

impl Step {
    pub(super) fn take<S: Subject>(&self, world: &mut World<S>) {
        match self {
            Self::Apply(change) => world.apply(change),
            Self::Freeze => world.freeze(),
            Self::Write => world.write(),
            Self::Complete => world.complete(),
            Self::WriteThrough => world.write_through(),
            Self::Flush => world.flush(),
            Self::Crash => world.crash(),
        }
    }
}

pub(super) fn any_status() -> impl Strategy<Value = Status> {
    select(vec![
        Status::Pending,
        Status::Running,
        Status::Completed,
        Status::Failed,
    ])
}

/// Changes of instances and entities with few keys and times, so that they meet.
pub(super) fn any_record_change(keys: u8) -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..keys, any_status(), 0..8_u8, 0..400_u16).prop_map(
            |(key, status, second, payload_bytes)| {
                Change::PutInstance { key, status, second, payload_bytes }
            }
        ),
        6 => (0..keys, any_status()).prop_map(|(key, status)| Change::UpdateInstance { key, status }),
        1 => (0..keys).prop_map(|key| Change::Suspend { key }),
        2 => (0..keys).prop_map(|key| Change::RemoveInstance { key }),
        2 => (0..ENTITIES, prop::option::of(0..99_u8))
            .prop_map(|(key, state)| Change::PutEntity { key, state }),
        2 => (0..ENTITIES, 0..8_u8, any::<bool>(), any::<bool>()).prop_map(
            |(key, second, has_state, is_waiting)| {
                Change::UpdateEntity { key, second, has_state, is_waiting }
            }
        ),
        1 => (0..ENTITIES).prop_map(|key| Change::RemoveEntity { key }),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let target = || 0..TARGETS.len();
    prop_oneof![
        1 => Just(Change::Nothing),
        18 => any_record_change(KEYS),
        3 => (0..KEYS, 0..EXECUTIONS, prop_oneof![0..3_u32, Just(RUNS - 1)], any::<u8>()).prop_map(
            |(key, execution, number, byte)| Change::PutHistory { key, execution, number, byte }
        ),
        2 => (0..KEYS, 0..EXECUTIONS, select(vec![0, 1, 2, 3, RUNS])).prop_map(
            |(key, execution, count)| Change::RemoveHistory { key, execution, count }
        ),
        3 => (target(), select(vec![1_u8, 2, 3, 100]))
            .prop_map(|(target, count)| Change::PutOutbox { target, count }),
        3 => (target(), prop_oneof![1..6_u64, 0..250_u64, Just(u64::MAX)])
            .prop_map(|(target, through)| Change::RemoveOutbox { target, through }),
        1 => any::<u8>().prop_map(|byte| Change::Membership { byte }),
    ]
}

/// Something that happens: `change`, mostly.
pub(super) fn any_step_with(change: impl Strategy<Value = Change>) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => change.prop_map(Step::Apply),
        3 => Just(Step::Freeze),
        3 => Just(Step::Write),
        3 => Just(Step::Complete),
        1 => Just(Step::WriteThrough),
        2 => Just(Step::Flush),
        1 => Just(Step::Crash),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    any_step_with(any_change())
}

/// From "keep nothing" over "keep about two" to "keep everything".
pub(super) fn any_budget() -> impl Strategy<Value = usize> {
    select(vec![0, 2_500, usize::MAX])
}

fn agree<S: Subject>(subject: S, budget: usize, steps: &[Step]) {
    let mut world = World::new(subject, budget);
    for step in steps {
        step.take(&mut world);
        world.check();
    }
    world.write_through();
    world.flush();
    let before = world.tables.state_digest().expect("read");
    world.crash();
    world.check();
    assert_eq!(
        world.tables.state_digest().expect("read"),
        before,
        "the last state is durable"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn tables_in_memory_agree_with_the_model(
        budget in any_budget(),
        steps in vec(any_step(), 0..60),
    ) {
        agree(InMemory::new(), budget, &steps);
    }

    /// The same entries with checkpoints anywhere, or after each one, or never: the same state.
    #[test]
    fn write_behind_equals_write_through(
        budget in any_budget(),
        steps in vec(any_step().prop_filter("no time travel", |s| !matches!(s, Step::Crash)), 0..60),
    ) {
        let mut behind = World::new(InMemory::new(), budget);
        let mut through = World::new(InMemory::new(), budget);
        let mut memory_only = World::new(InMemory::new(), usize::MAX);
        for step in &steps {
            match step {
                Step::Apply(change) => {
                    behind.apply(change);
                    through.apply(change);
                    through.write_through();
                    memory_only.apply(change);
                }
                Step::Freeze => behind.freeze(),
                Step::Write => behind.write(),
                Step::Complete => behind.complete(),
                Step::WriteThrough | Step::Flush | Step::Crash => {}
            }
        }
        let digest = through.tables.state_digest().expect("read");
        prop_assert_eq!(behind.tables.state_digest().expect("read"), digest);
        prop_assert_eq!(memory_only.tables.state_digest().expect("read"), digest);
        behind.write_through();
        prop_assert_eq!(behind.tables.state_digest().expect("read"), digest);
        let rows = |world: &World<InMemory>| world.tables.rows().scan(b"", None, usize::MAX);
        prop_assert_eq!(
            rows(&behind).expect("scanned"),
            rows(&through).expect("scanned"),
            "the same rows, byte by byte"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn tables_on_disk_agree_with_the_model(
        budget in any_budget(),
        steps in vec(any_step(), 0..40),
    ) {
        agree(OnDisk::new(), budget, &steps);
    }
}
