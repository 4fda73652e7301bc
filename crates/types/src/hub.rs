//! Task hubs: the isolation boundary for instances.

use std::fmt;
use std::sync::Arc;

use crate::limits;

/// Number of a task hub inside this cluster; part of every key on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubId(pub u32);

/// Name of a task hub: 1 to [`limits::HUB_NAME_CHARS_MAX`] characters, compared without case, shown as first written.
#[derive(Clone, Debug)]
pub struct HubName(Arc<str>);

/// A name that cannot be a task hub's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHubName {
    /// The name has no characters.
    #[error("a task hub name cannot be empty")]
    Empty,
    /// The name is longer than [`limits::HUB_NAME_CHARS_MAX`].
    #[error("a task hub name has at most {max} characters, this one has {0}", max = limits::HUB_NAME_CHARS_MAX)]
    TooLong(usize),
    /// The name has a character that is not allowed in a header value.
    #[error("a task hub name has only letters, digits, '-', '_' and '.', not {0:?}")]
    Character(char),
}

impl HubName {
    /// Checks and takes over `name`.
    ///
    /// # Errors
    /// [`InvalidHubName`] says which rule was broken.
    pub fn parse(name: &str) -> Result<Self, InvalidHubName> {
        let chars = name.chars().count();
        if chars == 0 {
            return Err(InvalidHubName::Empty);
        }
        if chars > limits::HUB_NAME_CHARS_MAX {
            return Err(InvalidHubName::TooLong(chars));
        }
        match name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c)))
        {
            Some(bad) => Err(InvalidHubName::Character(bad)),
            None => Ok(Self(name.into())),
        }
    }

    /// As first written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which names are compared.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for HubName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HubName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_shown_as_written() {
        let name = HubName::parse("My-Hub_1").expect("valid");
        assert_eq!(name, HubName::parse("my-hub_1").expect("valid"));
        assert_eq!(name.as_str(), "My-Hub_1");
        assert_eq!(name.folded(), "my-hub_1");
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        assert_eq!(HubName::parse("").unwrap_err(), InvalidHubName::Empty);
        assert_eq!(
            HubName::parse("a b").unwrap_err(),
            InvalidHubName::Character(' ')
        );
        assert!(matches!(
            HubName::parse(&"x".repeat(65)).unwrap_err(),
            InvalidHubName::TooLong(65)
        ));
    }
}
