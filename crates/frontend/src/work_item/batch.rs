//! A batch of an entity's operations as an `EntityRequest`.

use bytes::Bytes;
use longhaul_engine::batch::Batch;
use longhaul_engine::history::wire::{put_bytes, put_string_value, put_text};
use longhaul_proto::raw::EncodedWorkItem;

use super::fields::{len_of, len_of_string_value};
use super::work_item;

/// Field of `WorkItem`.
const ENTITY_REQUEST: u32 = 5;

/// The work item that hands `batch` to a worker. A state that is absent is left out, an empty one is sent.
pub(crate) fn encode_batch(batch: &Batch, token: &str) -> EncodedWorkItem {
    let context = &batch.context;
    let (id, execution) = (context.key.id.as_str(), context.execution.as_str());
    let state = batch.state.as_deref();
    let len = len_of(id.len())
        + len_of(execution.len())
        + state.map_or(0, |state| len_of_string_value(state.len()))
        + batch
            .events
            .iter()
            .map(|event: &Bytes| len_of(event.len()))
            .sum::<usize>();
    work_item(ENTITY_REQUEST, len, token, |out| {
        put_text(out, 1, id);
        put_text(out, 2, execution);
        put_string_value(out, 3, state);
        for event in &batch.events {
            put_bytes(out, 4, event);
        }
    })
}
