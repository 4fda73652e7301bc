//! What the tests share: a few partitions driven by hand, and a reader of history events.

mod cluster;
mod event_text;
mod events;

pub(crate) use cluster::{Cluster, START};
pub(crate) use event_text::{event_text, failure_text, quoted, time_text};
pub(crate) use events::{decode, decode_framed, failure, kind_name};
