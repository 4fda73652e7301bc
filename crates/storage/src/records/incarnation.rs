//! The node-local record of which copy of a partition is in use.

use bytes::Bytes;
use longhaul_proto::storage::v1 as wire;

use super::{Corrupt, envelope};

/// The record that makes `incarnation` the current one.
#[must_use]
pub fn encode_incarnation(incarnation: u64) -> Bytes {
    envelope::seal(&wire::CurrentIncarnation { incarnation })
}

/// The current incarnation.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the record.
pub fn decode_incarnation(record: Bytes) -> Result<u64, Corrupt> {
    Ok(envelope::open::<wire::CurrentIncarnation>(record)?.incarnation)
}
