//! What the orchestrations of the workload are asked to do, and what they must return.

use serde::{Deserialize, Serialize};

use crate::record::Addition;

/// The operation of an entity that adds to it and returns its sum.
pub const ADD: &str = "add";
/// The operation of an entity that returns its sum.
pub const READ: &str = "read";
/// The event that counters count.
pub const EVENT: &str = "add";
/// What the last event of a counter carries.
pub const LAST_EVENT: &str = "the last";
/// The one activity.
pub const EFFECT: &str = "effect";
/// The entities' name.
pub const ACCOUNT: &str = "account";

/// An orchestration's input; its name is that of the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// So many activities side by side.
    Fan(u64),
    /// Timers of so many milliseconds one after the other, an activity after each.
    Naps(Vec<u64>),
    /// Returns what its events carried, in order, up to the last one.
    Counter,
    /// A child for each number, which is a fan of so many.
    Family(Vec<u64>),
    /// So many calls, one after the other, that each add 1 to an entity.
    Bookings {
        /// The entity's id.
        entity: String,
        /// How many calls.
        count: u64,
    },
    /// Moves an amount from one entity to another while both are locked.
    Transfer {
        /// Who gives.
        from: String,
        /// Who takes; another one.
        to: String,
        /// How much.
        amount: i64,
    },
}

/// What an activity returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The number that it was given.
    pub number: u64,
    /// The run's own name.
    pub nonce: String,
}

/// What a transfer returns: the giver's sum before and after it gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    /// Read under the lock.
    pub before: i64,
    /// Answered by the withdrawal.
    pub after: i64,
}

impl Shape {
    /// The orchestration's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fan(_) => "fan",
            Self::Naps(_) => "naps",
            Self::Counter => "counter",
            Self::Family(_) => "family",
            Self::Bookings { .. } => "bookings",
            Self::Transfer { .. } => "transfer",
        }
    }

    /// Every orchestration's name.
    pub const NAMES: [&'static str; 6] =
        ["fan", "naps", "counter", "family", "bookings", "transfer"];

    /// The orchestration's input.
    pub fn input(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// The numbers that its own activities must have returned, in the order of its output.
    pub fn numbers(&self) -> Vec<u64> {
        match self {
            Self::Fan(width) => (0..*width).collect(),
            Self::Naps(naps) => (0..naps.len() as u64).collect(),
            Self::Counter | Self::Family(_) | Self::Bookings { .. } | Self::Transfer { .. } => {
                vec![]
            }
        }
    }

    /// What it starts: ids and shapes.
    pub fn children(&self, instance_id: &str) -> Vec<(String, Self)> {
        let Self::Family(widths) = self else {
            return vec![];
        };
        let numbered = widths.iter().enumerate();
        numbered
            .map(|(nth, width)| (child_id(instance_id, nth), Self::Fan(*width)))
            .collect()
    }

    /// What it adds to entities, each once, if it completes.
    pub fn additions(&self, instance_id: &str) -> Vec<(String, Addition)> {
        match self {
            Self::Bookings { entity, count } => (0..*count)
                .map(|nth| (entity.clone(), booking(instance_id, nth)))
                .collect(),
            Self::Transfer { from, to, amount } => vec![
                (from.clone(), withdrawal(instance_id, *amount)),
                (to.clone(), deposit(instance_id, *amount)),
            ],
            Self::Fan(_) | Self::Naps(_) | Self::Counter | Self::Family(_) => vec![],
        }
    }
}

/// The id of the nth child.
pub fn child_id(instance_id: &str, nth: usize) -> String {
    format!("{instance_id}.{nth}")
}

/// The nth addition of bookings.
pub fn booking(instance_id: &str, nth: u64) -> Addition {
    Addition {
        tag: format!("{instance_id}/{nth}"),
        amount: 1,
    }
}

/// What a transfer takes.
pub fn withdrawal(instance_id: &str, amount: i64) -> Addition {
    Addition {
        tag: format!("{instance_id}/out"),
        amount: -amount,
    }
}

/// What a transfer gives.
pub fn deposit(instance_id: &str, amount: i64) -> Addition {
    Addition {
        tag: format!("{instance_id}/in"),
        amount,
    }
}
