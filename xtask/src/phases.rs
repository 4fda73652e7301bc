//! Runs the phases of a test run one after the other, streams their output and adds up the counts.
//!
//! A failing phase never keeps the later ones from running: one run shows everything that is wrong.

use std::{
    io::{BufRead, BufReader},
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::counts::Counts;

/// What has been run so far.
pub(crate) struct Report {
    started: Instant,
    total: Counts,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// A report without phases.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            total: Counts::default(),
            failed: vec![],
            skipped: vec![],
        }
    }

    /// Runs one phase and says whether it passed. An error counts as one failed check.
    pub(crate) fn phase(&mut self, name: &str, run: impl FnOnce() -> Result<Counts>) -> bool {
        println!("\n=== {name}");
        let started = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            Counts::ONE_FAILED
        });
        println!(
            "--- {name}: {counts} in {:.1} s",
            started.elapsed().as_secs_f64()
        );
        self.total += counts;
        if counts.failed > 0 {
            self.failed.push(name.to_owned());
        }
        if counts.skipped > 0 {
            self.skipped.push(format!("{name} ({})", counts.skipped));
        }
        counts.failed == 0
    }

    /// Prints the summary; its last line holds the counts of all phases.
    pub(crate) fn finish(self) -> ExitCode {
        println!(
            "\n=== done in {:.0} s",
            self.started.elapsed().as_secs_f64()
        );
        if !self.skipped.is_empty() {
            println!("SKIPPED in: {}", self.skipped.join(", "));
        }
        if !self.failed.is_empty() {
            println!("FAILED: {}", self.failed.join(", "));
        }
        println!("{} passed, {} failed", self.total.passed, self.total.failed);
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// A command that is one check: its exit status decides.
pub(crate) fn check(mut command: Command) -> Result<Counts> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    Ok(if status.success() {
        Counts::ONE_PASSED
    } else {
        Counts::ONE_FAILED
    })
}

/// `cargo test`: the results of all its test programs together.
pub(crate) fn cargo_tests(command: Command) -> Result<Counts> {
    let mut counts = Counts::default();
    let status = stream(command, |line| {
        if let Some(more) = Counts::from_cargo_line(line) {
            counts += more;
        }
    })?;
    Ok(with_status(counts, status))
}

/// A suite that ends with a line like `3 passed, 0 failed`. One that could not run on this machine says
/// `0 passed, 0 failed, 1 skipped`; one that ran nothing for no reason is an error.
pub(crate) fn suite(command: Command) -> Result<Counts> {
    let mut last = String::new();
    let status = stream(command, |line| {
        if !line.trim().is_empty() {
            last = line.to_owned();
        }
    })?;
    let counts = Counts::from_suite_line(&last);
    let counts = counts.with_context(|| format!("ended ({status}) without counts: {last:?}"))?;
    ensure!(
        counts != Counts::default(),
        "ended ({status}) without running anything"
    );
    Ok(with_status(counts, status))
}

/// A program that failed without saying what failed is itself a failed check.
fn with_status(mut counts: Counts, status: ExitStatus) -> Counts {
    if !status.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    counts
}

/// Shows the output as it comes and hands every line to `on_line`.
fn stream(mut command: Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot run {command:?}"))?;
    let mut output = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        on_line(text.trim_end());
        line.clear();
    }
    Ok(child.wait()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn counts(passed: u64, failed: u64) -> Counts {
        Counts {
            passed,
            failed,
            skipped: 0,
        }
    }

    #[test]
    fn results_of_all_test_programs_add_up() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; echo noise; \
                      echo 'test result: FAILED. 1 passed; 3 failed; 0 ignored'; exit 101";
        assert_eq!(cargo_tests(shell(script)).expect("ran"), counts(3, 3));
    }

    #[test]
    fn test_program_that_does_not_compile_is_a_failure() {
        assert_eq!(cargo_tests(shell("exit 101")).expect("ran"), counts(0, 1));
    }

    #[test]
    fn suite_is_counted_by_its_last_line() {
        let run = |script| suite(shell(script));
        assert_eq!(
            run("echo 9 passed, 9 failed; echo 4 passed, 0 failed").ok(),
            Some(counts(4, 0))
        );
        assert_eq!(
            run("echo 4 passed, 0 failed; exit 1").ok(),
            Some(counts(4, 1))
        );
        assert!(run("echo 4 passed, 0 failed; echo Killed").is_err());
    }

    #[test]
    fn suite_that_ran_nothing_is_skipped_only_if_it_says_so() {
        let run = |script| suite(shell(script));
        assert_eq!(
            run("echo 0 passed, 0 failed, 1 skipped").ok(),
            Some(Counts::ONE_SKIPPED)
        );
        assert!(run("echo 0 passed, 0 failed").is_err());
    }

    #[test]
    fn failing_phase_fails_the_report_but_not_the_next_phase() {
        let mut report = Report::new();
        assert!(!report.phase("broken", || anyhow::bail!("on purpose")));
        assert!(report.phase("fine", || check(shell("true"))));
        assert_eq!(report.total, counts(1, 1));
        assert_eq!(report.failed, ["broken"]);
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }
}
