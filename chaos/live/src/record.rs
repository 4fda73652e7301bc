//! What a run saw, outside of the nodes: all that its verdict rests on.

use std::collections::BTreeMap;

use longhaul_proto::sidecar::{HistoryEvent, OrchestrationState};
use serde::{Deserialize, Serialize};

use crate::workload::shapes::Shape;

/// Everything that clients and workers saw and did, and what the nodes said in the end.
#[derive(Debug, Default)]
pub struct Record {
    /// Instances whose start was acknowledged.
    pub instances: Vec<Instance>,
    /// Their children.
    pub children: Vec<Instance>,
    /// Events that clients raised.
    pub raised: Vec<Raised>,
    /// Signals that were acknowledged.
    pub signals: Vec<Signal>,
    /// Runs of activities.
    pub effects: Vec<Effect>,
    /// Entities by id, as read in the end; none where there was no state.
    pub entities: BTreeMap<String, Option<Tally>>,
    /// Histories read while the run was on, in the order in which they were asked for, one after the other for each instance.
    pub sightings: Vec<Sighting>,
    /// Reads that did not see what had been acknowledged before they began.
    pub stale_reads: Vec<String>,
    /// Answers that no SDK hides and that the fault does not explain.
    pub refusals: Vec<String>,
    /// What did not come to its end in time.
    pub unfinished: Vec<String>,
}

/// An orchestration: what was asked for, and what became of it.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// What it was to do.
    pub shape: Shape,
    /// The execution id that its starter chose; none for children.
    pub execution_id: Option<String>,
    /// Its state in the end, if it exists.
    pub state: Option<OrchestrationState>,
    /// Its history in the end.
    pub history: Vec<HistoryEvent>,
}

/// One attempt to raise one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// To whom.
    pub instance_id: String,
    /// What it carried; no two attempts carry the same.
    pub event: String,
    /// Whether it was acknowledged; if not, nobody knows whether it arrives.
    pub acknowledged: bool,
}

/// One signal to an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The entity's id.
    pub entity_id: String,
    /// What it adds.
    pub addition: Addition,
}

/// One run of an activity, written down by the worker before it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The orchestration that asked for it.
    pub instance_id: String,
    /// The id of the action that asked for it.
    pub task_id: i32,
    /// The number that it was given.
    pub number: u64,
    /// This run's own name.
    pub nonce: String,
    /// The worker's own name.
    pub worker: String,
}

/// A history as it was at some time.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Whose.
    pub instance_id: String,
    /// Its events.
    pub history: Vec<HistoryEvent>,
}

/// What an operation adds to an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    /// The operation's own name.
    pub tag: String,
    /// How much.
    pub amount: i64,
}

/// The state of an entity: what was added to it, condensed so that a loss, a repetition or a stranger shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many additions.
    pub count: u64,
    /// Their sum.
    pub sum: i64,
    /// A sum of the hashes of their tags.
    pub marks: u64,
}

impl Tally {
    /// With one addition more.
    #[must_use]
    pub fn with(self, addition: &Addition) -> Self {
        Self {
            count: self.count + 1,
            sum: self.sum + addition.amount,
            marks: self.marks.wrapping_add(mark(&addition.tag)),
        }
    }
}

/// FNV-1a of a tag, kept within what JSON numbers hold exactly.
fn mark(tag: &str) -> u64 {
    let hash = tag.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 24
}
