//! What is wrong with a configuration, in words that lead to the place.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(pub(super) String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong, one problem a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if nth == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// `Ok` unless there are problems.
pub(super) fn none_of(problems: Vec<Problem>) -> Result<(), ConfigError> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError { problems })
    }
}

/// The candidate that is most like `name`, as the end of a sentence.
pub(super) fn did_you_mean(name: &str, candidates: impl Iterator<Item = String>) -> String {
    let distance = |candidate: &String| strsim::damerau_levenshtein(name, candidate);
    candidates
        .min_by_key(distance)
        .map(|nearest| format!("; did you mean {nearest}?"))
        .unwrap_or_default()
}
