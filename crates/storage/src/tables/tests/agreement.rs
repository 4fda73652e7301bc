//! Properties: whatever happens in whatever order, the tables answer as the model does.

use longhaul_engine::instance::Status;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::{Change, EXECUTIONS, KEYS, RUNS, TARGETS, World};
use crate::conformance::Subject;
use crate::testing::{InMemory, OnDisk};

/// One thing that can happen to tables.
#[derive(Clone, Debug)]
enum Step {
    Apply(Change),
    Freeze,
    Write,
    Complete,
    WriteThrough,
    Flush,
    Crash,
}

fn any_status() -> impl Strategy<Value = Status> {
    select(vec![
        Status::Pending,
        Status::Running,
        Status::Completed,
        Status::Failed,
    ])
}

fn any_change() -> impl Strategy<Value = Change> {
    let target = || 0..TARGETS.len();
    prop_oneof![
        1 => Just(Change::Nothing),
        4 => (0..KEYS, any_status(), 0..400_u16).prop_map(|(key, status, payload_bytes)| {
            Change::PutInstance { key, status, payload_bytes }
        }),
        6 => (0..KEYS, any_status()).prop_map(|(key, status)| Change::UpdateInstance { key, status }),
        2 => (0..KEYS).prop_map(|key| Change::RemoveInstance { key }),
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

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_change().prop_map(Step::Apply),
        3 => Just(Step::Freeze),
        3 => Just(Step::Write),
        3 => Just(Step::Complete),
        1 => Just(Step::WriteThrough),
        2 => Just(Step::Flush),
        1 => Just(Step::Crash),
    ]
}

/// From "keep nothing" over "keep about two" to "keep everything".
fn any_budget() -> impl Strategy<Value = usize> {
    select(vec![0, 2_500, usize::MAX])
}

fn agree<S: Subject>(subject: S, budget: usize, steps: &[Step]) {
    let mut world = World::new(subject, budget);
    for step in steps {
        match step {
            Step::Apply(change) => world.apply(change),
            Step::Freeze => world.freeze(),
            Step::Write => world.write(),
            Step::Complete => world.complete(),
            Step::WriteThrough => world.write_through(),
            Step::Flush => world.flush(),
            Step::Crash => world.crash(),
        }
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
