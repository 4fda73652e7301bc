//! The harness notices: a bug put into what the nodes of a cluster are given breaks a promise within a few seeds.

use longhaul_sim::{Sabotage, cluster};

/// Promises of which one is broken when something durable or acknowledged is not.
const LOSS: [&str; 15] = [
    "a node recovers from every honest crash",
    "acknowledged starts are never lost",
    "committed histories only grow",
    "histories are well-formed",
    "a turn is taken once",
    "results of activities are those that workers sent",
    "events arrive once and in order",
    "states of entities change by committed batches",
    "operations of entities are applied once and in order",
    "calls are answered by the batch that was committed",
    "critical sections are their owner's alone, and end",
    "queries find what they should",
    "a term has one leader",
    "replicas are equal",
    "everything comes to rest",
];

/// Seeds in which a bug must be caught.
const SEEDS: u64 = 100;

/// Runs seeds until one is caught, and expects the promise it breaks to be one of these.
fn check(sabotage: Sabotage, promises: &[&str]) {
    check_in(0..SEEDS, sabotage, promises);
}

/// The same, for bugs in what replicas send each other.
fn check_moves(sabotage: Sabotage, promises: &[&str]) {
    let seeds = (0..SEEDS).filter(|seed| cluster::moves_replicas(*seed));
    check_in(seeds, sabotage, promises);
}

fn check_in(mut seeds: impl Iterator<Item = u64>, sabotage: Sabotage, promises: &[&str]) {
    let caught =
        seeds.find_map(|seed| Some((seed, cluster::run(seed, sabotage, false).violation?)));
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
fn an_answer_before_the_commit() {
    check(Sabotage::EarlyAnswer, &LOSS);
}

#[test]
fn an_answer_that_is_taken_for_another_delivery() {
    check(Sabotage::AnyToken, &LOSS);
}

#[test]
fn a_turn_that_is_committed_in_part() {
    check(Sabotage::TornTurn, &LOSS);
}

#[test]
fn a_read_of_a_replica_that_does_not_lead() {
    check(Sabotage::LocalRead, &["acknowledged starts are never lost"]);
}

#[test]
fn a_clock_that_is_ahead() {
    check(Sabotage::HastyClock, &["nothing happens before its time"]);
}

#[test]
fn messages_that_are_delivered_twice() {
    check(Sabotage::SentAgain, &LOSS);
}

#[test]
fn messages_that_are_acknowledged_and_thrown_away() {
    check(Sabotage::NeverSent, &LOSS);
}

#[test]
fn messages_that_overtake_each_other() {
    check(Sabotage::SentInReverse, &LOSS);
}

#[test]
fn a_node_that_comes_back_without_what_it_had() {
    let forgotten = [&LOSS[..], &["nothing panics"]].concat();
    check(Sabotage::ReusedNodeId, &forgotten);
}

#[test]
fn replicas_that_do_not_know_of_each_other() {
    check(Sabotage::ClustersOfOne, &["a term has one leader"]);
}

#[test]
fn half_a_snapshot_that_is_taken_for_a_whole() {
    check_moves(Sabotage::HalfSnapshot, &LOSS);
}

#[test]
fn a_snapshot_without_what_is_due_later() {
    check_moves(Sabotage::SnapshotWithoutTimers, &LOSS);
}

#[test]
fn a_result_that_is_taken_and_thrown_away() {
    check(Sabotage::LostResult, &LOSS);
}
