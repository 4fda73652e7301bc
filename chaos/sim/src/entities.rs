//! The entities of the workload. Each is a ledger: its state lists what was applied to it, in order, and by which
//! delivery of a batch, so that whoever reads it sees what became of every operation.
//!
//! ```text
//!   operation   input                 what it does                            result
//!   add         TAG                   adds `TAG#DELIVERY`                     the same
//!   flaky       TAG                   the same, or fails                      the same
//!   fail        TAG                   always fails                            none
//!   pass        TAG|ENTITY            add; tells ENTITY to add `derived` TAG  as add
//!   start       TAG|INSTANCE          add; starts INSTANCE with `BORN`        as add
//! ```
//!
//! A tag is `SENDER/NUMBER`; the numbers of a sender grow.

use longhaul_engine::batch::EntityAction;

use crate::history::Operation;

/// Input of an orchestration that an entity starts.
pub const BORN: &str = "seq:1";

/// The id of an entity.
#[must_use]
pub fn ledger(number: u64) -> String {
    format!("@ledger@{number}")
}

/// The id of an entity that is purged now and then.
#[must_use]
pub fn slate(number: u64) -> String {
    format!("@slate@{number}")
}

/// An entry of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied<'a> {
    /// What was applied.
    pub tag: &'a str,
    /// In which delivery of a batch.
    pub delivery: &'a str,
}

/// The entries of a ledger.
pub fn applied(state: &str) -> impl Iterator<Item = Applied<'_>> {
    let entries = state.split(',').filter(|it| !it.is_empty());
    entries.map(|entry| {
        let (tag, delivery) = entry.split_once('#').unwrap_or((entry, ""));
        Applied { tag, delivery }
    })
}

/// Who sent a tag, and its place among the sender's; what is behind `@` in a number tells who passed it on.
#[must_use]
pub fn sender_of(tag: &str) -> Option<(&str, u64)> {
    let (sender, number) = tag.rsplit_once('/')?;
    let number = number.split('@').next()?;
    Some((sender, number.parse().ok()?))
}

/// The tag of what an entity passes on after it applied a tag.
#[must_use]
pub fn derived(entity: &str, applied: Applied<'_>) -> Option<String> {
    let (sender, number) = sender_of(applied.tag)?;
    Some(format!("{sender}>{entity}/{number}@{}", applied.delivery))
}

/// What a worker makes of the first operations of a batch.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The state after them.
    pub state: Option<String>,
    /// Their results; absent for those that failed.
    pub results: Vec<Option<String>>,
    /// What they sent.
    pub actions: Vec<EntityAction>,
}

/// Runs operations; `fails` says what becomes of each flaky one.
pub fn run(
    entity: &str,
    state: Option<&str>,
    operations: &[Operation],
    delivery: u64,
    mut fails: impl FnMut() -> bool,
) -> Outcome {
    let mut outcome = Outcome {
        state: state.map(str::to_owned),
        ..Outcome::default()
    };
    for operation in operations {
        let failed = match operation.name.as_str() {
            "fail" => true,
            "flaky" => fails(),
            _ => false,
        };
        if failed {
            outcome.results.push(None);
            continue;
        }
        let entry = format!("{}#{delivery}", operation.tag());
        outcome.state = Some(match outcome.state.take() {
            Some(before) => format!("{before},{entry}"),
            None => entry.clone(),
        });
        outcome.actions.extend(action(entity, operation, delivery));
        outcome.results.push(Some(entry));
    }
    outcome
}

fn action(entity: &str, operation: &Operation, delivery: u64) -> Option<EntityAction> {
    let (tag, whom) = operation.input.split_once('|')?;
    let delivery = delivery.to_string();
    let applied = Applied {
        tag,
        delivery: &delivery,
    };
    Some(match operation.name.as_str() {
        "pass" => EntityAction::Signal {
            target: whom.to_owned(),
            operation: "add".to_owned(),
            input: derived(entity, applied).map(Into::into),
            scheduled: None,
        },
        "start" => EntityAction::Start {
            instance: whom.to_owned(),
            name: "simulated".to_owned(),
            version: None,
            input: Some(BORN.into()),
            scheduled: None,
            trace: None,
        },
        _ => return None,
    })
}
