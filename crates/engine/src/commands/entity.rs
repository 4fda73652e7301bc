//! Operations of entities: how they arrive, wait, are done, and how a record goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_types::Timestamp;

use super::context::Context;
use super::locks;
use crate::command::{CompleteBatch, DueOperation, StateChange};
use crate::effects::{Effect, Reply};
use crate::entity::{Caller, Entity, Operation, Queued, Scheduled};
use crate::history::entity_event;
use crate::history::event;
use crate::key::InstanceKey;
use crate::message::MessageBody;
use crate::tables::TableFault;

/// What is due so soon is due now. Source: clocks of clients differ from the server's.
const DUE_TOLERANCE: Duration = Duration::from_millis(100);

/// A client's signal; one that was accepted before is not accepted again.
pub(crate) fn signal(
    context: &mut Context<'_>,
    key: &InstanceKey,
    request_id: Arc<str>,
    event: Bytes,
    due: Option<Timestamp>,
) -> Result<Reply, TableFault> {
    let at = context.at;
    let entity = entity_or_new(context, key)?;
    let expiry = entity.expires_at();
    if entity.remember(at, &request_id) {
        let operation = Operation {
            caller: None,
            request_id,
            event,
        };
        enqueue(context, key, operation, None, due)?;
        arm_expiry(context, key, expiry)?;
    }
    Ok(Reply::Done)
}

/// Puts an operation where it belongs: aside until it is due, into the owner's lane, or at the end of the queue.
pub(crate) fn enqueue(
    context: &mut Context<'_>,
    key: &InstanceKey,
    operation: Operation,
    sender: Option<Caller>,
    due: Option<Timestamp>,
) -> Result<(), TableFault> {
    let at = context.at;
    let entity = entity_or_new(context, key)?;
    if asked_before(entity, &operation, sender.as_ref()) {
        return Ok(());
    }
    if let Some(due) = due.filter(|due| *due > at + DUE_TOLERANCE) {
        entity.last_seq += 1;
        let seq = entity.last_seq;
        let scheduled = Scheduled {
            due,
            operation,
            sender,
        };
        entity.scheduled.insert(seq, scheduled);
        let key = key.clone();
        context
            .effects
            .push(Effect::OperationArmed { key, seq, due });
        return Ok(());
    }
    if entity.is_locked_by(sender.as_ref()) {
        entity.owner_lane.push_back(operation);
    } else {
        let place = place_of(entity, &operation);
        entity.queue.insert(place, Queued::Operation(operation));
    }
    offer(context, key)
}

/// The end of the queue. A call whose caller wants the lock goes before that request: inside, the caller would wait for
/// what cannot be done before it leaves.
fn place_of(entity: &Entity, operation: &Operation) -> usize {
    let Some(caller) = &operation.caller else {
        return entity.queue.len();
    };
    let is_wanted_by_caller = |queued: &Queued| match queued {
        Queued::Lock(request) => request.section.is_of(caller),
        Queued::Operation(_) => false,
    };
    let request = entity.queue.iter().position(is_wanted_by_caller);
    request.unwrap_or(entity.queue.len())
}

/// A rewound orchestration asks again for what it still waits for: what is still to be done answers to its new execution,
/// in its old place.
fn asked_before(entity: &mut Entity, again: &Operation, sender: Option<&Caller>) -> bool {
    let Some(caller) = &again.caller else {
        return false;
    };
    let is_meant = |known: &Operation| {
        let same_caller = |it: &Caller| it.instance == caller.instance;
        known.request_id == again.request_id && known.caller.as_ref().is_some_and(same_caller)
    };
    let queued = entity.queue.iter_mut().filter_map(|queued| match queued {
        Queued::Operation(operation) => Some(operation),
        Queued::Lock(_) => None,
    });
    let mut waiting = entity.owner_lane.iter_mut().chain(queued);
    if let Some(known) = waiting.find(|known| is_meant(known)) {
        known.clone_from(again);
        return true;
    }
    let mut scheduled = entity.scheduled.values_mut();
    if let Some(known) = scheduled.find(|known| is_meant(&known.operation)) {
        known.operation.clone_from(again);
        known.sender = sender.cloned();
        return true;
    }
    false
}

/// Scheduled operations are due; one that is not by the partition's time is armed again.
pub(crate) fn release(
    context: &mut Context<'_>,
    due: Vec<DueOperation>,
) -> Result<Reply, TableFault> {
    let at = context.at;
    for DueOperation { key, seq } in due {
        let Some(entity) = context.tables.entity_mut(&key)? else {
            continue;
        };
        match entity.scheduled.get(&seq).map(|it| it.due) {
            None => {}
            Some(due) if due > at => context
                .effects
                .push(Effect::OperationArmed { key, seq, due }),
            Some(_) => {
                let scheduled = entity.scheduled.remove(&seq).expect("just seen");
                enqueue(context, &key, scheduled.operation, scheduled.sender, None)?;
            }
        }
    }
    Ok(Reply::Done)
}

