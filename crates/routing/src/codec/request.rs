//! Calls.

use longhaul_engine::InstanceKey;
use longhaul_engine::query::{EndedFilter, EntityQuery, InstanceFilter, StatusSet};
use longhaul_partition::WaitFor;
use longhaul_proto::routing::v1 as wire;
use longhaul_proto::storage::v1 as stored;
use longhaul_storage::records;
use longhaul_types::{HubId, PartitionId};
use wire::request::{self as r, Operation as Body};

use super::Malformed;
use super::values::{
    execution, execution_to_wire, id, id_to_wire, key, key_to_wire, position, position_to_wire,
    required, span, span_to_wire, text, text_to_wire,
};
use crate::answers::{AnswerKind, WorkerAnswer};
use crate::operation::{KnownHistory, Operation};

pub(super) fn to_wire(partition: PartitionId, operation: &Operation) -> wire::Request {
    let operation = match operation {
        Operation::Propose(command) => Body::Propose(records::command_to_wire(command)),
        Operation::View(key) => Body::View(key_to_wire(key)),
        Operation::Entity { key, transient } => Body::Entity(r::Entity {
            key: Some(key_to_wire(key)),
            transient: *transient,
        }),
        Operation::History { key, known } => Body::History(r::History {
            key: Some(key_to_wire(key)),
            known: known.as_ref().map(known_to_wire),
        }),
        Operation::Wait { key, until } => Body::Wait(r::Wait {
            key: Some(key_to_wire(key)),
            ended: *until == WaitFor::Ended,
        }),
        Operation::Children(key) => Body::Children(key_to_wire(key)),
        Operation::QueryInstances {
            filter,
            after,
            limit,
        } => Body::QueryInstances(r::QueryInstances {
            hub: filter.hub.0,
            statuses: filter.statuses.bits().into(),
            created: Some(span_to_wire(filter.created)),
            id_prefix: text_to_wire(&filter.id_prefix),
            after: after.as_ref().map(position_to_wire),
            limit: *limit as u64,
        }),
        Operation::QueryEnded {
            filter,
            after,
            limit,
        } => Body::QueryEnded(r::QueryEnded {
            hub: filter.hub.0,
            statuses: filter.statuses.bits().into(),
            completed: Some(span_to_wire(filter.completed)),
            after: after.as_ref().map(position_to_wire),
            limit: *limit as u64,
        }),
        Operation::QueryEntities {
            query,
            after,
            limit,
        } => Body::QueryEntities(r::QueryEntities {
            hub: query.hub.0,
            id_prefix: text_to_wire(&query.id_prefix),
            modified: Some(span_to_wire(query.modified)),
            transient: query.transient,
            after: after.as_ref().map(id_to_wire),
            limit: *limit as u64,
        }),
        Operation::RemoveHub(hub) => Body::RemoveHub(hub.0),
        Operation::Judge(answer) => Body::Answer(r::WorkerAnswer {
            hub: answer.hub.0,
            kind: kind_to_wire(answer.kind).into(),
            encoded_message: answer.message.clone(),
        }),
    };
    wire::Request {
        partition: partition.0.into(),
        operation: Some(operation),
    }
}

pub(super) fn from_wire(request: wire::Request) -> Result<(PartitionId, Operation), Malformed> {
    let partition = u16::try_from(request.partition).map_err(|_| Malformed::Value("partition"))?;
    let operation = match required(request.operation, "operation")? {
        Body::Propose(command) => Operation::Propose(records::command_from_wire(command)?),
        Body::View(key) => Operation::View(some_key(key)?),
        Body::Entity(entity) => Operation::Entity {
            key: key(entity.key)?,
            transient: entity.transient,
        },
        Body::History(history) => Operation::History {
            key: key(history.key)?,
            known: history.known.as_ref().map(known).transpose()?,
        },
        Body::Wait(wait) => Operation::Wait {
            key: key(wait.key)?,
            until: match wait.ended {
                true => WaitFor::Ended,
                false => WaitFor::Begun,
            },
        },
        Body::Children(key) => Operation::Children(some_key(key)?),
        Body::QueryInstances(query) => Operation::QueryInstances {
            filter: InstanceFilter {
                hub: HubId(query.hub),
                statuses: statuses(query.statuses)?,
                created: span(query.created)?,
                id_prefix: text(&query.id_prefix, "prefix")?.to_owned(),
            },
            after: query.after.map(position).transpose()?,
            limit: limit(query.limit),
        },
        Body::QueryEnded(query) => Operation::QueryEnded {
            filter: EndedFilter {
                hub: HubId(query.hub),
                statuses: statuses(query.statuses)?,
                completed: span(query.completed)?,
            },
            after: query.after.map(position).transpose()?,
            limit: limit(query.limit),
        },
        Body::QueryEntities(query) => Operation::QueryEntities {
            query: EntityQuery {
                hub: HubId(query.hub),
                id_prefix: text(&query.id_prefix, "prefix")?.to_owned(),
                modified: span(query.modified)?,
                transient: query.transient,
            },
            after: query.after.as_ref().map(id).transpose()?,
            limit: limit(query.limit),
        },
        Body::RemoveHub(hub) => Operation::RemoveHub(HubId(hub)),
        Body::Answer(answer) => Operation::Judge(WorkerAnswer {
            hub: HubId(answer.hub),
            kind: kind(answer.kind())?,
            message: answer.encoded_message,
        }),
    };
    Ok((PartitionId(partition), operation))
}

fn some_key(name: stored::InstanceKey) -> Result<InstanceKey, Malformed> {
    key(Some(name))
}

fn statuses(bits: u32) -> Result<StatusSet, Malformed> {
    let bits = u8::try_from(bits).map_err(|_| Malformed::Value("statuses"))?;
    Ok(StatusSet::from_bits(bits))
}

fn limit(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn known_to_wire(known: &KnownHistory) -> r::Known {
    r::Known {
        execution_id: execution_to_wire(&known.execution),
        bytes: known.bytes,
    }
}

fn known(known: &r::Known) -> Result<KnownHistory, Malformed> {
    Ok(KnownHistory {
        execution: execution(&known.execution_id)?,
        bytes: known.bytes,
    })
}

fn kind_to_wire(kind: AnswerKind) -> wire::AnswerKind {
    match kind {
        AnswerKind::Turn => wire::AnswerKind::Turn,
        AnswerKind::Activity => wire::AnswerKind::Activity,
        AnswerKind::Batch => wire::AnswerKind::Batch,
        AnswerKind::AbandonTurn => wire::AnswerKind::AbandonTurn,
        AnswerKind::AbandonActivity => wire::AnswerKind::AbandonActivity,
        AnswerKind::AbandonBatch => wire::AnswerKind::AbandonBatch,
    }
}

fn kind(kind: wire::AnswerKind) -> Result<AnswerKind, Malformed> {
    Ok(match kind {
        wire::AnswerKind::Unspecified => return Err(Malformed::Value("kind of answer")),
        wire::AnswerKind::Turn => AnswerKind::Turn,
        wire::AnswerKind::Activity => AnswerKind::Activity,
        wire::AnswerKind::Batch => AnswerKind::Batch,
        wire::AnswerKind::AbandonTurn => AnswerKind::AbandonTurn,
        wire::AnswerKind::AbandonActivity => AnswerKind::AbandonActivity,
        wire::AnswerKind::AbandonBatch => AnswerKind::AbandonBatch,
    })
}
