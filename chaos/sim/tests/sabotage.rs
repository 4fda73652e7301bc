//! The harness notices: a bug put into what the node is given breaks a promise within a few seeds.

use longhaul_sim::{Sabotage, run};

/// Promises of which one is broken when something durable is not.
const LOSS: [&str; 6] = [
    "a node recovers from every honest crash",
    "acknowledged starts are never lost",
    "committed histories only grow",
    "a turn is taken once",
    "results of activities are those that workers sent",
    "events arrive once and in order",
];

/// Runs seeds until one is caught, and expects the promise it breaks to be one of these.
fn check(sabotage: Sabotage, promises: &[&str]) {
    let caught = (0..40).find_map(|seed| Some((seed, run(seed, sabotage, false).violation?)));
    let (seed, violation) = caught.unwrap_or_else(|| panic!("{sabotage:?} goes unnoticed"));
    println!("{sabotage:?} is caught with seed {seed}: {violation:?}");
    assert!(
        promises.contains(&violation.invariant),
        "{sabotage:?} with seed {seed} breaks another promise: {violation:?}"
    );
}

#[test]
fn a_disk_that_only_says_it_syncs() {
    check(Sabotage::DeafDisk, &LOSS);
}

#[test]
fn a_store_that_loses_rows() {
    check(Sabotage::LeakyStore, &LOSS);
}

#[test]
fn a_store_that_is_durable_in_word_only() {
    check(Sabotage::LazyStore, &LOSS);
}

#[test]
fn a_clock_that_is_ahead() {
    check(Sabotage::HastyClock, &["nothing happens before its time"]);
}

#[test]
fn randomness_that_repeats_itself() {
    check(
        Sabotage::StuckRandomness,
        &["committed histories only grow"],
    );
}

#[test]
fn an_answer_before_the_commit() {
    check(
        Sabotage::EarlyAnswer,
        &[
            "acknowledged starts are never lost",
            "events arrive once and in order",
        ],
    );
}

#[test]
fn a_result_that_is_taken_and_thrown_away() {
    check(
        Sabotage::LostResult,
        &[
            "results of activities are those that workers sent",
            "everything comes to rest",
        ],
    );
}
