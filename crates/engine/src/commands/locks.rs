//! Critical sections: an orchestration locks entities one after another, in ascending order, and learns when it has all.
//!
//! ```text
//! orchestration ──► entity 0: queue … lock ──► entity 1: queue … lock ──► granted ──► orchestration's inbox
//!        └───────── unlock, by its own action or because its execution ended ──► every entity of the section
//! ```
//!
//! The release of a section may overtake its request on the way between partitions. Then the request goes on, and when it
//! comes to nothing, because the release has reached it in a queue or because nobody wants the grant any more, whatever it
//! has locked on its way is released again.
//!
//! A rewound owner that was inside a section asks for its locks once more and is told nothing when it has them: its
//! history says already that they were granted. What it wanted besides it asks for after that, since a lock that it has
//! to get back may be among it.

use std::sync::Arc;

use longhaul_types::{ExecutionId, InstanceId};

use super::context::Context;
use super::entity::{entity_or_new, offer};
use crate::entity::{Caller, CriticalSection, Entity, LockRequest, Queued};
use crate::history::entity_event;
use crate::instance::{Hold, SectionLocks};
use crate::key::InstanceKey;
use crate::message::MessageBody;
use crate::tables::TableFault;

/// Notes the section in its owner and sends it to its first entity, unless it is postponed.
pub(crate) fn request(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: Arc<CriticalSection>,
    hold: Hold,
) -> Result<(), TableFault> {
    let owner = context.tables.instance_mut(key)?.expect("just changed");
    let entities = section.entities.clone();
    let locks = SectionLocks { entities, hold };
    owner.locks.insert(section.id.clone(), locks);
    if hold == Hold::Postponed {
        return Ok(());
    }
    let first = section.entities[0].clone();
    let request = LockRequest {
        section,
        position: 0,
    };
    context.send(InstanceKey::new(key.hub, first), MessageBody::Lock(request));
    Ok(())
}

/// The section has come to an entity: it waits behind what is queued there.
pub(crate) fn arrive(
    context: &mut Context<'_>,
    key: &InstanceKey,
    request: LockRequest,
) -> Result<(), TableFault> {
    let entity = entity_or_new(context, key)?;
    entity.queue.push_back(Queued::Lock(request));
    offer(context, key)
}

/// Locks the entity for whoever is at the head of its queue, if it is free.
pub(crate) fn take_next(context: &mut Context<'_>, key: &InstanceKey) -> Result<(), TableFault> {
    let Some(entity) = context.tables.entity(key)? else {
        return Ok(());
    };
    if entity.lock.is_some() || !matches!(entity.queue.front(), Some(Queued::Lock(_))) {
        return Ok(());
    }
    let entity = context.tables.entity_mut(key)?.expect("just seen");
    let Some(Queued::Lock(request)) = entity.queue.pop_front() else {
        return Ok(());
    };
    entity.lock = Some(request.section.clone());
    pass_on(context, key, request);
    Ok(())
}

/// Sends the section to its next entity, or tells its owner that it has them all.
fn pass_on(context: &mut Context<'_>, key: &InstanceKey, request: LockRequest) {
    let LockRequest { section, position } = request;
    let (target, body) = match section.entities.get(position as usize + 1) {
        Some(next) => (
            next.clone(),
            MessageBody::Lock(LockRequest {
                section: section.clone(),
                position: position + 1,
            }),
        ),
        None => (
            section.owner.clone(),
            MessageBody::LockGranted(section.clone()),
        ),
    };
    context.send(InstanceKey::new(key.hub, target), body);
}

/// All entities are locked: the owner learns of it, unless it is gone or knows. What it does not want any more is released.
pub(crate) fn granted(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: &CriticalSection,
) -> Result<(), TableFault> {
    let of = Caller {
        instance: section.owner.clone(),
        execution: section.execution.clone(),
    };
    let owner = context.tables.instance_mut(key)?;
    let owner = owner.filter(|it| !it.status.is_terminal() && it.execution == of.execution);
    let Some(locks) = owner.and_then(|owner| owner.locks.get_mut(&section.id)) else {
        release(context, key, &section.id, &section.entities, &of);
        return Ok(());
    };
    let before = std::mem::replace(&mut locks.hold, Hold::Granted);
    let left = section.entities.iter();
    let left = left.filter(|it| !locks.entities.contains(it)).cloned();
    let left: Vec<InstanceId> = left.collect();
    release(context, key, &section.id, &left, &of);
    if before == Hold::Regained {
        return regained(context, key, &of);
    }
    let event = entity_event::lock_granted(context.at, &section.id);
    context.push_result(key, &of.execution, event)
}

