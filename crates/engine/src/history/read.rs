//! Reads the little of a stored history event that the server must know of it, without the wire library.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{InstanceId, Timestamp};

use super::fields::{Field, Fields, Value};

/// A stored event, as far as rewinding and purging look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// ExecutionStarted: what follows neither from the instance nor from its execution.
    Started {
        /// Timestamp.
        at: Timestamp,
        /// Not before this time.
        scheduled_start: Option<Timestamp>,
    },
    /// ExecutionCompleted.
    Completed,
    /// TaskScheduled: action id, name and version.
    TaskScheduled {
        /// Action id.
        id: i32,
        /// Name.
        name: Arc<str>,
        /// The activity's own version.
        version: Option<Arc<str>>,
    },
    /// TaskCompleted of this action id.
    TaskCompleted(i32),
    /// TaskFailed of this action id.
    TaskFailed(i32),
    /// SubOrchestrationInstanceCreated.
    ChildCreated(ChildCreated),
    /// SubOrchestrationInstanceCompleted of this action id.
    ChildCompleted(i32),
    /// SubOrchestrationInstanceFailed of this action id.
    ChildFailed(i32),
    /// TimerCreated: action id and due time.
    TimerCreated(i32, Timestamp),
    /// TimerFired of this action id.
    TimerFired(i32),
    /// EntityOperationCalled: what is sent again if no answer came.
    OperationCalled {
        /// Id of the request.
        request_id: Arc<str>,
        /// Operation.
        operation: String,
        /// Not before this time.
        scheduled: Option<Timestamp>,
        /// Input.
        input: Option<Bytes>,
        /// The entity.
        target: String,
    },
    /// EntityOperationCompleted or EntityOperationFailed of this request.
    OperationAnswered(Arc<str>),
    /// EntityLockRequested: what is asked for again if the locks were not granted.
    LockRequested {
        /// Id of the critical section.
        section: Arc<str>,
        /// Entities as the worker named them.
        lock_set: Vec<String>,
    },
    /// EntityLockGranted of this critical section.
    LockGranted(Arc<str>),
    /// EntityUnlockSent: what was left.
    Unlocked {
        /// Id of the critical section; any that holds the entity if empty.
        section: Arc<str>,
        /// The entity as the worker named it.
        target: String,
    },
    /// OrchestratorStarted: here a turn begins.
    TurnStarted,
    /// ExecutionRewound.
    Rewound,
    /// Anything else, or nothing that can be read.
    Other,
}

/// A child as its parent's history tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildCreated {
    /// Action id.
    pub id: i32,
    /// The child.
    pub instance: InstanceId,
    /// Name.
    pub name: Arc<str>,
    /// Version.
    pub version: Option<Arc<str>>,
    /// Input.
    pub input: Option<Bytes>,
    /// Encoded `TraceContext`.
    pub trace: Option<Bytes>,
    /// Tags: the parent's and the action's.
    pub tags: Vec<(String, String)>,
}

/// Reads one unframed event.
#[must_use]
pub fn read(event: &Bytes) -> Stored {
    read_event(event).unwrap_or(Stored::Other)
}

fn read_event(event: &Bytes) -> Option<Stored> {
    let (mut id, mut at, mut kind, mut body) = (0, None, 0, &[][..]);
    for field in fields(event) {
        match (field.number, field.value) {
            (1, Value::Varint(value)) => id = value as i32,
            (2, Value::Bytes(value)) => at = Some(timestamp(value)),
            (number, Value::Bytes(value)) => (kind, body) = (number, value),
            _ => {}
        }
    }
    let number = |field| int32(body, field);
    let text = |field| text(body, field);
    let kept = |content| event.slice_ref(content);
    Some(match kind {
        3 => Stored::Started {
            at: at?,
            scheduled_start: content(body, 6).map(timestamp),
        },
        4 => Stored::Completed,
        6 => Stored::TaskScheduled {
            id,
            name: text(1).into(),
            version: wrapped_text(body, 2).map(Into::into),
        },
        7 => Stored::TaskCompleted(number(1)),
        8 => Stored::TaskFailed(number(1)),
        9 => Stored::ChildCreated(ChildCreated {
            id,
            instance: InstanceId::trusted(text(1)),
            name: text(2).into(),
            version: wrapped_text(body, 3).map(Into::into),
            input: wrapped(body, 4).map(kept),
            trace: content(body, 5).map(kept),
            tags: map_entries(body, 6),
        }),
        10 => Stored::ChildCompleted(number(1)),
        11 => Stored::ChildFailed(number(1)),
        12 => Stored::TimerCreated(id, timestamp(content(body, 1)?)),
        13 => Stored::TimerFired(number(2)),
        14 => Stored::TurnStarted,
        24 => Stored::OperationCalled {
            request_id: text(1).into(),
            operation: text(2),
            scheduled: content(body, 3).map(timestamp),
            input: wrapped(body, 4).map(kept),
            target: wrapped_text(body, 7)?,
        },
        25 | 26 => Stored::OperationAnswered(text(1).into()),
        27 => Stored::LockRequested {
            section: text(1).into(),
            lock_set: contents(body, 2).filter_map(utf8).collect(),
        },
        28 => Stored::LockGranted(text(1).into()),
        29 => Stored::Unlocked {
            section: text(1).into(),
            target: wrapped_text(body, 3)?,
        },
        30 => Stored::Rewound,
        _ => Stored::Other,
    })
}

fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::of(message).map_while(Result::ok)
}

/// What is in each occurrence of a length-delimited field.
fn contents(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |field| match field.value {
        Value::Bytes(content) if field.number == number => Some(content),
        _ => None,
    })
}

/// What is in the last one.
fn content(message: &[u8], number: u32) -> Option<&[u8]> {
    contents(message, number).last()
}

fn int32(message: &[u8], number: u32) -> i32 {
    let values = fields(message).filter_map(|field| match field.value {
        Value::Varint(value) if field.number == number => Some(value as i32),
        _ => None,
    });
    values.last().unwrap_or(0)
}

fn utf8(content: &[u8]) -> Option<String> {
    String::from_utf8(content.to_vec()).ok()
}

fn text(message: &[u8], number: u32) -> String {
    content(message, number).and_then(utf8).unwrap_or_default()
}

/// What is inside a `StringValue`.
fn wrapped(message: &[u8], number: u32) -> Option<&[u8]> {
    Some(content(content(message, number)?, 1).unwrap_or_default())
}

fn wrapped_text(message: &[u8], number: u32) -> Option<String> {
    utf8(wrapped(message, number)?)
}

fn map_entries(message: &[u8], number: u32) -> Vec<(String, String)> {
    let entries = contents(message, number);
    entries
        .map(|entry| (text(entry, 1), text(entry, 2)))
        .collect()
}

fn timestamp(message: &[u8]) -> Timestamp {
    let mut at = Timestamp::EPOCH;
    for field in fields(message) {
        match (field.number, field.value) {
            (1, Value::Varint(seconds)) => at.seconds = seconds as i64,
            (2, Value::Varint(nanos)) => at.nanos = u32::try_from(nanos).unwrap_or(0),
            _ => {}
        }
    }
    at
}
