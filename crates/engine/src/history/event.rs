//! Writes the history events that the server itself makes: one function per event.
//!
//! Field numbers are those of `HistoryEvent` and its parts in `proto/orchestrator_service.proto`. Inbound events have
//! event id -1; the order of fields within an event carries no meaning.

use bytes::{Bytes, BytesMut};
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use super::wire::{
    put_bool, put_bytes, put_int32, put_map_entry, put_message, put_string_value, put_text,
    put_timestamp,
};
use crate::instance::{Status, Tags};
use crate::message::Creation;

/// Event id of everything that no action of the orchestrator brought about.
pub const INBOUND: i32 = -1;

pub(super) fn event(id: i32, at: Timestamp, kind: u32, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    put_int32(&mut out, 1, id);
    put_timestamp(&mut out, 2, at);
    put_message(&mut out, kind, body);
    out.freeze()
}

/// The first event of an execution.
#[must_use]
pub fn execution_started(at: Timestamp, instance: &InstanceId, creation: &Creation) -> Bytes {
    event(INBOUND, at, 3, |out| {
        put_text(out, 1, &creation.name);
        put_string_value(out, 2, creation.version.as_deref().map(str::as_bytes));
        put_string_value(out, 3, creation.input.as_deref());
        put_message(out, 4, |id| {
            put_text(id, 1, instance.as_str());
            put_string_value(id, 2, Some(creation.execution.as_str().as_bytes()));
        });
        if let Some(parent) = &creation.parent {
            put_bytes(out, 5, &parent.info);
        }
        if let Some(start) = creation.scheduled_start {
            put_timestamp(out, 6, start);
        }
        if let Some(trace) = &creation.parent_trace {
            put_bytes(out, 7, trace);
        }
        put_tags(out, 9, creation.tags.as_deref());
    })
}

/// The last event of an execution; `id` is the complete action's, or [`INBOUND`] if the server forced the end.
#[must_use]
pub fn execution_completed(
    id: i32,
    at: Timestamp,
    status: Status,
    result: Option<&[u8]>,
    failure: Option<&[u8]>,
) -> Bytes {
    event(id, at, 4, |out| {
        put_int32(out, 1, status.to_wire());
        put_string_value(out, 2, result);
        if let Some(failure) = failure {
            put_bytes(out, 3, failure);
        }
    })
}

/// Somebody wants the execution ended.
#[must_use]
pub fn execution_terminated(at: Timestamp, input: Option<&[u8]>, recurse: bool) -> Bytes {
    event(INBOUND, at, 5, |out| {
        put_string_value(out, 1, input);
        put_bool(out, 2, recurse);
    })
}

/// An activity was scheduled. `name` to `tags` are the action's, opaque parts encoded.
#[must_use]
pub fn task_scheduled(
    id: i32,
    at: Timestamp,
    name: &str,
    version: Option<&str>,
    input: Option<&[u8]>,
    trace: Option<&[u8]>,
    tags: &Tags,
) -> Bytes {
    event(id, at, 6, |out| {
        put_text(out, 1, name);
        put_string_value(out, 2, version.map(str::as_bytes));
        put_string_value(out, 3, input);
        if let Some(trace) = trace {
            put_bytes(out, 4, trace);
        }
        put_tags(out, 5, Some(tags));
    })
}

/// An activity succeeded.
#[must_use]
pub fn task_completed(at: Timestamp, task_id: i32, result: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, 7, |out| {
        put_int32(out, 1, task_id);
        put_string_value(out, 2, result);
    })
}

/// An activity failed; `failure` is an encoded `TaskFailureDetails`.
#[must_use]
pub fn task_failed(at: Timestamp, task_id: i32, failure: &[u8]) -> Bytes {
    event(INBOUND, at, 8, |out| {
        put_int32(out, 1, task_id);
        put_bytes(out, 2, failure);
    })
}

