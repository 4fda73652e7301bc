//! How many checks a phase ran, read from what its programs print.

use std::{fmt, ops::AddAssign};

/// Checks by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One check that ended well.
    pub(crate) const ONE_PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    /// One check that did not.
    pub(crate) const ONE_FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    /// One check that could not be made on this machine.
    pub(crate) const ONE_SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// A line of cargo's test harness: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn from_cargo_line(line: &str) -> Option<Self> {
        let (_verdict, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Self::from_parts(numbers.split("; "))
    }

    /// The last line of a suite: `3 passed, 0 failed` or `3 passed, 0 failed, 1 skipped`.
    pub(crate) fn from_suite_line(line: &str) -> Option<Self> {
        Self::from_parts(line.trim().split(", "))
    }

    fn from_parts<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut passed, mut failed, mut skipped) = (None, None, 0);
        for part in parts {
            let (number, word) = part.split_once(' ')?;
            match word {
                "passed" => passed = Some(number.parse().ok()?),
                "failed" => failed = Some(number.parse().ok()?),
                "skipped" | "ignored" => skipped = number.parse().ok()?,
                _ => {}
            }
        }
        Some(Self {
            passed: passed?,
            failed: failed?,
            skipped,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            skipped,
        })
    }

    #[test]
    fn cargo_lines() {
        let check = |line: &str, expected| assert_eq!(Counts::from_cargo_line(line), expected);
        check(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; \
             finished in 0.01s",
            counts(3, 0, 1),
        );
        check(
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            counts(3, 2, 0),
        );
        check("test counts::tests::cargo_lines ... ok", None);
        check("test result: unknown", None);
    }

    #[test]
    fn suite_lines() {
        let check = |line: &str, expected| assert_eq!(Counts::from_suite_line(line), expected);
        check("12 passed, 0 failed", counts(12, 0, 0));
        check("12 passed, 1 failed, 2 skipped\n", counts(12, 1, 2));
        check("12 passed", None);
        check("no tests were run", None);
    }

    #[test]
    fn skipped_checks_are_shown_only_when_there_are_any() {
        assert_eq!(Counts::ONE_PASSED.to_string(), "1 passed, 0 failed");
        assert_eq!(
            Counts::ONE_SKIPPED.to_string(),
            "0 passed, 0 failed, 1 skipped"
        );
    }
}
