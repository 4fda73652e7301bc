//! The few protobuf primitives that writing history events needs.
//!
//! The engine writes events field by field instead of building generated messages: it stays free of the wire
//! library, and payloads are copied once. `crates/frontend` holds the test that both give the same bytes.

use bytes::{BufMut, BytesMut};
use longhaul_types::Timestamp;

/// Bytes that `value` takes as a varint.
#[must_use]
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes a varint.
pub fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Reads a varint from the front of `input`: the value and how many bytes it took; `None` if it is cut or too long.
#[must_use]
pub fn read_varint(input: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (at, byte) in input.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// An `int32` or enum field; like protobuf, leaves out zero.
pub fn put_int32(out: &mut BytesMut, field: u32, value: i32) {
    if value != 0 {
        put_varint(out, u64::from(field << 3));
        put_varint(out, i64::from(value) as u64);
    }
}

/// A `bool` field; leaves out `false`.
pub fn put_bool(out: &mut BytesMut, field: u32, value: bool) {
    if value {
        put_varint(out, u64::from(field << 3));
        out.put_u8(1);
    }
}

/// A `bytes`, `string` or message field, written even if empty.
pub fn put_bytes(out: &mut BytesMut, field: u32, value: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, value.len() as u64);
    out.put_slice(value);
}

/// A `string` field; leaves out an empty one.
pub fn put_text(out: &mut BytesMut, field: u32, value: &str) {
    if !value.is_empty() {
        put_bytes(out, field, value.as_bytes());
    }
}

/// A `google.protobuf.StringValue` field; absent and empty differ.
pub fn put_string_value(out: &mut BytesMut, field: u32, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    put_varint(out, u64::from(field << 3 | 2));
    if value.is_empty() {
        put_varint(out, 0);
    } else {
        put_varint(
            out,
            (1 + varint_len(value.len() as u64) + value.len()) as u64,
        );
        put_bytes(out, 1, value);
    }
}

/// A `google.protobuf.Timestamp` field.
pub fn put_timestamp(out: &mut BytesMut, field: u32, at: Timestamp) {
    let nanos_len = if at.nanos == 0 {
        0
    } else {
        1 + varint_len(u64::from(at.nanos))
    };
    let seconds_len = if at.seconds == 0 {
        0
    } else {
        1 + varint_len(at.seconds as u64)
    };
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, (seconds_len + nanos_len) as u64);
    if at.seconds != 0 {
        out.put_u8(1 << 3);
        put_varint(out, at.seconds as u64);
    }
    if at.nanos != 0 {
        out.put_u8(2 << 3);
        put_varint(out, u64::from(at.nanos));
    }
}

/// A message field whose content `body` writes.
pub fn put_message(out: &mut BytesMut, field: u32, body: impl FnOnce(&mut BytesMut)) {
    let mut inner = BytesMut::new();
    body(&mut inner);
    put_bytes(out, field, &inner);
}

/// One entry of a `map<string, string>` field.
pub fn put_map_entry(out: &mut BytesMut, field: u32, key: &str, value: &str) {
    put_message(out, field, |entry| {
        put_text(entry, 1, key);
        put_text(entry, 2, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = BytesMut::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value));
                assert_eq!(read_varint(&out), Some((value, out.len())));
                assert_eq!(read_varint(&out[..out.len() - 1]), None);
            }
        }
    }

    #[test]
    fn absent_and_empty_differ_on_the_wire() {
        let mut out = BytesMut::new();
        put_string_value(&mut out, 3, None);
        assert!(out.is_empty());
        put_string_value(&mut out, 3, Some(b""));
        assert_eq!(&out[..], [0x1A, 0]);
    }
}
