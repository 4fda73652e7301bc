//! The harness notices: a bug put into what the node is given breaks a promise within a few seeds.

use longhaul_sim::{Sabotage, run};

/// Promises of which one is broken when something durable is not.
const LOSS: [&str; 11] = [
    "a node recovers from every honest crash",
    "acknowledged starts are never lost",
    "committed histories only grow",
    "a turn is taken once",
    "results of activities are those that workers sent",
    "events arrive once and in order",
    "states of entities change by committed batches",
    "operations of entities are applied once and in order",
    "calls are answered by the batch that was committed",
    "critical sections are their owner's alone, and end",
    "queries find what they should",
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

#[test]
fn a_batch_that_is_taken_and_thrown_away() {
    check(
        Sabotage::LostBatch,
        &["states of entities change by committed batches"],
    );
}

#[test]
fn an_answer_that_no_worker_gave() {
    check(
        Sabotage::WrongAnswer,
        &["calls are answered by the batch that was committed"],
    );
}

#[test]
fn an_entity_whose_record_is_an_older_one() {
    check(
        Sabotage::StaleEntities,
        &[
            "everything comes to rest",
            "states of entities change by committed batches",
            "operations of entities are applied once and in order",
            "critical sections are their owner's alone, and end",
        ],
    );
}

#[test]
fn an_acknowledged_signal_that_is_lost() {
    check(
        Sabotage::LostSignal,
        &["operations of entities are applied once and in order"],
    );
}

#[test]
fn a_signal_that_is_done_again_when_it_is_sent_again() {
    check(
        Sabotage::ForgottenRequest,
        &["operations of entities are applied once and in order"],
    );
}

#[test]
fn a_signal_that_does_not_wait_for_its_time() {
    check(Sabotage::HastySignal, &["nothing happens before its time"]);
}

#[test]
fn a_critical_section_that_is_open_to_others() {
    check(
        Sabotage::LooseLock,
        &["critical sections are their owner's alone, and end"],
    );
}

#[test]
fn a_row_that_a_query_leaves_out() {
    check(Sabotage::SkippedRow, &["queries find what they should"]);
}

#[test]
fn retention_that_does_not_wait() {
    check(
        Sabotage::HastyRetention,
        &["retention deletes what is old enough"],
    );
}