/// Commits a batch: its operations leave the front, its state stands, its answers and messages go out.
pub(crate) fn complete(
    context: &mut Context<'_>,
    batch: CompleteBatch,
) -> Result<Reply, TableFault> {
    let at = context.at;
    let key = batch.key;
    let Some(entity) = context.tables.entity_mut(&key)? else {
        return Ok(Reply::Stale);
    };
    let wanted = entity.batches == batch.batch
        && entity.ready_operations().take(batch.answers.len()).count() == batch.answers.len();
    if !wanted {
        return Ok(Reply::Stale);
    }
    let expiry = entity.expires_at();
    entity.batches += 1;
    entity.modified_at = Some(at);
    if let StateChange::Set(state) = batch.state {
        entity.state = state;
    }
    let mut answered = Vec::new();
    for event in batch.answers {
        let operation = take_first(entity).expect("counted above");
        if let Some(caller) = operation.caller {
            answered.push((caller, event));
        }
    }
    for (caller, event) in answered {
        answer(context, &key, caller, event);
    }
    for message in batch.messages {
        context.send(message.target, message.body);
    }
    arm_expiry(context, &key, expiry)?;
    offer(context, &key)?;
    Ok(Reply::Done)
}

fn take_first(entity: &mut Entity) -> Option<Operation> {
    if entity.lock.is_some() {
        return entity.owner_lane.pop_front();
    }
    match entity.queue.pop_front() {
        Some(Queued::Operation(operation)) => Some(operation),
        Some(Queued::Lock(_)) | None => None,
    }
}

fn answer(context: &mut Context<'_>, key: &InstanceKey, caller: Caller, event: Bytes) {
    let body = MessageBody::Answer {
        execution: caller.execution,
        event,
    };
    context.send(InstanceKey::new(key.hub, caller.instance), body);
}

/// Asks for a look at the record when it may go, unless that was asked for when it stood at `before`.
fn arm_expiry(
    context: &mut Context<'_>,
    key: &InstanceKey,
    before: Option<Timestamp>,
) -> Result<(), TableFault> {
    let expiry = context.tables.entity(key)?.and_then(Entity::expires_at);
    if let Some(at) = expiry.filter(|_| expiry != before) {
        let key = key.clone();
        context.effects.push(Effect::ExpiryArmed { key, at });
    }
    Ok(())
}

/// Says what the entity has to offer now: a batch, or nothing any more.
pub(crate) fn offer(context: &mut Context<'_>, key: &InstanceKey) -> Result<(), TableFault> {
    locks::take_next(context, key)?;
    context.touch(key);
    let at = context.at;
    let Some(entity) = context.tables.entity(key)? else {
        return Ok(());
    };
    if entity.batch_ready() {
        context
            .effects
            .push(Effect::BatchReady { key: key.clone() });
        return Ok(());
    }
    if entity.may_go(at) {
        context.tables.remove_entity(key);
    }
    Ok(())
}

/// Removes the records of entities in which nothing is left. One that may not go yet has moved its time since, and so will
/// be looked at again; one in which something is left goes with the last of it, or moves its time.
pub(crate) fn expire(
    context: &mut Context<'_>,
    keys: Vec<InstanceKey>,
) -> Result<Reply, TableFault> {
    for key in keys {
        offer(context, &key)?;
    }
    Ok(Reply::Done)
}

/// Deletes an entity. Who waits for an operation learns of it; who waits for the lock gets it in turn. Answers whether
/// there was anything of it.
///
/// The record stays a while with its count of batches: whatever batch is out must not be taken for a later one.
pub(crate) fn purge(context: &mut Context<'_>, key: &InstanceKey) -> Result<bool, TableFault> {
    let at = context.at;
    let existed = context.tables.entity(key)?.is_some_and(|it| !it.is_empty());
    if !existed {
        return Ok(false);
    }
    let entity = context.tables.entity_mut(key)?.expect("just seen");
    let expiry = entity.expires_at();
    entity.state = None;
    entity.lock = None;
    entity.batches += 1;
    entity.modified_at = Some(at);
    let mut dropped: Vec<Operation> = entity.owner_lane.drain(..).collect();
    for queued in std::mem::take(&mut entity.queue) {
        match queued {
            Queued::Operation(operation) => dropped.push(operation),
            Queued::Lock(_) => entity.queue.push_back(queued),
        }
    }
    let scheduled = std::mem::take(&mut entity.scheduled);
    dropped.extend(scheduled.into_values().map(|it| it.operation));
    context
        .effects
        .push(Effect::BatchVoided { key: key.clone() });
    let message = format!(
        "the entity '{}' was purged before it ran the operation",
        key.id
    );
    let failure = event::failure_details("EntityPurged", &message);
    for operation in dropped {
        if let Some(caller) = operation.caller {
            let failed = entity_event::operation_failed(at, &operation.request_id, &failure);
            answer(context, key, caller, failed);
        }
    }
    arm_expiry(context, key, expiry)?;
    offer(context, key)?;
    Ok(true)
}

pub(crate) fn entity_or_new<'a>(
    context: &'a mut Context<'_>,
    key: &InstanceKey,
) -> Result<&'a mut Entity, TableFault> {
    if context.tables.entity(key)?.is_none() {
        let entity = Entity::new(context.at);
        context.tables.put_entity(key.clone(), entity);
    }
    Ok(context.tables.entity_mut(key)?.expect("it is there by now"))
}
