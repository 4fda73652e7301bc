//! Every file of every corpus, and a few thousand small changes to them.
//!
//! The changes are decided by the files' names, so that what fails once fails again. A failure prints the input.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use longhaul_fuzz::mutations::Mutations;
use longhaul_fuzz::{TARGETS, Target, target};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xxhash_rust::xxh3::xxh3_64;

use crate::seeds;

/// Changed inputs of one target.
const CHANGED: usize = 4_000;

/// A whole corpus is done with within this, however slow the machine: the rest of the changes is left out.
const TIME: Duration = Duration::from_secs(8);

/// Address space of the tests: whoever reserves what an input merely claims to hold does not get it, and aborts.
const ADDRESS_SPACE: u64 = 4 << 30;

/// Where the corpora are.
pub(crate) fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files of a target's corpus, with their names, in order; and its seeds.
fn inputs(name: &str) -> Vec<(String, Vec<u8>)> {
    let dir = corpora().join(name);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut inputs: Vec<_> = files
        .map(|file| file.expect("listed").path())
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("read"))
        })
        .collect();
    inputs.extend(seeds::of(name));
    inputs.sort();
    inputs
}

fn limit_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let maximum = getrlimit(Resource::As).maximum;
        let current = Some(maximum.map_or(ADDRESS_SPACE, |it| it.min(ADDRESS_SPACE)));
        let limit = Rlimit { current, maximum };
        setrlimit(Resource::As, limit).expect("a limit may be lowered");
    });
}

/// Runs the target, and says for which input it panics.
pub(crate) fn check(target: Target, what: &str, input: &[u8]) {
    struct Named<'a>(&'a str, &'a str, &'a [u8]);
    impl Drop for Named<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let Self(target, what, input) = self;
                eprintln!("{target} breaks its promise for {what}: {input:?}");
            }
        }
    }
    let _named = Named(target.name, what, input);
    (target.run)(input);
}

fn replay(name: &str) {
    limit_memory();
    let target = target(name).expect("is in the table");
    let (inputs, began) = (inputs(name), Instant::now());
    assert!(!inputs.is_empty(), "{name} has no corpus");
    for (file, input) in &inputs {
        check(target, file, input);
    }
    let each = CHANGED.div_ceil(inputs.len());
    let mut changes: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(nth, (file, input))| {
            let (_, other) = &inputs[(nth + 1) % inputs.len()];
            (file, Mutations::new(input, other, xxh3_64(file.as_bytes())))
        })
        .collect();
    for nth in 0..each {
        for (file, changed) in &mut changes {
            if began.elapsed() > TIME {
                return;
            }
            let input = changed.next().expect("there is no end of them");
            check(target, &format!("change {nth} of {file}"), &input);
        }
    }
}

macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let names = TARGETS.map(|target| target.name);
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

replays!(
    requests,
    commands,
    wal_damage,
    wal_forgery,
    log_records,
    stored_records,
    keys,
    tokens,
    config,
    partial_completions,
    history,
);
