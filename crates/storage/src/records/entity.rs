//! The record of an entity.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use longhaul_engine::entity::{
    Caller, CriticalSection, Entity, LockRequest, Operation, Queued, RecentRequest, Scheduled,
};
use longhaul_proto::storage::v1 as wire;
use wire::entity as e;
use wire::entity::queued::Queued as Body;

use super::values::{
    execution, execution_to_wire, instance_id, instance_id_to_wire, keyed, optional_timestamp,
    required, text, text_to_wire, timestamp, timestamp_to_wire,
};
use super::{Corrupt, envelope};

/// Appends the record of `entity`.
pub fn put_entity(entity: &Entity, out: &mut impl BufMut) {
    envelope::put(&to_wire(entity), out);
}

/// The entity in a record.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the record.
pub fn decode_entity(record: Bytes) -> Result<Entity, Corrupt> {
    from_wire(envelope::open(record)?)
}

fn to_wire(entity: &Entity) -> wire::Entity {
    wire::Entity {
        state: entity.state.clone(),
        created_at: Some(timestamp_to_wire(entity.created_at)),
        modified_at: entity.modified_at.map(timestamp_to_wire),
        batches: entity.batches,
        last_seq: entity.last_seq,
        lock: entity.lock.as_deref().map(section_to_wire),
        owner_lane: entity.owner_lane.iter().map(operation_to_wire).collect(),
        queue: entity.queue.iter().map(queued_to_wire).collect(),
        scheduled: entity.scheduled.iter().map(scheduled_to_wire).collect(),
        recent: entity.recent.iter().map(recent_to_wire).collect(),
    }
}

fn from_wire(entity: wire::Entity) -> Result<Entity, Corrupt> {
    let owner_lane = entity.owner_lane.into_iter().map(operation);
    let queue = entity.queue.into_iter().map(queued);
    let recent = entity.recent.into_iter().map(recent);
    Ok(Entity {
        state: entity.state,
        created_at: timestamp(entity.created_at, "created_at")?,
        modified_at: optional_timestamp(entity.modified_at, "modified_at")?,
        batches: entity.batches,
        last_seq: entity.last_seq,
        lock: entity.lock.map(section).transpose()?,
        owner_lane: owner_lane.collect::<Result<_, _>>()?,
        queue: queue.collect::<Result<_, _>>()?,
        scheduled: keyed(entity.scheduled.into_iter().map(scheduled), "scheduled")?,
        recent: recent.collect::<Result<_, _>>()?,
    })
}

fn queued_to_wire(queued: &Queued) -> e::Queued {
    let body = match queued {
        Queued::Operation(operation) => Body::Operation(operation_to_wire(operation)),
        Queued::Lock(request) => Body::Lock(lock_request_to_wire(request)),
    };
    e::Queued { queued: Some(body) }
}

fn queued(queued: e::Queued) -> Result<Queued, Corrupt> {
    Ok(match required(queued.queued, "queued")? {
        Body::Operation(operation) => Queued::Operation(self::operation(operation)?),
        Body::Lock(request) => Queued::Lock(lock_request(request)?),
    })
}

fn scheduled_to_wire((seq, scheduled): (&u64, &Scheduled)) -> e::Scheduled {
    e::Scheduled {
        seq: *seq,
        due: Some(timestamp_to_wire(scheduled.due)),
        operation: Some(operation_to_wire(&scheduled.operation)),
        sender: scheduled.sender.as_ref().map(caller_to_wire),
    }
}

fn scheduled(scheduled: e::Scheduled) -> Result<(u64, Scheduled), Corrupt> {
    let decoded = Scheduled {
        due: timestamp(scheduled.due, "due")?,
        operation: operation(required(scheduled.operation, "operation")?)?,
        sender: scheduled.sender.map(caller).transpose()?,
    };
    Ok((scheduled.seq, decoded))
}

fn recent_to_wire(request: &RecentRequest) -> e::RecentRequest {
    e::RecentRequest {
        at: Some(timestamp_to_wire(request.at)),
        request_id: text_to_wire(&request.request_id),
    }
}

fn recent(request: e::RecentRequest) -> Result<RecentRequest, Corrupt> {
    Ok(RecentRequest {
        at: timestamp(request.at, "time of the request")?,
        request_id: text(&request.request_id, "request id")?,
    })
}

// === shared with commands and messages ===

pub(super) fn operation_to_wire(operation: &Operation) -> wire::EntityOperation {
    wire::EntityOperation {
        caller: operation.caller.as_ref().map(caller_to_wire),
        request_id: text_to_wire(&operation.request_id),
        encoded_event: operation.event.clone(),
    }
}

pub(super) fn operation(operation: wire::EntityOperation) -> Result<Operation, Corrupt> {
    Ok(Operation {
        caller: operation.caller.map(caller).transpose()?,
        request_id: text(&operation.request_id, "request id")?,
        event: operation.encoded_event,
    })
}

pub(super) fn caller_to_wire(caller: &Caller) -> wire::EntityCaller {
    wire::EntityCaller {
        instance_id: instance_id_to_wire(&caller.instance),
        execution_id: execution_to_wire(&caller.execution),
    }
}

pub(super) fn caller(caller: wire::EntityCaller) -> Result<Caller, Corrupt> {
    Ok(Caller {
        instance: instance_id(&caller.instance_id)?,
        execution: execution(&caller.execution_id)?,
    })
}

pub(super) fn section_to_wire(section: &CriticalSection) -> wire::CriticalSection {
    wire::CriticalSection {
        id: text_to_wire(&section.id),
        owner: Some(wire::EntityCaller {
            instance_id: instance_id_to_wire(&section.owner),
            execution_id: execution_to_wire(&section.execution),
        }),
        entities: section.entities.iter().map(instance_id_to_wire).collect(),
    }
}

pub(super) fn section(section: wire::CriticalSection) -> Result<Arc<CriticalSection>, Corrupt> {
    let owner = caller(required(section.owner, "owner")?)?;
    let entities = section.entities.iter().map(instance_id);
    Ok(Arc::new(CriticalSection {
        id: text(&section.id, "critical section id")?,
        owner: owner.instance,
        execution: owner.execution,
        entities: entities.collect::<Result<_, _>>()?,
    }))
}

pub(super) fn lock_request_to_wire(request: &LockRequest) -> wire::LockRequest {
    wire::LockRequest {
        section: Some(section_to_wire(&request.section)),
        position: request.position,
    }
}

pub(super) fn lock_request(request: wire::LockRequest) -> Result<LockRequest, Corrupt> {
    Ok(LockRequest {
        section: section(required(request.section, "critical section")?)?,
        position: request.position,
    })
}
