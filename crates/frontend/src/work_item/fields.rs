//! Sizes of encoded protobuf fields.

use longhaul_engine::history::wire::varint_len;
use longhaul_types::Timestamp;

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
