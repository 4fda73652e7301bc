//! How a report is printed: for people or for programs.

use clap::ValueEnum;
use serde::Serialize;

/// The form of a report on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Aligned lines for people
    Table,
    /// One JSON object
    Json,
}

/// A report's lines for people: a label and its text.
pub(super) type Rows = Vec<(&'static str, String)>;

impl Output {
    pub(super) fn print<R: Serialize>(
        self,
        report: &R,
        rows: impl FnOnce(&R) -> Rows,
    ) -> anyhow::Result<()> {
        match self {
            Self::Json => println!("{}", serde_json::to_string_pretty(report)?),
            Self::Table => {
                let rows = rows(report);
                let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
                for (label, text) in rows {
                    println!("{label:width$}  {text}");
                }
            }
        }
        Ok(())
    }
}

/// `part / whole` with three decimals, or `None` if there is nothing to divide by.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| rounded(part / whole))
}

/// Three decimals: more would pretend a precision that no measurement here has.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A number, or a dash for what could not be measured.
pub(super) fn or_dash(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} {unit}"))
}

/// Bytes in MiB.
pub(super) fn mebibytes(bytes: Option<u64>) -> String {
    or_dash(bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)), "MiB")
}
