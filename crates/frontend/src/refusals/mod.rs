//! What is refused, in one table: every status and sentence about a bad request exists here and nowhere else.
//!
//! ```text
//!   rules    when, status, sentence             REQUIRED, NAME_LENGTH, TIMESTAMP, …
//!   rows     calls, field ─► rules              EVENT_NAME = [RaiseEvent] "name" [REQUIRED, NAME_LENGTH]
//!   checks   what the validators call           EVENT_NAME.name(text)?
//! ```
//!
//! `docs/bad-input.md` is written from the table, and the cases that test it are made from the table too.

mod checks;
#[cfg(test)]
mod page;
pub(crate) mod rows;
pub(crate) mod rules;

use std::fmt;

use tonic::Status;

use crate::rpc::Rpc;
use rules::{Max, Rule};

/// Characters of a caller's value that are repeated in a sentence: statuses travel in headers.
const FOUND_CHARS_MAX: usize = 200;

/// A field of some calls, and everything that is refused about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The calls.
    pub(crate) rpcs: &'static [Rpc],
    /// Its name on the wire.
    pub(crate) field: &'static str,
    /// In the order in which they are looked at.
    pub(crate) rules: &'static [&'static Rule],
    /// What becomes of the call.
    pub(crate) outcome: Outcome,
}

/// What a broken rule leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The call fails with the rule's status.
    Refused,
    /// The call succeeds, and what the worker answered for fails with the sentence: after an error the worker would
    /// only send the same answer again.
    Fails(&'static str),
}

/// A rule that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    row: &'static Row,
    rule: &'static Rule,
    found: String,
    max: Option<usize>,
}

impl Row {
    /// This field breaks `rule`, because it holds `found`.
    pub(crate) fn refuse(&'static self, rule: &'static Rule, found: impl fmt::Display) -> Refusal {
        debug_assert!(self.rules.contains(&rule), "{rule:?} is not in {self:?}");
        Refusal {
            row: self,
            rule,
            found: shortened(found),
            max: match rule.max {
                Max::Fixed(max) => Some(max),
                Max::Nothing | Max::Setting(_) => None,
            },
        }
    }

    /// The same for a limit that is set by the operator.
    fn refuse_above(
        &'static self,
        rule: &'static Rule,
        found: impl fmt::Display,
        max: usize,
    ) -> Refusal {
        Refusal {
            max: Some(max),
            ..self.refuse(rule, found)
        }
    }
}

impl Refusal {
    /// Whether it is for this reason.
    #[cfg(test)]
    pub(crate) fn is(&self, row: &'static Row, rule: &'static Rule) -> bool {
        self.row == row && self.rule == rule
    }
}

fn shortened(found: impl fmt::Display) -> String {
    let mut text = found.to_string();
    if let Some((end, _)) = text.char_indices().nth(FOUND_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.rule.text;
        while let Some((before, (name, after))) = placeholder(rest) {
            f.write_str(before)?;
            match (name, self.max) {
                ("field", _) => f.write_str(self.row.field)?,
                ("found", _) => f.write_str(&self.found)?,
                ("max", Some(max)) => write!(f, "{max}")?,
                ("setting", _) => f.write_str(self.rule.max.setting())?,
                (other, _) => write!(f, "{{{other}}}")?,
            }
            rest = after;
        }
        f.write_str(rest)
    }
}

/// The text before the next placeholder, its name, and the text after it.
fn placeholder(text: &'static str) -> Option<(&'static str, (&'static str, &'static str))> {
    let (before, from_name) = text.split_once('{')?;
    Some((before, from_name.split_once('}')?))
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.rule.code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests;
