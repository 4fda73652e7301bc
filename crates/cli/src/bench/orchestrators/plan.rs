//! What one instance is to do, as its input tells.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The input of every scenario's orchestration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench) struct Plan<'a> {
    /// How many steps.
    pub(in crate::bench) count: usize,
    /// How long each timer runs.
    pub(in crate::bench) delay_ms: u32,
    /// Carried by the instance's input, every step's input and every step's result.
    #[serde(borrow)]
    pub(in crate::bench) payload: Cow<'a, str>,
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