/// A rewound owner is inside a section again. With the last one its turns begin, and its postponed requests go out.
fn regained(context: &mut Context<'_>, key: &InstanceKey, of: &Caller) -> Result<(), TableFault> {
    let at = context.at;
    let owner = context.tables.instance_mut(key)?.expect("just changed");
    owner.updated_at = at;
    if owner.regains_locks() {
        return Ok(());
    }
    let postponed = owner.locks.iter();
    let postponed = postponed.filter(|(_, locks)| locks.hold == Hold::Postponed);
    let postponed = postponed.map(|(id, locks)| CriticalSection {
        id: id.clone(),
        owner: of.instance.clone(),
        execution: of.execution.clone(),
        entities: locks.entities.clone(),
    });
    for section in postponed.collect::<Vec<_>>() {
        request(context, key, Arc::new(section), Hold::Wanted)?;
    }
    context.offer_turn(key)
}

/// The owner leaves one entity by its own decision.
pub(crate) fn leave(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: &Arc<str>,
    entity: &InstanceId,
) -> Result<(), TableFault> {
    let owner = context.tables.instance_mut(key)?.expect("just changed");
    let execution = owner.execution.clone();
    owner.locks.retain(|id, locks| {
        if section.is_empty() || id == section {
            locks.entities.retain(|it| it != entity);
        }
        !locks.entities.is_empty()
    });
    let of = Caller {
        instance: key.id.clone(),
        execution,
    };
    release(context, key, section, std::slice::from_ref(entity), &of);
    Ok(())
}

/// An execution is over: whatever it holds or waits for is released.
pub(crate) fn release_all(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: &ExecutionId,
) -> Result<(), TableFault> {
    let has_locks = context
        .tables
        .instance(key)?
        .is_some_and(|owner| !owner.locks.is_empty());
    if !has_locks {
        return Ok(());
    }
    let owner = context.tables.instance_mut(key)?.expect("just seen");
    let of = Caller {
        instance: key.id.clone(),
        execution: execution.clone(),
    };
    for (section, locks) in std::mem::take(&mut owner.locks) {
        release(context, key, &section, &locks.entities, &of);
    }
    Ok(())
}

fn release(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: &Arc<str>,
    entities: &[InstanceId],
    owner: &Caller,
) {
    for entity in entities {
        let body = MessageBody::Unlock {
            section: section.clone(),
            owner: owner.clone(),
        };
        context.send(InstanceKey::new(key.hub, entity.clone()), body);
    }
}

/// Releases an entity, and forgets the section where it still waits. Nothing happens if it is not the owner's.
pub(crate) fn unlock(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: &Arc<str>,
    owner: &Caller,
) -> Result<(), TableFault> {
    let is_meant =
        |it: &CriticalSection| it.is_of(owner) && (section.is_empty() || it.id == *section);
    let Some(entity) = context.tables.entity(key)? else {
        return Ok(());
    };
    let holds = entity.lock.as_deref().is_some_and(is_meant);
    let waits = |queued: &Queued| matches!(queued, Queued::Lock(it) if is_meant(&it.section));
    if !holds && !entity.queue.iter().any(waits) {
        return Ok(());
    }
    let entity = context.tables.entity_mut(key)?.expect("just seen");
    let dropped = drop_requests(entity, is_meant);
    if holds {
        entity.lock = None;
        // What the owner had asked for is still done, before everything that waited for it.
        while let Some(operation) = entity.owner_lane.pop_back() {
            entity.queue.push_front(Queued::Operation(operation));
        }
    }
    for LockRequest { section, position } in dropped {
        let passed = &section.entities[..position as usize];
        release(context, key, &section.id, passed, owner);
    }
    offer(context, key)
}

/// Takes requests out of the queue. Each has locked all entities before this one, and their release may have been there
/// before it.
fn drop_requests(
    entity: &mut Entity,
    is_meant: impl Fn(&CriticalSection) -> bool,
) -> Vec<LockRequest> {
    let mut dropped = Vec::new();
    entity.queue.retain(|queued| match queued {
        Queued::Lock(request) if is_meant(&request.section) => {
            dropped.push(request.clone());
            false
        }
        Queued::Lock(_) | Queued::Operation(_) => true,
    });
    dropped
}
