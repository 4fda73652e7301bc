//! Random commands against two partitions, a worker that decides at random and a network that loses and repeats.
//!
//! ```text
//! step.rs           what can happen, as drawn by proptest
//! worker.rs         random but valid answers to turns and batches
//! world.rs          carries steps out; entities.rs those of entities
//! healing.rs        lets everything finish, and looks what is left
//! checks.rs         what must hold after every single command; entity_checks.rs of entities
//! sections.rs       what must hold inside of critical sections
//! hints.rs          what a leader knows from effects alone, compared with what the state says
//! ```

mod checks;
mod entities;
mod entity_checks;
mod healing;
mod hints;
mod sections;
mod step;
mod worker;
mod world;

use longhaul_engine::{apply, outstanding};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::Cluster;
use step::Step;
use world::World;

/// `PROPTEST_CASES` sets how many cases are tried: half as many for each property.
fn config() -> ProptestConfig {
    let all = ProptestConfig::default().cases;
    ProptestConfig {
        failure_persistence: None,
        cases: (all / 2).max(1),
        ..ProptestConfig::default()
    }
}

/// Every check of `checks.rs`, `entity_checks.rs`, `sections.rs` and `hints.rs` runs inside, after every command.
fn live_and_heal(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        world.take(step);
    }
    world.heal();
    world.check_quiescence();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_rules_hold_and_healing_leaves_nothing_undone(
        steps in vec(step::anything(), 1..120)
    ) {
        live_and_heal(&steps);
    }

    #[test]
    fn critical_sections_exclude_each_other_and_everybody_gets_in(
        steps in vec(step::sections(), 1..120)
    ) {
        live_and_heal(&steps);
    }

    #[test]
    fn what_is_rewound_goes_on_from_where_it_failed(
        steps in vec(step::rewinds(), 1..120)
    ) {
        live_and_heal(&steps);
    }

    #[test]
    fn the_same_log_gives_the_same_state_replies_and_effects(
        steps in vec(step::anything(), 1..80)
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
        steps in vec(step::anything(), 1..60),
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
