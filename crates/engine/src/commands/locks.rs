//! Critical sections: an orchestration locks entities one after another, in ascending order, and learns when it has all.
//!
//! ```text
//! orchestration ──► entity 0: queue … lock ──► entity 1: queue … lock ──► granted ──► orchestration's inbox
//!        └───────── unlock, by its own action or because its execution ended ──► every entity of the section
//! ```
//!
//! The release of a section may overtake its request on the way between partitions. Then the request goes on to its
//! end, and the grant, which nobody wants any more, releases everything again.

use std::sync::Arc;

use longhaul_types::{ExecutionId, InstanceId};

use super::context::Context;
use super::entity::{entity_or_new, offer};
use crate::entity::{Caller, CriticalSection, LockRequest, Queued};
use crate::history::entity_event;
use crate::instance::{InboxKind, InboxMessage, SectionLocks};
use crate::key::InstanceKey;
use crate::message::MessageBody;
use crate::tables::TableFault;

/// Notes the section in its owner and sends it to its first entity.
pub(crate) fn request(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: Arc<CriticalSection>,
) -> Result<(), TableFault> {
    let owner = context.tables.instance_mut(key)?.expect("just changed");
    owner.locks.insert(
        section.id.clone(),
        SectionLocks {
            entities: section.entities.clone(),
            granted: false,
        },
    );
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

/// All entities are locked: the owner learns of it, unless it is gone.
pub(crate) fn granted(
    context: &mut Context<'_>,
    key: &InstanceKey,
    section: &CriticalSection,
) -> Result<(), TableFault> {
    let at = context.at;
    let owner = context.tables.instance_mut(key)?.filter(|owner| {
        !owner.status.is_terminal()
            && owner.execution == section.execution
            && owner.locks.contains_key(&section.id)
    });
    let Some(owner) = owner else {
        let of = Caller {
            instance: section.owner.clone(),
            execution: section.execution.clone(),
        };
        release(context, key, &section.id, &section.entities, &of);
        return Ok(());
    };
    if let Some(locks) = owner.locks.get_mut(&section.id) {
        locks.granted = true;
    }
    owner.inbox.push_back(InboxMessage {
        kind: InboxKind::Other,
        execution: Some(section.execution.clone()),
        event: entity_event::lock_granted(at, &section.id),
    });
    owner.updated_at = at;
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
    let is_meant = |it: &CriticalSection| {
        it.owner == owner.instance
            && it.execution == owner.execution
            && (section.is_empty() || it.id == *section)
    };
    let Some(entity) = context.tables.entity(key)? else {
        return Ok(());
    };
    let holds = entity.lock.as_deref().is_some_and(is_meant);
    let waits = |queued: &Queued| matches!(queued, Queued::Lock(it) if is_meant(&it.section));
    if !holds && !entity.queue.iter().any(waits) {
        return Ok(());
    }
    let entity = context.tables.entity_mut(key)?.expect("just seen");
    entity.queue.retain(|queued| !waits(queued));
    if holds {
        entity.lock = None;
        // What the owner had asked for is still done, before everything that waited for it.
        while let Some(operation) = entity.owner_lane.pop_back() {
            entity.queue.push_front(Queued::Operation(operation));
        }
    }
    offer(context, key)
}
