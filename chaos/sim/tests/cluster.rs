//! Seeds of a cluster, and everything that must hold in each of them.

mod common;

use std::collections::BTreeMap;

use common::{chosen_seed, seed_count};
use longhaul_sim::{Outcome, Sabotage, cluster};

/// Seeds of the test run when nobody says otherwise.
const SEEDS: u64 = 200;

/// A run of all seeds in which one of these never happens proves too little.
const MUST_HAPPEN: [&str; 36] = [
    "stopped",
    "killed",
    "power lost",
    "blackout",
    "disk failed",
    "paused",
    "resumed",
    "isolated",
    "cut",
    "cut one way",
    "links broken",
    "node slow",
    "clock of a node set",
    "leadership transferred",
    "elected",
    "replica moved",
    "node wiped",
    "snapshot installed",
    "client moved",
    "item taken elsewhere",
    "item handed out late",
    "stream lost",
    "answer repeated",
    "answer stale",
    "answer without outcome",
    "batch stale",
    "call refused",
    "call without outcome",
    "operation waits for a lock",
    "signal repeated",
    "end forced",
    "purged",
    "restarted",
    "rewound",
    "query answered",
    "survived",
];

#[test]
fn one_seed_gives_the_same_bytes_twice() {
    let echo = chosen_seed().is_some();
    let seeds = chosen_seed().map_or(0..6, |seed| seed..seed + 1);
    for seed in seeds {
        let (once, again) = (
            cluster::run(seed, Sabotage::None, echo),
            cluster::run(seed, Sabotage::None, echo),
        );
        assert_eq!(once, again, "seed {seed}");
        assert!(once.moments > 100, "seed {seed} does nothing");
    }
}

#[test]
fn every_promise_is_kept() {
    let seeds: Vec<u64> = match chosen_seed() {
        Some(seed) => vec![seed],
        None => (0..seed_count(SEEDS)).collect(),
    };
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in &seeds {
        let outcome = cluster::run(*seed, Sabotage::None, chosen_seed().is_some());
        expect_kept(*seed, &outcome);
        for (name, count) in outcome.counts {
            *counts.entry(name).or_default() += count;
        }
    }
    println!("{} seeds: {counts:?}", seeds.len());
    if seeds.len() as u64 >= SEEDS {
        for name in MUST_HAPPEN {
            assert!(counts.contains_key(name), "in no seed: {name}");
        }
    }
}

fn expect_kept(seed: u64, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!(
            "seed {seed}: not kept: {}: {}\nLONGHAUL_SIM_SEED={seed} runs it again with a trace",
            violation.invariant, violation.text
        );
    }
}
