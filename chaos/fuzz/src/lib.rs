//! Everything that reads bytes it cannot trust, as functions over bytes.
//!
//! ```text
//!   targets/   one file each: fn(&[u8]), which panics when a promise is broken
//!   TARGETS    the table of them
//!      │
//!      ├─ tests/fuzz      replays corpus/<target>/ and small changes to it, with every test run
//!      └─ libfuzzer/      searches for new inputs, guided by coverage: `cargo xtask fuzz`
//! ```
//!
//! Whatever an input does, a target neither panics nor reserves memory for what the input only claims to hold. What else
//! it promises is in the table.

mod input;
pub mod mutations;
mod targets;

pub use targets::commands::Step;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of its corpus and of its libFuzzer binary.
    pub name: &'static str,
    /// Panics if the promise is broken for this input.
    pub run: fn(&[u8]),
    /// What holds for every input.
    pub promise: &'static str,
}

/// Every target.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "requests",
        run: targets::requests::run,
        promise: "a message to any call is understood or refused in a few words, twice in the same way, and commands \
                  made from it come back from the log",
    },
    Target {
        name: "commands",
        run: targets::commands::run,
        promise: "whatever clients and workers send, the engine's invariants hold, and the log gives every replica the \
                  same rows, replies and effects",
    },
    Target {
        name: "wal_damage",
        run: targets::wal_damage::run,
        promise: "a damaged log refuses to open, or holds what it held after one of its batches, and goes on from there",
    },
    Target {
        name: "wal_forgery",
        run: targets::wal_forgery::run,
        promise: "a log whose records make no sense, though every checksum is right, refuses to open or opens twice alike",
    },
    Target {
        name: "log_records",
        run: targets::log_records::run,
        promise: "a vote, position, membership or entry is refused, or means the same when it is written again",
    },
    Target {
        name: "stored_records",
        run: targets::stored_records::run,
        promise: "a stored record is refused, or means the same when it is written again",
    },
    Target {
        name: "keys",
        run: targets::keys::run,
        promise: "a key is refused, or is the only one for what it says; keys order as what they say",
    },
    Target {
        name: "tokens",
        run: targets::tokens::run,
        promise: "completion and page tokens are accepted only as they were made, and only where they were made for",
    },
    Target {
        name: "config",
        run: targets::config::run,
        promise: "a configuration is refused line by line, or can be shown and read again",
    },
    Target {
        name: "partial_completions",
        run: targets::partial_completions::run,
        promise: "parts of a completion are joined by their numbers, up to a limit",
    },
    Target {
        name: "history",
        run: targets::history::run,
        promise: "any history is streamed event by event or found damaged; any event is read or left alone",
    },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Runs one target, for a libFuzzer binary of that name.
///
/// # Panics
/// There is no such target, or its promise is broken.
pub fn run(name: &str, input: &[u8]) {
    let target = target(name).expect("a binary is named after its target");
    (target.run)(input);
}
