//! Requests as the engine and the partitions understand them. Whatever is malformed is refused here, by the rows of
//! [`crate::refusals`]; nothing behind this module looks at the wire again.

mod activity;
mod batch;
mod calls;
mod create;
mod entities;
mod purge;
mod queries;
mod turn;
mod work_items;

use bytes::Bytes;
use prost::Message;

pub(crate) use activity::activity_result;
pub(crate) use batch::batch_answer;
pub(crate) use calls::{raise_event, resume, rewind_reason, suspend, terminate};
pub(crate) use create::{NewInstance, create_instance};
pub(crate) use entities::{EntityPage, Signal, clean_entity_storage, entity_query, signal};
pub(crate) use purge::{Purge, Skip, purge, skip};
pub(crate) use queries::{EndedPage, InstancePage, instance_query, list_ids};
pub(crate) use turn::{answer, refused, whole};
pub(crate) use work_items::session_spec;

/// An opaque part, kept encoded.
fn encoded(message: Option<impl Message>) -> Option<Bytes> {
    message.map(|message| message.encode_to_vec().into())
}
