//! Encoded protobuf fields: their sizes, and a walk over them.

use longhaul_engine::history::wire::{read_varint, varint_len};
use longhaul_types::Timestamp;

/// A stored event is not what the engine writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored history event is malformed")]
pub(crate) struct MalformedEvent;

/// Bytes of a length-delimited field with a number below 16 and `len` bytes of content.
pub(super) fn len_of(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Bytes of a `StringValue` field with a number below 16 and `len` bytes of text.
pub(super) fn len_of_string_value(len: usize) -> usize {
    len_of(if len == 0 { 0 } else { len_of(len) })
}

/// Bytes of an `int32` field with a number below 16.
pub(super) fn len_of_int32(value: i32) -> usize {
    if value == 0 {
        0
    } else {
        1 + varint_len(i64::from(value) as u64)
    }
}

/// Bytes of a `Timestamp` field with a number below 16.
pub(super) fn len_of_timestamp(at: Timestamp) -> usize {
    let part = |value: u64| if value == 0 { 0 } else { 1 + varint_len(value) };
    len_of(part(at.seconds as u64) + part(u64::from(at.nanos)))
}

/// One field as it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) number: u32,
    /// All of it, with its tag.
    pub(super) whole: &'a [u8],
    /// What is in it, if it is length-delimited; else empty.
    pub(super) content: &'a [u8],
}

/// The fields of an encoded message, in the order they are written. Ends after the first malformed one.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn read(&self) -> Option<(Field<'a>, &'a [u8])> {
        let (tag, tag_len) = read_varint(self.0)?;
        let rest = &self.0[tag_len..];
        let (skipped, content_len) = match tag & 7 {
            0 => (read_varint(rest)?.1, 0),
            1 => (8, 0),
            2 => {
                let (len, len_len) = read_varint(rest)?;
                (len_len, usize::try_from(len).ok()?)
            }
            5 => (4, 0),
            _ => return None,
        };
        let start = tag_len + skipped;
        let end = start.checked_add(content_len)?;
        let field = Field {
            number: u32::try_from(tag >> 3).ok()?,
            whole: self.0.get(..end)?,
            content: self.0.get(start..end)?,
        };
        Some((field, &self.0[end..]))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, MalformedEvent>;

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
                Some(Err(MalformedEvent))
            }
        }
    }
}
