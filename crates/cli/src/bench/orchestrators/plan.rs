//! What one instance is to do, as its input tells, and how far it has come, as its steps tell.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The input of every scenario's orchestration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench) struct Plan<'a> {
    /// How many steps.
    pub(in crate::bench) count: usize,
    /// How long each timer runs.
    pub(in crate::bench) delay_ms: u32,
    /// Carried by the instance's input, every step's input and every step's result.
    #[serde(borrow)]
    pub(in crate::bench) payload: Cow<'a, str>,
    /// The entity to call, if steps are calls.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(in crate::bench) entity: Cow<'a, str>,
}

impl<'a> Plan<'a> {
    pub(super) fn from_json(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    pub(in crate::bench) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text are JSON")
    }

    /// The input of step `nth`, itself JSON as the SDKs would write it.
    pub(super) fn greeting(&self, nth: usize) -> String {
        match self.payload.is_empty() {
            true => format!("\"hello {nth}\""),
            false => format!("\"hello {nth} {}\"", self.payload),
        }
    }
}

/// Input and result of one step of a relay: all that the next turn needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leg<'a> {
    /// Which step, from 1; also the id of its action.
    pub(super) nth: i32,
    /// The last step.
    pub(super) of: i32,
    /// Makes the history long; the first step alone has one.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) ballast: Cow<'a, str>,
}

impl<'a> Leg<'a> {
    /// The one before the first.
    pub(super) fn start(plan: Plan<'a>) -> Self {
        Self {
            nth: 0,
            of: i32::try_from(plan.count).unwrap_or(i32::MAX),
            ballast: plan.payload,
        }
    }

    pub(super) fn from_json(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text are JSON")
    }

    /// The next one, or `None` if this was the last.
    pub(super) fn next(self) -> Option<Self> {
        (self.nth < self.of).then(|| Self {
            nth: self.nth + 1,
            ballast: match self.nth {
                0 => self.ballast,
                _ => Cow::Borrowed(""),
            },
            ..self
        })
    }
}
