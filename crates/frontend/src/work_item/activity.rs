//! An activity as an `ActivityRequest`.

use bytes::{BufMut, BytesMut};
use longhaul_engine::InstanceKey;
use longhaul_engine::history::fields::{Fields, MalformedMessage};
use longhaul_engine::history::wire::{put_bytes, put_int32, put_string_value, put_text};
use longhaul_engine::instance::Activity;
use longhaul_proto::raw::EncodedWorkItem;

use super::fields::{len_of, len_of_int32, len_of_string_value};
use super::{put_head, work_item};

/// A stored event is not what the engine writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored history event is malformed")]
pub(crate) struct MalformedEvent;

impl From<MalformedMessage> for MalformedEvent {
    fn from(_: MalformedMessage) -> Self {
        Self
    }
}

/// Field of `WorkItem`.
const ACTIVITY_REQUEST: u32 = 2;

/// Field of `HistoryEvent`.
const TASK_SCHEDULED: u32 = 6;

/// What becomes of a field of `TaskScheduledEvent` in `ActivityRequest`.
enum Place {
    /// Name, version, input: the same number.
    Kept,
    /// Trace context and tags: another number, after the two fields that only the request has.
    Moved(u32),
    /// Nothing this server writes.
    Dropped,
}

fn place(number: u32) -> Place {
    match number {
        1..=3 => Place::Kept,
        4 => Place::Moved(6),
        5 => Place::Moved(7),
        _ => Place::Dropped,
    }
}

/// The work item that hands `activity` of the instance `key` to a worker.
///
/// # Errors
/// [`MalformedEvent`] if the stored event is not a TaskScheduled event.
pub(crate) fn encode_activity(
    key: &InstanceKey,
    activity: &Activity,
    token: &str,
) -> Result<EncodedWorkItem, MalformedEvent> {
    let scheduled = task_scheduled(&activity.event)?;
    let mut from_event = 0;
    for field in Fields::of(scheduled) {
        let field = field?;
        match place(field.number) {
            Place::Kept => from_event += field.whole.len(),
            Place::Moved(_) => from_event += len_of(field.content().len()),
            Place::Dropped => {}
        }
    }
    let (id, execution) = (key.id.as_str(), activity.execution.as_str());
    let instance_len = len_of(id.len()) + len_of_string_value(execution.len());
    let len = from_event + len_of(instance_len) + len_of_int32(activity.task_id);
    Ok(work_item(ACTIVITY_REQUEST, len, token, |out| {
        put_kept(out, scheduled);
        put_head(out, 4, instance_len);
        put_text(out, 1, id);
        put_string_value(out, 2, Some(execution.as_bytes()));
        put_int32(out, 5, activity.task_id);
        put_moved(out, scheduled);
    }))
}

/// The `TaskScheduledEvent` in an encoded `HistoryEvent`.
fn task_scheduled(event: &[u8]) -> Result<&[u8], MalformedEvent> {
    for field in Fields::of(event) {
        let field = field?;
        if field.number == TASK_SCHEDULED {
            return Ok(field.content());
        }
    }
    Err(MalformedEvent)
}

fn put_kept(out: &mut BytesMut, scheduled: &[u8]) {
    for field in Fields::of(scheduled).flatten() {
        if matches!(place(field.number), Place::Kept) {
            out.put_slice(field.whole);
        }
    }
}

fn put_moved(out: &mut BytesMut, scheduled: &[u8]) {
    for field in Fields::of(scheduled).flatten() {
        if let Place::Moved(number) = place(field.number) {
            put_bytes(out, number, field.content());
        }
    }
}
