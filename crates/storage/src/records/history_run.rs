//! The record of one sealed run of history.

use bytes::{BufMut, Bytes};
use longhaul_proto::storage::v1 as wire;

use super::{Corrupt, envelope};

/// Appends the record of a run of framed events.
pub fn put_history_run(framed: &Bytes, out: &mut impl BufMut) {
    envelope::put(
        &wire::HistoryRun {
            framed: framed.clone(),
        },
        out,
    );
}

/// The framed events of a record.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the record.
pub fn decode_history_run(record: Bytes) -> Result<Bytes, Corrupt> {
    Ok(envelope::open::<wire::HistoryRun>(record)?.framed)
}
