//! Values that several records share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::instance::{InboxKind, InboxMessage, ParentLink, Status, Tags};
use longhaul_engine::key::InstanceKey;
use longhaul_proto::storage::v1 as wire;
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionId, Timestamp};

use super::Corrupt;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

// === texts ===

pub(super) fn text_to_wire(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn text(bytes: &Bytes, field: &'static str) -> Result<Arc<str>, Corrupt> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(Corrupt::NotText(field)),
    }
}

pub(super) fn optional_text_to_wire(text: Option<&Arc<str>>) -> Option<Bytes> {
    text.map(|text| text_to_wire(text))
}

pub(super) fn optional_text(
    bytes: Option<&Bytes>,
    field: &'static str,
) -> Result<Option<Arc<str>>, Corrupt> {
    bytes.map(|bytes| text(bytes, field)).transpose()
}

// === ids ===

pub(super) fn execution_to_wire(execution: &ExecutionId) -> Bytes {
    text_to_wire(execution.as_str())
}

pub(super) fn execution(bytes: &Bytes) -> Result<ExecutionId, Corrupt> {
    Ok(ExecutionId::new(text(bytes, "execution id")?))
}

pub(super) fn instance_id_to_wire(id: &InstanceId) -> Bytes {
    text_to_wire(id.as_str())
}

pub(super) fn instance_id(bytes: &Bytes) -> Result<InstanceId, Corrupt> {
    Ok(InstanceId::trusted(text(bytes, "instance id")?))
}

pub(super) fn key_to_wire(key: &InstanceKey) -> wire::InstanceKey {
    wire::InstanceKey {
        hub: key.hub.0,
        id: instance_id_to_wire(&key.id),
    }
}

pub(super) fn key(key: Option<wire::InstanceKey>) -> Result<InstanceKey, Corrupt> {
    let key = required(key, "instance key")?;
    Ok(InstanceKey::new(HubId(key.hub), instance_id(&key.id)?))
}

pub(super) fn partition_id(number: u32) -> Result<PartitionId, Corrupt> {
    let narrow = u16::try_from(number);
    narrow
        .map(PartitionId)
        .map_err(|_| out_of_range("partition", number))
}

// === numbers ===

pub(super) fn timestamp_to_wire(at: Timestamp) -> wire::Timestamp {
    wire::Timestamp {
        seconds: at.seconds,
        nanos: at.nanos,
    }
}

pub(super) fn timestamp(
    at: Option<wire::Timestamp>,
    field: &'static str,
) -> Result<Timestamp, Corrupt> {
    let wire::Timestamp { seconds, nanos } = required(at, field)?;
    if nanos >= NANOS_PER_SECOND {
        return Err(out_of_range(field, nanos));
    }
    Ok(Timestamp { seconds, nanos })
}

pub(super) fn optional_timestamp(
    at: Option<wire::Timestamp>,
    field: &'static str,
) -> Result<Option<Timestamp>, Corrupt> {
    match at {
        Some(at) => timestamp(Some(at), field).map(Some),
        None => Ok(None),
    }
}

pub(super) fn status(number: i32) -> Result<Status, Corrupt> {
    Status::from_wire(number).ok_or_else(|| out_of_range("status", number))
}

pub(super) fn out_of_range(field: &'static str, value: impl Into<i64>) -> Corrupt {
    Corrupt::OutOfRange {
        field,
        value: value.into(),
    }
}

// === structures ===

pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Corrupt> {
    value.ok_or(Corrupt::Missing(field))
}

pub(super) fn tags_to_wire(tags: Option<&Arc<Tags>>) -> Option<wire::Tags> {
    tags.map(|tags| wire::Tags {
        values: Tags::clone(tags),
    })
}

pub(super) fn tags(tags: Option<wire::Tags>) -> Option<Arc<Tags>> {
    tags.map(|tags| Arc::new(tags.values))
}

pub(super) fn parent_to_wire(parent: Option<&Arc<ParentLink>>) -> Option<wire::ParentLink> {
    parent.map(|parent| wire::ParentLink {
        instance_id: instance_id_to_wire(&parent.instance),
        execution_id: execution_to_wire(&parent.execution),
        task_id: parent.task_id,
        seq: parent.seq,
        encoded_info: parent.info.clone(),
    })
}

pub(super) fn parent(parent: Option<wire::ParentLink>) -> Result<Option<Arc<ParentLink>>, Corrupt> {
    let Some(parent) = parent else {
        return Ok(None);
    };
    Ok(Some(Arc::new(ParentLink {
        instance: instance_id(&parent.instance_id)?,
        execution: execution(&parent.execution_id)?,
        task_id: parent.task_id,
        seq: parent.seq,
        info: parent.encoded_info,
    })))
}

pub(super) fn inbox_message_to_wire(message: &InboxMessage) -> wire::InboxMessage {
    let (kind, fire_at) = match message.kind {
        InboxKind::Other => (wire::InboxKind::Other, None),
        InboxKind::Started => (wire::InboxKind::Started, None),
        InboxKind::Terminated { recurse: false } => (wire::InboxKind::Terminated, None),
        InboxKind::Terminated { recurse: true } => (wire::InboxKind::TerminatedWithChildren, None),
        InboxKind::Suspended => (wire::InboxKind::Suspended, None),
        InboxKind::Resumed => (wire::InboxKind::Resumed, None),
        InboxKind::TimerFired { fire_at } => (wire::InboxKind::TimerFired, Some(fire_at)),
    };
    wire::InboxMessage {
        kind: kind.into(),
        fire_at: fire_at.map(timestamp_to_wire),
        execution_id: message.execution.as_ref().map(execution_to_wire),
        encoded_event: message.event.clone(),
    }
}

pub(super) fn inbox_message(message: wire::InboxMessage) -> Result<InboxMessage, Corrupt> {
    let kind = wire::InboxKind::try_from(message.kind)
        .map_err(|_| out_of_range("inbox kind", message.kind))?;
    let kind = match kind {
        wire::InboxKind::Other => InboxKind::Other,
        wire::InboxKind::Started => InboxKind::Started,
        wire::InboxKind::Terminated => InboxKind::Terminated { recurse: false },
        wire::InboxKind::TerminatedWithChildren => InboxKind::Terminated { recurse: true },
        wire::InboxKind::Suspended => InboxKind::Suspended,
        wire::InboxKind::Resumed => InboxKind::Resumed,
        wire::InboxKind::TimerFired => InboxKind::TimerFired {
            fire_at: timestamp(message.fire_at, "fire_at")?,
        },
    };
    Ok(InboxMessage {
        kind,
        execution: message.execution_id.as_ref().map(execution).transpose()?,
        event: message.encoded_event,
    })
}

pub(super) fn inbox(messages: Vec<wire::InboxMessage>) -> Result<VecDeque<InboxMessage>, Corrupt> {
    messages.into_iter().map(inbox_message).collect()
}

/// A map from entries that name their own key.
pub(super) fn keyed<K: Ord, T>(
    entries: impl ExactSizeIterator<Item = Result<(K, T), Corrupt>>,
    field: &'static str,
) -> Result<BTreeMap<K, T>, Corrupt> {
    let count = entries.len();
    let map: BTreeMap<K, T> = entries.collect::<Result<_, _>>()?;
    if map.len() < count {
        return Err(Corrupt::Repeated(field));
    }
    Ok(map)
}
