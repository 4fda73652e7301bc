//! Reads the little of a stored history event that the server must know of it, without the wire library.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{InstanceId, Timestamp};

use super::wire::read_varint;

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
    let (mut id, mut at, mut kind, mut body) = (0, None, 0, Bytes::new());
    for field in Fields::new(event) {
        match (field.number, field.value) {
            (1, Value::Varint(value)) => id = value as i32,
            (2, Value::Bytes(value)) => at = Some(timestamp(&value)),
            (number, Value::Bytes(value)) => (kind, body) = (number, value),
            _ => {}
        }
    }
    let number = |field| body_number(&body, field);
    let text = |field| body_text(&body, field).unwrap_or_default();
    Some(match kind {
        3 => Stored::Started {
            at: at?,
            scheduled_start: field(&body, 6).map(|it| timestamp(&it)),
        },
        4 => Stored::Completed,
        6 => Stored::TaskScheduled {
            id,
            name: text(1).into(),
            version: wrapped_text(&body, 2).map(Into::into),
        },
        7 => Stored::TaskCompleted(number(1)),
        8 => Stored::TaskFailed(number(1)),
        9 => Stored::ChildCreated(ChildCreated {
            id,
            instance: InstanceId::trusted(text(1)),
            name: text(2).into(),
            version: wrapped_text(&body, 3).map(Into::into),
            input: wrapped(&body, 4),
            trace: field(&body, 5),
            tags: map_entries(&body, 6),
        }),
        10 => Stored::ChildCompleted(number(1)),
        11 => Stored::ChildFailed(number(1)),
        12 => Stored::TimerCreated(id, timestamp(&field(&body, 1)?)),
        13 => Stored::TimerFired(number(2)),
        24 => Stored::OperationCalled {
            request_id: text(1).into(),
            operation: text(2),
            scheduled: field(&body, 3).map(|it| timestamp(&it)),
            input: wrapped(&body, 4),
            target: wrapped_text(&body, 7)?,
        },
        25 | 26 => Stored::OperationAnswered(text(1).into()),
        27 => Stored::LockRequested {
            section: text(1).into(),
            lock_set: texts(&body, 2),
        },
        28 => Stored::LockGranted(text(1).into()),
        30 => Stored::Rewound,
        _ => Stored::Other,
    })
}

enum Value {
    Varint(u64),
    Bytes(Bytes),
}

struct Field {
    number: u32,
    value: Value,
}

/// The varint and length-delimited fields of a message; ends at the first thing it cannot read.
struct Fields {
    rest: Bytes,
}

impl Fields {
    fn new(message: &Bytes) -> Self {
        Self {
            rest: message.clone(),
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, taken) = read_varint(&self.rest)?;
        self.rest = self.rest.slice(taken..);
        Some(value)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = (bytes <= self.rest.len()).then(|| self.rest.slice(bytes..))?;
        Some(())
    }
}

impl Iterator for Fields {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let tag = self.varint()?;
            let number = u32::try_from(tag >> 3).ok()?;
            let value = match tag & 7 {
                0 => Value::Varint(self.varint()?),
                1 => {
                    self.skip(8)?;
                    continue;
                }
                2 => {
                    let len = usize::try_from(self.varint()?).ok()?;
                    let value = (len <= self.rest.len()).then(|| self.rest.slice(..len))?;
                    self.skip(len)?;
                    Value::Bytes(value)
                }
                5 => {
                    self.skip(4)?;
                    continue;
                }
                _ => return None,
            };
            return Some(Field { number, value });
        }
    }
}

/// The last occurrence of a length-delimited field.
fn field(message: &Bytes, number: u32) -> Option<Bytes> {
    Fields::new(message)
        .filter_map(|field| match field.value {
            Value::Bytes(value) if field.number == number => Some(value),
            _ => None,
        })
        .last()
}

fn body_number(message: &Bytes, number: u32) -> i32 {
    let values = Fields::new(message).filter_map(|field| match field.value {
        Value::Varint(value) if field.number == number => Some(value as i32),
        _ => None,
    });
    values.last().unwrap_or(0)
}

fn texts(message: &Bytes, number: u32) -> Vec<String> {
    let values = Fields::new(message).filter_map(|field| match field.value {
        Value::Bytes(value) if field.number == number => String::from_utf8(value.to_vec()).ok(),
        _ => None,
    });
    values.collect()
}

fn body_text(message: &Bytes, number: u32) -> Option<String> {
    String::from_utf8(field(message, number)?.to_vec()).ok()
}

/// What is inside a `StringValue`.
fn wrapped(message: &Bytes, number: u32) -> Option<Bytes> {
    Some(field(&field(message, number)?, 1).unwrap_or_default())
}

fn wrapped_text(message: &Bytes, number: u32) -> Option<String> {
    String::from_utf8(wrapped(message, number)?.to_vec()).ok()
}

fn map_entries(message: &Bytes, number: u32) -> Vec<(String, String)> {
    Fields::new(message)
        .filter_map(|field| match field.value {
            Value::Bytes(entry) if field.number == number => Some((
                body_text(&entry, 1).unwrap_or_default(),
                body_text(&entry, 2).unwrap_or_default(),
            )),
            _ => None,
        })
        .collect()
}

fn timestamp(message: &Bytes) -> Timestamp {
    let mut at = Timestamp::EPOCH;
    for field in Fields::new(message) {
        match (field.number, field.value) {
            (1, Value::Varint(seconds)) => at.seconds = seconds as i64,
            (2, Value::Varint(nanos)) => at.nanos = u32::try_from(nanos).unwrap_or(0),
            _ => {}
        }
    }
    at
}
