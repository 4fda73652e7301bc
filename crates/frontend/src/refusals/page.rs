//! The documentation of the table.

use std::fmt::Write;

use super::rows::ALL;
use super::rules::Rule;
use super::{Outcome, Row};
use crate::rpc::Rpc;
use crate::status::code_name;

const INTRODUCTION: &str = "\
# Bad input

What a call of `TaskHubSidecarService` is refused for. This page is written from the table that the server itself uses
(`crates/frontend/src/refusals/`), and the cases that test it are made from the same table.

- A refused call has changed nothing, and its connection can be used on.
- Every refusal has a sentence that says what to do. In it, `…` stands for what was found.
- Fields that are not listed are taken as they come. Unknown fields, unknown capabilities of workers and unreadable
  trace contexts are ignored.
- Counts that are too high are lowered to the most there is; page sizes that are zero or negative mean the default.
- Times in filters include their lower and exclude their upper end; equal ends match nothing.
- A completion token that is unknown or stale is no mistake: the answer is OK, and nothing changes.
- Answers of workers are not refused for what is in them. A worker would only send the same answer again, so what it
  answered for fails instead, with the sentence in its failure details. A batch of an entity's operations that fails
  is offered again, and given up after some attempts; the entity keeps the state it had.
";

/// The whole page.
pub(crate) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "Every call", |row| {
        row.rpcs.len() > 1 && of_most(row)
    });
    for rpc in Rpc::ALL {
        let title = format!("`{}`", rpc.name());
        section(&mut page, &title, |row| {
            row.rpcs.contains(rpc) && !of_most(row)
        });
    }
    page
}

/// Whether a row is about calls as such.
fn of_most(row: &Row) -> bool {
    row.rpcs.len() + 2 >= Rpc::ALL.len()
}

fn section(page: &mut String, title: &str, belongs: impl Fn(&Row) -> bool) {
    let rows: Vec<_> = ALL.iter().filter(|row| belongs(row)).collect();
    write!(page, "\n## {title}\n\n").expect("a string takes everything");
    if rows.is_empty() {
        page.push_str("Nothing of its own.\n");
        return;
    }
    page.push_str("| field | refused if | answer | sentence |\n|---|---|---|---|\n");
    for row in rows {
        for rule in row.rules {
            writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                row.field,
                rule.condition(),
                answer(row, rule),
                sentence(row, rule)
            )
            .expect("a string takes everything");
        }
    }
}

fn answer(row: &Row, rule: &Rule) -> String {
    match row.outcome {
        Outcome::Refused => format!("`{}`", code_name(rule.code)),
        Outcome::Fails(what) => format!("`OK`; the {what} fails"),
    }
}

fn sentence(row: &Row, rule: &Rule) -> String {
    if rule.text.is_empty() {
        return "the transport's own".to_owned();
    }
    rule.text
        .replace("{field}", row.field)
        .replace("{found}", "…")
        .replace("{max}", &rule.max.to_string())
        .replace("{setting}", rule.max.setting())
        .replace('|', "\\|")
}
