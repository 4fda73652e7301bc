//! Everything needed to create an instance; part of commands and messages.

use longhaul_engine::message::Creation;
use longhaul_proto::storage::v1 as wire;

use super::Corrupt;
use super::values::{
    execution, execution_to_wire, optional_text, optional_text_to_wire, optional_timestamp, parent,
    parent_to_wire, required, tags, tags_to_wire, text, text_to_wire, timestamp_to_wire,
};

pub(super) fn to_wire(creation: &Creation) -> wire::Creation {
    wire::Creation {
        execution_id: execution_to_wire(&creation.execution),
        name: text_to_wire(&creation.name),
        version: optional_text_to_wire(creation.version.as_ref()),
        input: creation.input.clone(),
        scheduled_start: creation.scheduled_start.map(timestamp_to_wire),
        tags: tags_to_wire(creation.tags.as_ref()),
        parent: parent_to_wire(creation.parent.as_ref()),
        encoded_parent_trace: creation.parent_trace.clone(),
        request_fingerprint: creation.request_fingerprint,
    }
}

pub(super) fn from_wire(creation: Option<wire::Creation>) -> Result<Creation, Corrupt> {
    let creation = required(creation, "creation")?;
    Ok(Creation {
        execution: execution(&creation.execution_id)?,
        name: text(&creation.name, "name")?,
        version: optional_text(creation.version.as_ref(), "version")?,
        input: creation.input,
        scheduled_start: optional_timestamp(creation.scheduled_start, "scheduled_start")?,
        tags: tags(creation.tags),
        parent: parent(creation.parent)?,
        parent_trace: creation.encoded_parent_trace,
        request_fingerprint: creation.request_fingerprint,
    })
}
