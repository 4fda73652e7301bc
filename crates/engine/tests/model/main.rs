//! The whole engine against a small model of what the server does.
//!
//! ```text
//!                     ┌─► reference/   one world, plain maps, the rules in plain words
//! step (proptest) ────┤                                                          what was seen: the same?
//!                     └─► driver/      four partitions, outboxes, crashes, repetitions
//! ```
//!
//! Every step is taken on both sides, and then everything that anybody can see is compared: replies, instances and
//! entities as clients see them, histories event by event, the work that a new leader finds, each turn, activity and batch
//! that is handed out, and who has messages underway. At the end everything underway arrives and all due work is looked at.
//!
//! What the server is free to do is decided by the driver, for both sides alike: which worker answers next, which timer
//! fires, when a message between two partitions arrives. The model's letters arrive per sender and receiver in the order
//! in which they were sent, within a partition at once, each exactly once; the engine's are repeated, held back, sent too
//! early, and sent again after a crash. Two things are checked and not predicted: the text of ids that the server makes
//! up, as long as it is one text for one id, and the time at which a turn begins, as long as it is allowed. The time at
//! which a message arrived is left open. So are rewinds of what has activities or calls without a result or has been in a
//! critical section; and where a rewind goes on to children, nothing comes between.
//!
//! [`reference`] is where to read what the server does. Its mistakes on purpose, [`reference::Slip`], show that a
//! difference is noticed. `PROPTEST_CASES` sets how many cases are tried; what once failed is in `regressions.txt`.

mod driver;
mod reference;
mod values;

use driver::play;
use driver::steps::{self, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use reference::Slip;

/// Where proptest keeps what once failed.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model/regressions.txt");

/// In how many runs a slip has to be noticed.
const RUNS: usize = 400;

/// For each property a part of `PROPTEST_CASES`, in tenths.
fn config(tenths: u32) -> ProptestConfig {
    let all = ProptestConfig::default().cases;
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        cases: (all * tenths / 10).max(1),
        ..ProptestConfig::default()
    }
}

fn agree(steps: &[Step]) {
    if let Err(difference) = play(steps, None) {
        panic!("{difference}");
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn whatever_happens_the_engine_does_what_the_model_says(
        steps in vec(steps::anything(), 1..80)
    ) {
        agree(&steps);
    }
}

proptest! {
    #![proptest_config(config(3))]

    #[test]
    fn critical_sections_are_entered_and_left_as_the_model_says(
        steps in vec(steps::sections(), 1..80)
    ) {
        agree(&steps);
    }

    #[test]
    fn generations_follow_each_other_as_the_model_says(
        steps in vec(steps::generations(), 1..60)
    ) {
        agree(&steps);
    }

    #[test]
    fn failures_and_rewinds_go_as_the_model_says(
        steps in vec(steps::failures(), 1..60)
    ) {
        agree(&steps);
    }
}

/// The run that notices the slip, and what it sees.
fn noticed(slip: Slip) -> Option<(usize, String)> {
    let mut runner = TestRunner::deterministic();
    let strategies = [
        steps::anything(),
        steps::failures(),
        steps::sections(),
        steps::generations(),
    ];
    (0..RUNS).find_map(|run| {
        let steps = vec(strategies[run % strategies.len()].clone(), 40..80);
        let steps = steps.new_tree(&mut runner).expect("steps can be drawn");
        let difference = play(&steps.current(), Some(slip)).err()?;
        Some((run, difference))
    })
}

#[test]
fn a_model_that_is_wrong_on_purpose_is_found_out() {
    for slip in Slip::ALL {
        let found = noticed(slip);
        assert!(found.is_some(), "{slip:?} is not noticed in {RUNS} runs");
    }
}
