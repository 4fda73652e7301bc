//! Values that calls and answers share.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::query::{EntityView, Span, TimePosition};
use longhaul_engine::{InstanceKey, InstanceView, Status};
use longhaul_proto::routing::v1 as wire;
use longhaul_proto::storage::v1 as stored;
use longhaul_types::{ExecutionId, HubId, InstanceId, Timestamp};

use super::Malformed;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

pub(super) fn required<T>(value: Option<T>, name: &'static str) -> Result<T, Malformed> {
    value.ok_or(Malformed::Missing(name))
}

// === texts and ids ===

pub(super) fn text_to_wire(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn text<'a>(bytes: &'a Bytes, name: &'static str) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Value(name))
}

fn shared(bytes: &Bytes, name: &'static str) -> Result<Arc<str>, Malformed> {
    text(bytes, name).map(Arc::from)
}

pub(super) fn id_to_wire(id: &InstanceId) -> Bytes {
    text_to_wire(id.as_str())
}

pub(super) fn id(bytes: &Bytes) -> Result<InstanceId, Malformed> {
    Ok(InstanceId::trusted(shared(bytes, "instance id")?))
}

pub(super) fn execution_to_wire(execution: &ExecutionId) -> Bytes {
    text_to_wire(execution.as_str())
}

pub(super) fn execution(bytes: &Bytes) -> Result<ExecutionId, Malformed> {
    Ok(ExecutionId::new(shared(bytes, "execution id")?))
}

pub(super) fn key_to_wire(key: &InstanceKey) -> stored::InstanceKey {
    stored::InstanceKey {
        hub: key.hub.0,
        id: id_to_wire(&key.id),
    }
}

pub(super) fn key(key: Option<stored::InstanceKey>) -> Result<InstanceKey, Malformed> {
    let key = required(key, "instance key")?;
    Ok(InstanceKey::new(HubId(key.hub), id(&key.id)?))
}

// === times ===

pub(super) fn timestamp_to_wire(at: Timestamp) -> stored::Timestamp {
    stored::Timestamp {
        seconds: at.seconds,
        nanos: at.nanos,
    }
}

fn optional_timestamp(at: Option<stored::Timestamp>) -> Result<Option<Timestamp>, Malformed> {
    match at {
        Some(stored::Timestamp { nanos, .. }) if nanos >= NANOS_PER_SECOND => {
            Err(Malformed::Value("time"))
        }
        Some(stored::Timestamp { seconds, nanos }) => Ok(Some(Timestamp { seconds, nanos })),
        None => Ok(None),
    }
}

fn timestamp(at: Option<stored::Timestamp>) -> Result<Timestamp, Malformed> {
    required(optional_timestamp(at)?, "time")
}

pub(super) fn span_to_wire(span: Span) -> wire::Span {
    wire::Span {
        from: span.from.map(timestamp_to_wire),
        to: span.to.map(timestamp_to_wire),
    }
}

pub(super) fn span(span: Option<wire::Span>) -> Result<Span, Malformed> {
    let span = required(span, "span")?;
    Ok(Span {
        from: optional_timestamp(span.from)?,
        to: optional_timestamp(span.to)?,
    })
}

pub(super) fn position_to_wire(position: &TimePosition) -> wire::TimePosition {
    wire::TimePosition {
        at: Some(timestamp_to_wire(position.at)),
        id: id_to_wire(&position.id),
    }
}

pub(super) fn position(position: wire::TimePosition) -> Result<TimePosition, Malformed> {
    Ok(TimePosition {
        at: timestamp(position.at)?,
        id: id(&position.id)?,
    })
}

// === instances and entities ===

pub(super) fn status(number: i32) -> Result<Status, Malformed> {
    Status::from_wire(number).ok_or(Malformed::Value("status"))
}

pub(super) fn instance_to_wire(view: InstanceView) -> wire::Instance {
    wire::Instance {
        key: Some(key_to_wire(&view.key)),
        name: text_to_wire(&view.name),
        version: view.version.as_deref().map(text_to_wire),
        execution_id: execution_to_wire(&view.execution),
        status: view.status.to_wire(),
        created_at: Some(timestamp_to_wire(view.created_at)),
        updated_at: Some(timestamp_to_wire(view.updated_at)),
        completed_at: view.completed_at.map(timestamp_to_wire),
        scheduled_start: view.scheduled_start.map(timestamp_to_wire),
        input: view.input,
        output: view.output,
        encoded_failure: view.failure,
        custom_status: view.custom_status,
        tags: view.tags.map(|tags| stored::Tags {
            values: Arc::unwrap_or_clone(tags),
        }),
        parent: view.parent.as_ref().map(id_to_wire),
    }
}

pub(super) fn instance(instance: wire::Instance) -> Result<InstanceView, Malformed> {
    let version = instance.version.as_ref();
    Ok(InstanceView {
        key: key(instance.key)?,
        name: shared(&instance.name, "name")?,
        version: version.map(|it| shared(it, "version")).transpose()?,
        execution: execution(&instance.execution_id)?,
        status: status(instance.status)?,
        created_at: timestamp(instance.created_at)?,
        updated_at: timestamp(instance.updated_at)?,
        completed_at: optional_timestamp(instance.completed_at)?,
        scheduled_start: optional_timestamp(instance.scheduled_start)?,
        input: instance.input,
        output: instance.output,
        failure: instance.encoded_failure,
        custom_status: instance.custom_status,
        tags: instance.tags.map(|tags| Arc::new(tags.values)),
        parent: instance.parent.as_ref().map(id).transpose()?,
    })
}

pub(super) fn entity_to_wire(view: EntityView) -> wire::Entity {
    wire::Entity {
        id: id_to_wire(&view.id),
        state: view.state,
        modified_at: Some(timestamp_to_wire(view.modified_at)),
        backlog: view.backlog,
        locked_by: view.locked_by.as_ref().map(id_to_wire),
    }
}

pub(super) fn entity(entity: wire::Entity) -> Result<EntityView, Malformed> {
    Ok(EntityView {
        id: id(&entity.id)?,
        state: entity.state,
        modified_at: timestamp(entity.modified_at)?,
        backlog: entity.backlog,
        locked_by: entity.locked_by.as_ref().map(id).transpose()?,
    })
}
