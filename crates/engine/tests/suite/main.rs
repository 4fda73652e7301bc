//! The engine seen from outside: commands in, replies, effects and rows out.
//!
//! ```text
//! transcripts/  stories in a line language, with what they bring about, to be read in review
//! properties/   random commands against a random worker: what must hold whatever happens
//! the rest      tables of cases for one subject each
//! support/      partitions that can be driven by hand, and a reader of history events
//! ```
//!
//! A test named `trap_NN_…` pins behaviour that a stock SDK depends on: rule NN of `docs/invariants.md`.

mod batch_answers;
mod batching;
mod creation;
mod decisions;
mod event_bytes;
mod event_reading;
mod framing;
mod history_rules;
mod opaque_values;
mod properties;
mod rewinding;
mod support;
mod transcripts;
mod views;
mod violations;
