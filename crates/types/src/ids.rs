//! Ids of instances and of their executions.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits;

/// Id of an orchestration instance (or, beginning with `@`, of an entity); compared byte by byte.
///
/// Cheap to clone: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// An id that no instance may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstanceId {
    /// Nothing was given.
    #[error("an instance id is required")]
    Empty,
    /// More than [`limits::INSTANCE_ID_CHARS_MAX`] characters.
    #[error("the length of an instance id is at most {max} characters, this one has {0}", max = limits::INSTANCE_ID_CHARS_MAX)]
    TooLong(usize),
    /// A control character.
    #[error("an instance id cannot have control characters")]
    ControlCharacter,
    /// Ids beginning with `@` name entities.
    #[error("ids beginning with '@' are reserved for entities: {0:?}")]
    ReservedForEntities(String),
    /// Not `@name@key`.
    #[error("the id of an entity is '@name@key', this one is {0:?}")]
    NotAnEntity(String),
}

impl InstanceId {
    /// Checks the id of an orchestration instance.
    ///
    /// # Errors
    /// [`InvalidInstanceId`] says which rule was broken.
    pub fn parse(id: &str) -> Result<Self, InvalidInstanceId> {
        if id.starts_with('@') {
            return Err(InvalidInstanceId::ReservedForEntities(id.to_owned()));
        }
        Self::parse_any(id)
    }

    /// Checks the id of an instance or of an entity.
    ///
    /// # Errors
    /// [`InvalidInstanceId`] says which rule was broken.
    pub fn parse_any(id: &str) -> Result<Self, InvalidInstanceId> {
        if id.is_empty() {
            return Err(InvalidInstanceId::Empty);
        }
        let chars = id.chars().count();
        if chars > limits::INSTANCE_ID_CHARS_MAX {
            return Err(InvalidInstanceId::TooLong(chars));
        }
        if id.chars().any(char::is_control) {
            return Err(InvalidInstanceId::ControlCharacter);
        }
        Ok(Self(id.into()))
    }

    /// Checks the id of an entity, `@name@key`, and puts the name into lower case. The key is kept as it is and may
    /// contain further `@`.
    ///
    /// # Errors
    /// [`InvalidInstanceId`] says which rule was broken.
    pub fn parse_entity(id: &str) -> Result<Self, InvalidInstanceId> {
        let malformed = || InvalidInstanceId::NotAnEntity(id.to_owned());
        let rest = id.strip_prefix('@').ok_or_else(malformed)?;
        let (name, key) = rest.split_once('@').ok_or_else(malformed)?;
        if name.is_empty() {
            return Err(malformed());
        }
        Self::parse_any(&format!("@{}@{key}", name.to_lowercase()))
    }

    /// The name in an entity's id; `None` for an instance's.
    #[must_use]
    pub fn entity_name(&self) -> Option<&str> {
        let rest = self.0.strip_prefix('@')?;
        rest.split_once('@').map(|(name, _)| name)
    }

    /// Takes an id that was checked before it was stored.
    #[must_use]
    pub fn trusted(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an entity's id.
    #[must_use]
    pub fn is_entity(&self) -> bool {
        self.0.starts_with('@')
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for InstanceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Id of one execution (one generation) of an instance.
///
/// Ours are 32 lower-case hex digits; one supplied by a client is kept as it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(Arc<str>);

impl ExecutionId {
    /// Renders 16 random bytes; the caller supplies the randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)).into())
    }

    /// An id that follows from what it is for: the same on every replica.
    #[must_use]
    pub fn derived(from: &str, number: u64) -> Self {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(from.as_bytes());
        hasher.update(&[0]);
        hasher.update(&number.to_le_bytes());
        Self(format!("{:032x}", hasher.digest128()).into())
    }

    /// Takes the id as text, without a check: it is opaque.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_follow_the_rules_of_the_wire() {
        for good in ["a", "x:y.z-_ 2024-01-01T00:00:00Z", "ünï", &"x".repeat(100)] {
            assert_eq!(InstanceId::parse(good).expect("valid").as_str(), good);
        }
        assert_eq!(InstanceId::parse("").unwrap_err(), InvalidInstanceId::Empty);
        assert_eq!(
            InstanceId::parse("a\nb").unwrap_err(),
            InvalidInstanceId::ControlCharacter
        );
        assert!(
            InstanceId::parse(&"x".repeat(101))
                .unwrap_err()
                .to_string()
                .contains("length")
        );
        assert!(matches!(
            InstanceId::parse("@a@b"),
            Err(InvalidInstanceId::ReservedForEntities(_))
        ));
        assert!(InstanceId::parse_any("@a@b").expect("valid").is_entity());
    }

    #[test]
    fn execution_ids_are_thirty_two_lower_case_hex_digits() {
        assert_eq!(
            ExecutionId::from_random([0xAB; 16]).as_str(),
            "ab".repeat(16)
        );
        assert_eq!(ExecutionId::from_random([0; 16]).as_str(), "0".repeat(32));
    }
}
