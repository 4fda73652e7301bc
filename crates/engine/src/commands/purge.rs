//! Deleting: what has ended, entities, and everything of a task hub that is gone.

use super::context::Context;
use super::{ending, entity, locks};
use crate::command::PurgeTarget;
use crate::effects::{Effect, Reply};
use crate::history::event;
use crate::instance::Status;
use crate::key::InstanceKey;
use crate::tables::TableFault;

/// Deletes what has ended and entities; what has not is left and counted.
pub(crate) fn purge(
    context: &mut Context<'_>,
    targets: Vec<PurgeTarget>,
) -> Result<Reply, TableFault> {
    let (mut count, mut live) = (0, 0);
    for PurgeTarget { key, completed_at } in targets {
        if key.id.is_entity() {
            count += u32::from(entity::purge(context, &key)?);
            continue;
        }
        let Some(instance) = context.tables.instance(&key)? else {
            continue;
        };
        if !instance.status.is_terminal() {
            live += 1;
        } else if completed_at.is_none() || completed_at == instance.completed_at {
            delete(context, &key)?;
            count += 1;
        }
    }
    Ok(Reply::Purged { count, live })
}

/// Deletes whatever is there, live or not. What is live leaves the entities that it has locked: one of them may have come
/// to be after its partition was searched for what to delete.
pub(crate) fn remove(
    context: &mut Context<'_>,
    keys: Vec<InstanceKey>,
) -> Result<Reply, TableFault> {
    let mut count = 0;
    for key in keys {
        if context.tables.entity(&key)?.is_some() {
            context.tables.remove_entity(&key);
            context.effects.push(Effect::BatchVoided { key });
            count += 1;
        } else if let Some(instance) = context.tables.instance(&key)? {
            let execution = instance.execution.clone();
            locks::release_all(context, &key, &execution)?;
            delete(context, &key)?;
            count += 1;
        }
    }
    Ok(Reply::Purged { count, live: 0 })
}

/// Removes whatever has the key for another one, telling a parent that still waits.
pub(crate) fn make_way(context: &mut Context<'_>, key: &InstanceKey) -> Result<(), TableFault> {
    let Some(existing) = context.tables.instance(key)? else {
        return Ok(());
    };
    if !existing.status.is_terminal() {
        let execution = existing.execution.clone();
        let failure = event::failure_details(
            "OrchestrationTerminated",
            "the instance was replaced by a new one",
        );
        ending::notify_parent(context, key, Status::Terminated, None, Some(&failure))?;
        locks::release_all(context, key, &execution)?;
    }
    delete(context, key)
}

fn delete(context: &mut Context<'_>, key: &InstanceKey) -> Result<(), TableFault> {
    let Some(existing) = context.tables.instance(key)? else {
        return Ok(());
    };
    let (execution, sealed) = (existing.execution.clone(), existing.history.sealed);
    context.tables.remove_history(key, &execution, sealed);
    context.tables.remove_instance(key);
    context
        .effects
        .push(Effect::TurnVoided { key: key.clone() });
    context
        .effects
        .push(Effect::ActivitiesVoided { key: key.clone() });
    Ok(())
}
