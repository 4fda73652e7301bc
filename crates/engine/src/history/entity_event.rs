//! Writes the history events of entities: requests and their answers.

use bytes::{Bytes, BytesMut};
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use super::event::{INBOUND, event};
use super::wire::{put_bytes, put_string_value, put_text, put_timestamp};

/// Fields of `HistoryEvent`.
const SIGNALED: u32 = 23;
const CALLED: u32 = 24;
const COMPLETED: u32 = 25;
const FAILED: u32 = 26;
const LOCK_REQUESTED: u32 = 27;
const LOCK_GRANTED: u32 = 28;
const UNLOCK_SENT: u32 = 29;

/// What every request for an operation says.
#[derive(Clone, Copy, Debug)]
pub struct OperationText<'a> {
    /// Id of the request.
    pub request_id: &'a str,
    /// Which operation.
    pub operation: &'a str,
    /// Not before this time.
    pub scheduled: Option<Timestamp>,
    /// Input.
    pub input: Option<&'a [u8]>,
    /// The entity.
    pub target: &'a str,
}

/// An operation that nobody waits for; [`INBOUND`] for the entity, the action's id in a history.
#[must_use]
pub fn operation_signaled(id: i32, at: Timestamp, text: OperationText<'_>) -> Bytes {
    event(id, at, SIGNALED, |out| {
        put_operation(out, text);
        put_string_value(out, 5, Some(text.target.as_bytes()));
    })
}

/// An operation whose result `parent` waits for; [`INBOUND`] for the entity, the action's id in a history.
#[must_use]
pub fn operation_called(
    id: i32,
    at: Timestamp,
    text: OperationText<'_>,
    parent: (&InstanceId, &ExecutionId),
) -> Bytes {
    event(id, at, CALLED, |out| {
        put_operation(out, text);
        put_string_value(out, 5, Some(parent.0.as_str().as_bytes()));
        put_string_value(out, 6, Some(parent.1.as_str().as_bytes()));
        put_string_value(out, 7, Some(text.target.as_bytes()));
    })
}

fn put_operation(out: &mut BytesMut, text: OperationText<'_>) {
    put_text(out, 1, text.request_id);
    put_text(out, 2, text.operation);
    if let Some(scheduled) = text.scheduled {
        put_timestamp(out, 3, scheduled);
    }
    put_string_value(out, 4, text.input);
}

/// An operation succeeded.
#[must_use]
pub fn operation_completed(at: Timestamp, request_id: &str, output: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, COMPLETED, |out| {
        put_text(out, 1, request_id);
        put_string_value(out, 2, output);
    })
}

/// An operation failed; `failure` is an encoded `TaskFailureDetails`.
#[must_use]
pub fn operation_failed(at: Timestamp, request_id: &str, failure: &[u8]) -> Bytes {
    event(INBOUND, at, FAILED, |out| {
        put_text(out, 1, request_id);
        put_bytes(out, 2, failure);
    })
}

/// An orchestration asked for locks; the last three as the worker sent them.
#[must_use]
pub fn lock_requested(
    id: i32,
    at: Timestamp,
    section: &str,
    lock_set: &[String],
    position: i32,
    parent: Option<&[u8]>,
) -> Bytes {
    event(id, at, LOCK_REQUESTED, |out| {
        put_text(out, 1, section);
        for entity in lock_set {
            put_bytes(out, 2, entity.as_bytes());
        }
        super::wire::put_int32(out, 3, position);
        put_string_value(out, 4, parent);
    })
}

/// All locks of a critical section are held.
#[must_use]
pub fn lock_granted(at: Timestamp, section: &str) -> Bytes {
    event(INBOUND, at, LOCK_GRANTED, |out| put_text(out, 1, section))
}

/// An orchestration released an entity.
#[must_use]
pub fn unlock_sent(
    id: i32,
    at: Timestamp,
    section: &str,
    parent: Option<&[u8]>,
    target: &str,
) -> Bytes {
    event(id, at, UNLOCK_SENT, |out| {
        put_text(out, 1, section);
        put_string_value(out, 2, parent);
        put_string_value(out, 3, Some(target.as_bytes()));
    })
}
