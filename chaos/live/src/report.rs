//! What a run found, as a table and a line that others count.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use crate::recovery::Summary;

/// One fault's share of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its name.
    pub id: String,
    /// What it is.
    pub what: String,
    /// Rounds that happened.
    pub rounds: usize,
    /// How long there was nothing for clients of nodes that were not hit, for each round; for all if all were hit.
    pub recoveries: Vec<Duration>,
    /// The same for clients of the nodes that were hit.
    pub at_victims: Vec<Duration>,
    /// Attempts that SDKs repeat by themselves.
    pub hidden: u64,
    /// What callers of SDKs get to see, by kind.
    pub visible: BTreeMap<String, u64>,
    /// Orchestrations, events and signals that were looked at.
    pub looked_at: usize,
    /// Broken promises and what else is wrong.
    pub violations: Vec<String>,
    /// Why it did not happen, if it cannot here.
    pub impossible: Option<String>,
}

const HEADINGS: [&str; 11] = [
    "fault",
    "",
    "rounds",
    "looked at",
    "violations",
    "p50",
    "p99",
    "max",
    "max at victim",
    "retried",
    "seen by callers",
];

/// The table, and below it what was wrong and the counts.
pub fn shown(outcomes: &[Outcome]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(outcomes.iter().map(row));
    let mut text = aligned(&rows);
    for outcome in outcomes {
        for violation in &outcome.violations {
            writeln!(text, "{}: {violation}", outcome.id).expect("a string takes all");
        }
    }
    let impossible = |outcome: &&Outcome| outcome.impossible.is_some();
    let skipped = outcomes.iter().filter(impossible).count();
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.violations.is_empty());
    let failed = failed.count();
    let passed = outcomes.len() - failed - skipped;
    write!(text, "{passed} passed, {failed} failed").expect("a string takes all");
    if skipped > 0 {
        write!(text, ", {skipped} skipped").expect("a string takes all");
    }
    text
}

fn row(outcome: &Outcome) -> [String; 11] {
    if let Some(why) = &outcome.impossible {
        let mut row = [const { String::new() }; 11];
        row[0].clone_from(&outcome.id);
        row[1] = format!("{}: cannot happen here, {why}", outcome.what);
        return row;
    }
    let recovery = Summary::of(outcome.recoveries.clone());
    let of = |part: fn(Summary) -> Duration| recovery.map_or_else(dash, |all| seconds(part(all)));
    let at_victims = Summary::of(outcome.at_victims.clone());
    let visible: Vec<String> = outcome
        .visible
        .iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    [
        outcome.id.clone(),
        outcome.what.clone(),
        outcome.rounds.to_string(),
        outcome.looked_at.to_string(),
        outcome.violations.len().to_string(),
        of(|all| all.p50),
        of(|all| all.p99),
        of(|all| all.max),
        at_victims.map_or_else(dash, |all| seconds(all.max)),
        outcome.hidden.to_string(),
        if visible.is_empty() {
            "0".to_owned()
        } else {
            visible.join(", ")
        },
    ]
}

fn dash() -> String {
    "-".to_owned()
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Columns as wide as they must be; the last, and one that stands alone, as long as they are.
fn aligned(rows: &[[String; 11]]) -> String {
    let stands_alone = |row: &[String; 11]| row[2].is_empty();
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| !stands_alone(row));
        cells
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate();
        let line: Vec<String> = cells
            .map(|(column, cell)| format!("{cell:<0$}", width(column)))
            .collect();
        writeln!(text, "{}", line.join("  ").trim_end()).expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_and_violations_are_named() {
        let fine = Outcome {
            id: "K1".into(),
            rounds: 3,
            recoveries: vec![Duration::from_millis(250)],
            ..Outcome::default()
        };
        let broken = Outcome {
            id: "K2".into(),
            violations: vec!["an instance is gone".into()],
            ..Outcome::default()
        };
        let impossible = Outcome {
            id: "N1".into(),
            impossible: Some("needs 3 nodes".into()),
            ..Outcome::default()
        };
        let text = shown(&[fine.clone(), broken, impossible]);
        assert!(text.ends_with("1 passed, 1 failed, 1 skipped"), "{text}");
        assert!(text.contains("K2: an instance is gone"), "{text}");
        assert!(text.contains("0.25 s"), "{text}");
        assert!(shown(&[fine]).ends_with("1 passed, 0 failed"));
    }
}
