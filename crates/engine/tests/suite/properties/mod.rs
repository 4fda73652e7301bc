//! Random commands against two partitions, a worker that decides at random and a network that loses and repeats.
//!
//! ```text
//! step.rs      what can happen, as drawn by proptest
//! worker.rs    random but valid answers to turns
//! world.rs     carries steps out, and at last heals everything
//! checks.rs    what must hold after every single command
//! hints.rs     what a leader knows from effects alone, compared with what the state says
//! ```

mod checks;
mod hints;
mod step;
mod worker;
mod world;

use longhaul_engine::{apply, outstanding};
use proptest::prelude::*;

use crate::support::Cluster;
use world::World;

/// `PROPTEST_CASES` sets how many cases are tried.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Every check of `checks.rs` and `hints.rs` runs inside, after every command.
    #[test]
    fn whatever_happens_the_rules_hold_and_healing_leaves_nothing_undone(
        steps in proptest::collection::vec(step::step(), 1..120)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.heal();
        world.check_quiescence();
    }

    #[test]
    fn the_same_log_gives_the_same_state_replies_and_effects(
        steps in proptest::collection::vec(step::step(), 1..80)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        let mut replica = Cluster::new(2);
        for (partition, log) in world.cluster.log.iter().enumerate() {
            let outcomes = &world.outcomes[partition];
            prop_assert_eq!(log.len(), outcomes.len());
            for (batch, expected) in log.iter().zip(outcomes) {
                for command in &batch.commands {
                    let tables = &mut replica.partitions[partition];
                    let outcome = apply(tables, batch.at, command.clone()).expect("memory does not fail");
                    prop_assert_eq!(&outcome, expected);
                }
            }
        }
        prop_assert_eq!(&replica.partitions, &world.cluster.partitions);
    }

    #[test]
    fn pages_of_outstanding_work_of_any_size_say_the_same(
        steps in proptest::collection::vec(step::step(), 1..60),
        limit in 1usize..5,
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        let now = world.cluster.now;
        for tables in &mut world.cluster.partitions {
            let all = outstanding(tables, None, 1_000, now).expect("readable");
            prop_assert_eq!(&all.next, &None);
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let page = outstanding(tables, after.as_ref(), limit, now).expect("readable");
                pages.extend(page.effects);
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(pages, all.effects);
        }
    }
}
