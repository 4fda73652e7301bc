//! A walk over the fields of an encoded message, which is taken apart no further than its reader needs.

use super::wire::read_varint;

/// One field as it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// All of it, with its tag.
    pub whole: &'a [u8],
    /// What is in it.
    pub value: Value<'a>,
}

/// What is in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes, of which history events have none.
    Fixed,
}

impl<'a> Field<'a> {
    /// Text, bytes or a message; else empty.
    #[must_use]
    pub fn content(&self) -> &'a [u8] {
        match self.value {
            Value::Bytes(content) => content,
            Value::Varint(_) | Value::Fixed => &[],
        }
    }
}

/// Not an encoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an encoded message is malformed")]
pub struct MalformedMessage;

/// The fields of an encoded message, in the order in which they were written. Ends after the first malformed one.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Of `message`.
    #[must_use]
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn read(&self) -> Option<(Field<'a>, &'a [u8])> {
        let (tag, tag_len) = read_varint(self.0)?;
        let rest = &self.0[tag_len..];
        let (value, value_len) = match tag & 7 {
            0 => {
                let (value, len) = read_varint(rest)?;
                (Value::Varint(value), len)
            }
            1 => (Value::Fixed, 8),
            2 => {
                let (len, start) = read_varint(rest)?;
                let end = start.checked_add(usize::try_from(len).ok()?)?;
                (Value::Bytes(rest.get(start..end)?), end)
            }
            5 => (Value::Fixed, 4),
            _ => return None,
        };
        let (whole, rest) = self.0.split_at_checked(tag_len + value_len)?;
        let field = Field {
            number: u32::try_from(tag >> 3).ok()?,
            whole,
            value,
        };
        Some((field, rest))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, MalformedMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        match self.read() {
            Some((field, rest)) => {
                self.0 = rest;
                Some(Ok(field))
            }
            None => {
                self.0 = &[];
                Some(Err(MalformedMessage))
            }
        }
    }
}
