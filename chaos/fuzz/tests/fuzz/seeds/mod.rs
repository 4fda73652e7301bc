//! Where fuzzing begins: inputs made by the encoders of clients, workers and stores.
//!
//! `LONGHAUL_WRITE_SEEDS=1 cargo test -p longhaul-fuzz seeds` writes them into the corpora, for libFuzzer to begin with.
//! A replay takes them as they are made today, and the files as they were made once.

mod calls;
mod commands;
mod output;
mod stored;

use std::fs;

use longhaul_fuzz::{TARGETS, target};

use crate::replay::{check, corpora};

/// The name of an input and the input.
type Seed = (String, Vec<u8>);

/// The seeds of a target.
pub(crate) fn of(name: &str) -> Vec<Seed> {
    let seeds = match name {
        "requests" => calls::seeds(),
        "commands" => commands::seeds(),
        "wal_damage" => stored::wal_damage(),
        "wal_forgery" => stored::wal_forgery(),
        "log_records" => stored::log_records(),
        "stored_records" => stored::stored_records(),
        "keys" => stored::keys(),
        "tokens" => stored::tokens(),
        "config" => stored::config(),
        "partial_completions" => stored::partial_completions(),
        "history" => stored::history(),
        other => panic!("{other} has no seeds"),
    };
    let named = seeds.into_iter();
    named
        .map(|(name, input)| (format!("seed-{name}"), input))
        .collect()
}

#[test]
fn seeds_are_good_inputs() {
    let write = std::env::var_os("LONGHAUL_WRITE_SEEDS").is_some();
    for name in TARGETS.map(|target| target.name) {
        let dir = corpora().join(name);
        if write {
            fs::create_dir_all(&dir).expect("a directory");
        }
        for (file, input) in of(name) {
            check(target(name).expect("in the table"), &file, &input);
            if write {
                fs::write(dir.join(&file), input).expect("written");
            }
        }
    }
}