/// A child was started.
#[must_use]
pub fn child_created(id: i32, at: Timestamp, instance: &InstanceId, child: &Creation) -> Bytes {
    event(id, at, 9, |out| {
        put_text(out, 1, instance.as_str());
        put_text(out, 2, &child.name);
        put_string_value(out, 3, child.version.as_deref().map(str::as_bytes));
        put_string_value(out, 4, child.input.as_deref());
        if let Some(trace) = &child.parent_trace {
            put_bytes(out, 5, trace);
        }
        put_tags(out, 6, child.tags.as_deref());
    })
}

/// A child succeeded.
#[must_use]
pub fn child_completed(at: Timestamp, task_id: i32, result: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, 10, |out| {
        put_int32(out, 1, task_id);
        put_string_value(out, 2, result);
    })
}

/// A child failed, was ended, or could not be started.
#[must_use]
pub fn child_failed(at: Timestamp, task_id: i32, failure: &[u8]) -> Bytes {
    event(INBOUND, at, 11, |out| {
        put_int32(out, 1, task_id);
        put_bytes(out, 2, failure);
    })
}

/// A timer was made.
#[must_use]
pub fn timer_created(id: i32, at: Timestamp, fire_at: Timestamp) -> Bytes {
    event(id, at, 12, |out| put_timestamp(out, 1, fire_at))
}

/// A timer fired; `fire_at` is the one it was made with.
#[must_use]
pub fn timer_fired(at: Timestamp, timer_id: i32, fire_at: Timestamp) -> Bytes {
    event(INBOUND, at, 13, |out| {
        put_timestamp(out, 1, fire_at);
        put_int32(out, 2, timer_id);
    })
}

/// A turn began; its timestamp is the orchestrator's clock.
#[must_use]
pub fn orchestrator_started(at: Timestamp) -> Bytes {
    event(INBOUND, at, 14, |_| {})
}

/// An event was sent to another instance.
#[must_use]
pub fn event_sent(id: i32, at: Timestamp, target: &str, name: &str, input: Option<&[u8]>) -> Bytes {
    event(id, at, 16, |out| {
        put_text(out, 1, target);
        put_text(out, 2, name);
        put_string_value(out, 3, input);
    })
}

/// An external event arrived.
#[must_use]
pub fn event_raised(at: Timestamp, name: &str, input: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, 17, |out| {
        put_text(out, 1, name);
        put_string_value(out, 2, input);
    })
}

/// The execution is to be suspended.
#[must_use]
pub fn execution_suspended(at: Timestamp, reason: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, 21, |out| put_string_value(out, 1, reason))
}

/// The execution is to be resumed.
#[must_use]
pub fn execution_resumed(at: Timestamp, reason: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, 22, |out| put_string_value(out, 1, reason))
}

/// The execution goes on from where it failed.
#[must_use]
pub fn execution_rewound(at: Timestamp, reason: Option<&[u8]>) -> Bytes {
    event(INBOUND, at, 30, |out| put_string_value(out, 1, reason))
}

/// An encoded `TaskFailureDetails` for a failure that the server itself reports; never worth a retry.
#[must_use]
pub fn failure_details(error_type: &str, message: &str) -> Bytes {
    let mut out = BytesMut::new();
    put_text(&mut out, 1, error_type);
    put_text(&mut out, 2, message);
    put_bool(&mut out, 5, true);
    out.freeze()
}

/// An encoded `ParentInstanceInfo`.
#[must_use]
pub fn parent_info(
    task_id: i32,
    name: &str,
    version: Option<&str>,
    instance: &InstanceId,
    execution: &ExecutionId,
) -> Bytes {
    let mut out = BytesMut::new();
    put_int32(&mut out, 1, task_id);
    put_string_value(&mut out, 2, Some(name.as_bytes()));
    put_string_value(&mut out, 3, version.map(str::as_bytes));
    put_message(&mut out, 4, |id| {
        put_text(id, 1, instance.as_str());
        put_string_value(id, 2, Some(execution.as_str().as_bytes()));
    });
    out.freeze()
}

fn put_tags(out: &mut BytesMut, field: u32, tags: Option<&Tags>) {
    for (key, value) in tags.into_iter().flatten() {
        put_map_entry(out, field, key, value);
    }
}
