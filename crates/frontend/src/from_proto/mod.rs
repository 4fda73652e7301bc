//! Requests as the engine and the partitions understand them. Whatever is malformed is refused here, with a sentence
//! that says what to do; nothing behind this module looks at the wire again.

mod activity;
mod calls;
mod create;
mod turn;
mod work_items;

use bytes::Bytes;
use longhaul_types::{InvalidHubName, InvalidInstanceId, Timestamp};
use prost::Message;

pub(crate) use activity::activity_result;
pub(crate) use calls::{instance, orchestration, raise_event, resume, suspend, terminate};
pub(crate) use create::{NewInstance, create_instance};
pub(crate) use turn::{answer, refused};
pub(crate) use work_items::session_spec;

/// Bytes of a name or version. Our choice: far above what code contains, far below what hurts.
const NAME_BYTES_MAX: usize = 1024;

/// Tags of one instance.
const TAGS_MAX: usize = 64;

/// Bytes of all keys and values of an instance's tags.
const TAGS_BYTES_MAX: usize = 64 << 10;

/// Names in one category of a worker's filters.
const FILTERS_MAX: usize = 10_000;

/// Work items of one kind that may be out on one stream, whatever it asks for.
const WORK_ITEMS_PER_STREAM_MAX: u32 = 10_000;

/// Seconds of the first and the last moment a protobuf timestamp can name: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A request that cannot be served as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// The instance id breaks a rule.
    #[error("{0}; set instanceId to an id that follows the rules")]
    InstanceId(#[from] InvalidInstanceId),
    /// The `taskhub` header breaks a rule.
    #[error("{0}; correct the taskhub header, which comes from TaskHub in the connection string")]
    TaskHub(InvalidHubName),
    /// Two different `taskhub` headers.
    #[error("the call names several task hubs; send the taskhub header once")]
    SeveralTaskHubs,
    /// A `taskhub` header that is not text.
    #[error(
        "the taskhub header is not ASCII text; a task hub name has only letters, digits, '-', '_' and '.'"
    )]
    UnreadableTaskHub,
    /// A field that must not be empty.
    #[error("{field} is required and must not be empty")]
    Missing {
        /// Its name on the wire.
        field: &'static str,
    },
    /// A name that is too long.
    #[error(
        "{field} has {bytes} bytes, but at most {NAME_BYTES_MAX} are allowed; use a shorter one"
    )]
    NameTooLong {
        /// Its name on the wire.
        field: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A payload that is too large.
    #[error(
        "{field} has {bytes} bytes, but at most {max} are allowed; keep large data elsewhere and pass a reference to it"
    )]
    PayloadTooLarge {
        /// Its name on the wire.
        field: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Too many tags.
    #[error("tags has {0} entries, but at most {TAGS_MAX} are allowed; use fewer")]
    TooManyTags(usize),
    /// Tags that are too large together.
    #[error(
        "tags has {0} bytes in all, but at most {TAGS_BYTES_MAX} are allowed; use shorter ones"
    )]
    TagsTooLarge(usize),
    /// A timestamp outside what protobuf allows.
    #[error(
        "{field} is no valid timestamp; it must lie in the years 1 to 9999, with nanos from 0 to 999999999"
    )]
    Timestamp {
        /// Its name on the wire.
        field: &'static str,
    },
    /// A status that does not exist.
    #[error("{field} holds {number}, which is no orchestration status")]
    Status {
        /// Its name on the wire.
        field: &'static str,
        /// What it holds.
        number: i32,
    },
    /// A limit below zero.
    #[error("{field} is {value}; use 0 for the server's default or a positive number")]
    NegativeLimit {
        /// Its name on the wire.
        field: &'static str,
        /// What it holds.
        value: i32,
    },
    /// Too many names in a worker's filters.
    #[error(
        "{field} has {count} entries, but at most {FILTERS_MAX} are allowed; leave workItemFilters out to take everything"
    )]
    TooManyFilters {
        /// Its name on the wire.
        field: &'static str,
        /// How many.
        count: usize,
    },
}

/// Takes over a payload without copying it.
fn payload(
    field: &'static str,
    text: Option<String>,
    max: usize,
) -> Result<Option<Bytes>, Invalid> {
    match text {
        Some(text) if text.len() > max => Err(Invalid::PayloadTooLarge {
            field,
            bytes: text.len(),
            max,
        }),
        text => Ok(text.map(Bytes::from)),
    }
}

/// Checks a name that must be there.
fn name(field: &'static str, text: String) -> Result<String, Invalid> {
    if text.is_empty() {
        return Err(Invalid::Missing { field });
    }
    short(field, &text)?;
    Ok(text)
}

fn short(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Invalid::NameTooLong {
            field,
            bytes: text.len(),
        });
    }
    Ok(())
}

fn timestamp(field: &'static str, at: prost_types::Timestamp) -> Result<Timestamp, Invalid> {
    match u32::try_from(at.nanos) {
        Ok(nanos) if nanos < 1_000_000_000 && TIMESTAMP_SECONDS.contains(&at.seconds) => {
            Ok(Timestamp {
                seconds: at.seconds,
                nanos,
            })
        }
        _ => Err(Invalid::Timestamp { field }),
    }
}

/// An opaque part, kept encoded.
fn encoded(message: Option<impl Message>) -> Option<Bytes> {
    message.map(|message| message.encode_to_vec().into())
}
