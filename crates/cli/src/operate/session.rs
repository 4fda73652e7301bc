//! Where a command prints, and how often it looks.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::{Failure, Output};

/// Between two looks of a command that waits.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a command is given besides its arguments.
pub(super) struct Session<'a> {
    results: Box<dyn Write + 'a>,
    progress: Box<dyn Write + 'a>,
    pub(super) look_interval: Duration,
    /// The last progress told, which is not told again.
    told: String,
}

impl Session<'_> {
    /// Of this process.
    pub(super) fn of_process() -> Self {
        Self {
            results: Box::new(std::io::stdout()),
            progress: Box::new(std::io::stderr()),
            look_interval: LOOK_INTERVAL,
            told: String::new(),
        }
    }

    /// Prints the result, in the form that was asked for.
    pub(super) fn print(
        &mut self,
        output: Output,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let mut text = match output {
            Output::Table => table(),
            Output::Json => serde_json::to_string_pretty(&json()).expect("plain values") + "\n",
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(self.results.write_all(text.as_bytes())?)
    }

    /// Says how far it is, unless that was said last.
    pub(super) fn tell(&mut self, progress: impl Display) {
        let progress = progress.to_string();
        if progress != self.told {
            // Nobody has to listen.
            drop(writeln!(self.progress, "{progress}"));
            self.told = progress;
        }
    }
}

#[cfg(test)]
impl<'a> Session<'a> {
    /// One that prints into memory and looks all the time.
    pub(super) fn of_test(results: &'a mut Vec<u8>, progress: &'a mut Vec<u8>) -> Self {
        Self {
            results: Box::new(results),
            progress: Box::new(progress),
            look_interval: Duration::from_millis(1),
            told: String::new(),
        }
    }
}
