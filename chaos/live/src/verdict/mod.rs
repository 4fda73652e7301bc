//! What must be true of everything that a run saw. Pure: a record in, broken promises out.
//!
//! It shares no rule with the nodes. Each promise is a function of its own, and `tests.rs` breaks each of them.

mod activities;
mod entities;
mod events;
mod histories;
mod instances;
#[cfg(test)]
mod tests;

use crate::record::{Instance, Record};

/// Something that holds whatever happens to nodes, workers and the ways between them.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// As a sentence.
    pub says: &'static str,
    /// Every way in which a record shows it broken.
    pub broken: fn(&Record) -> Vec<String>,
}

const fn promise(says: &'static str, broken: fn(&Record) -> Vec<String>) -> Promise {
    Promise { says, broken }
}

/// The first of all promises.
pub const NO_START_LOST: &str = "an acknowledged start is never lost";

/// Every promise.
pub const PROMISES: [Promise; 19] = [
    promise("the workload comes to its end", |record| {
        record.unfinished.clone()
    }),
    promise("no call gets an answer that SDKs do not hide", |record| {
        record.refusals.clone()
    }),
    promise("reads see what was acknowledged before", |record| {
        record.stale_reads.clone()
    }),
    promise(NO_START_LOST, instances::lost),
    promise("a start is applied once", instances::started_twice),
    promise("every orchestration completes", instances::incomplete),
    promise("every output is the right one", instances::wrong_outputs),
    promise("an acknowledged event arrives", events::lost),
    promise("no event arrives twice, or from nowhere", events::invented),
    promise("events keep their order", events::disordered),
    promise(
        "outputs rest on their histories",
        activities::baseless_outputs,
    ),
    promise(
        "results come from runs of their activity",
        activities::invented,
    ),
    promise(
        "no run of an activity counts twice",
        activities::counted_twice,
    ),
    promise("histories begin and end once", histories::ends),
    promise(
        "whatever was asked for has one outcome",
        histories::outcomes,
    ),
    promise("no timer is early", histories::early_timers),
    promise("histories only grow", histories::rewritten),
    promise(
        "entities hold what was added to them, once each",
        entities::totals,
    ),
    promise(
        "critical sections are their owner's alone",
        entities::sections,
    ),
];

/// The promises that a record shows broken, with what shows it.
pub fn broken(record: &Record) -> Vec<(Promise, Vec<String>)> {
    let judged = PROMISES.map(|promise| (promise, (promise.broken)(record)));
    judged
        .into_iter()
        .filter(|(_, violations)| !violations.is_empty())
        .collect()
}

/// Whether entities hold what they should by now: what was acknowledged may take a moment to be done.
pub fn entities_are_done(record: &Record) -> bool {
    entities::totals(record).is_empty()
}

impl Record {
    fn everything(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().chain(&self.children)
    }
}
