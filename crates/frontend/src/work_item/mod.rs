//! Work items, spliced together from bytes that are encoded already.
//!
//! ```text
//! WorkItem ┬ 1 orchestratorRequest ┬ 1 instanceId, 2 executionId
//!          │                       ├ 3 pastEvents   framed history, copied as it is
//!          │                       ├ 4 newEvents    OrchestratorStarted, then the inbox messages
//!          │                       └ 5 entityParameters, 6 requiresHistoryStreaming, 8 trace context
//!          ├ 2 activityRequest       fields of the stored TaskScheduled event, renumbered
//!          ├ 4 healthPing
//!          ├ 5 entityRequestV2       instance, state, and the operations' events as they are stored
//!          └ 10 completionToken
//! ```
//!
//! Sizes are computed first: every item is one allocation and each payload is copied once. The tests hold the
//! result against what the wire library builds.

mod activity;
mod batch;
mod encoding;
mod fields;
mod turn;

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};
use longhaul_engine::history::wire::{put_bytes, put_varint};
use longhaul_proto::raw::EncodedWorkItem;

pub(crate) use activity::MalformedEvent;
pub(crate) use encoding::{ForOthers, encode};

/// Field of the completion token in `WorkItem`.
const TOKEN: u32 = 10;

/// Shows an idle worker that its stream lives; it has no token.
pub(crate) fn health_ping() -> EncodedWorkItem {
    const HEALTH_PING: &[u8] = &[4 << 3 | 2, 0];
    EncodedWorkItem(Bytes::from_static(HEALTH_PING))
}

/// A `WorkItem` whose request, `len` bytes in field `number`, is written by `body`.
fn work_item(
    number: u32,
    len: usize,
    token: &str,
    body: impl FnOnce(&mut BytesMut),
) -> EncodedWorkItem {
    let total = fields::len_of(len) + fields::len_of(token.len());
    let mut out = BytesMut::with_capacity(total);
    put_head(&mut out, number, len);
    body(&mut out);
    put_bytes(&mut out, TOKEN, token.as_bytes());
    debug_assert_eq!(out.len(), total, "the size was computed right");
    EncodedWorkItem(out.freeze())
}

/// Tag and length of a length-delimited field with a number below 16.
fn put_head(out: &mut BytesMut, number: u32, len: usize) {
    out.put_u8((number << 3 | 2) as u8);
    put_varint(out, len as u64);
}
