//! Messages from other instances: what arrives from another partition, and what each message does to its target.

use longhaul_types::{ExecutionId, PartitionId};

use super::context::Context;
use super::{create, entity, locks, purge, rewind, terminate};
use crate::effects::Reply;
use crate::history::event;
use crate::instance::{InboxKind, ParentLink};
use crate::key::InstanceKey;
use crate::message::{ChildEnd, Creation, Message, MessageBody};
use crate::tables::TableFault;

/// Takes over messages from another partition, each number once and in order.
pub(crate) fn receive(
    context: &mut Context<'_>,
    source: PartitionId,
    first: u64,
    messages: Vec<Message>,
) -> Result<Reply, TableFault> {
    let last = context
        .tables
        .partition()
        .received
        .get(&source)
        .copied()
        .unwrap_or(0);
    if first > last + 1 {
        return Ok(Reply::Received { through: last });
    }
    let mut through = last;
    for (number, message) in (first..).zip(messages) {
        if number > last {
            deliver(context, message)?;
            through = number;
        }
    }
    if through > last {
        context
            .tables
            .partition_mut()
            .received
            .insert(source, through);
    }
    Ok(Reply::Received { through })
}

/// Delivers one message. A target that is gone, has ended or runs another execution drops it.
pub(crate) fn deliver(context: &mut Context<'_>, message: Message) -> Result<(), TableFault> {
    let Message { target, body } = message;
    match body {
        MessageBody::Start(creation) => match creation.parent.clone() {
            Some(parent) => start_child(context, target, *creation, &parent),
            None => start_detached(context, target, *creation),
        },
        MessageBody::Rewind(child) => rewind::child(context, &target, *child),
        MessageBody::Operation {
            operation,
            sender,
            due,
        } => entity::enqueue(context, &target, operation, sender, due),
        MessageBody::Lock(request) => locks::arrive(context, &target, request),
        MessageBody::Unlock { section, owner } => locks::unlock(context, &target, &section, &owner),
        MessageBody::Answer { execution, event } => context.push_result(&target, &execution, event),
        MessageBody::LockGranted(section) => locks::granted(context, &target, &section),
        MessageBody::Event(event) => context
            .push_from_client(&target, InboxKind::Other, event)
            .map(drop),
        MessageBody::ChildEnded {
            execution,
            seq,
            end,
        } => child_ended(context, &target, &execution, seq, end),
        MessageBody::Terminate {
            output,
            recurse,
            only_child_of,
        } => {
            if let Some(expected) = only_child_of {
                let is_child = context
                    .tables
                    .instance(&target)?
                    .and_then(|it| it.parent.as_ref())
                    .is_some_and(|it| {
                        (&it.instance, &it.execution, it.seq)
                            == (&expected.0, &expected.1, expected.2)
                    });
                if !is_child {
                    return Ok(());
                }
            }
            terminate::from_client(context, &target, output.as_ref(), recurse).map(drop)
        }
    }
}

/// An ended instance with the child's id makes way: retries start the same child id again.
pub(crate) fn start_child(
    context: &mut Context<'_>,
    key: InstanceKey,
    creation: Creation,
    parent: &ParentLink,
) -> Result<(), TableFault> {
    if let Some(existing) = context.tables.instance(&key)? {
        if existing.status.is_terminal() {
            purge::make_way(context, &key)?;
        } else if existing.parent.as_ref().is_some_and(|it| {
            (&it.instance, &it.execution, it.task_id)
                == (&parent.instance, &parent.execution, parent.task_id)
        }) {
            // The same action once more: the worker knows one task of that number and gets one result.
            return Ok(());
        } else {
            let message = format!(
                "an orchestration with the instance id '{}' already exists and has not ended",
                key.id
            );
            let failure = event::failure_details("OrchestrationAlreadyExists", &message);
            let end = ChildEnd::Failed(failure);
            let body = MessageBody::ChildEnded {
                execution: parent.execution.clone(),
                seq: parent.seq,
                end,
            };
            context.send(InstanceKey::new(key.hub, parent.instance.clone()), body);
            return Ok(());
        }
    }
    create::insert(context, key, creation)
}

/// An orchestration started by an entity: nobody waits, so an id that is taken is no failure of anybody.
fn start_detached(
    context: &mut Context<'_>,
    key: InstanceKey,
    creation: Creation,
) -> Result<(), TableFault> {
    match context.tables.instance(&key)? {
        Some(existing) if !existing.status.is_terminal() => Ok(()),
        Some(_) => {
            purge::make_way(context, &key)?;
            create::insert(context, key, creation)
        }
        None => create::insert(context, key, creation),
    }
}

fn child_ended(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: &ExecutionId,
    seq: u64,
    end: ChildEnd,
) -> Result<(), TableFault> {
    let at = context.at;
    let Some(instance) = context.tables.instance_mut(key)? else {
        return Ok(());
    };
    if instance.status.is_terminal() || instance.execution != *execution {
        return Ok(());
    }
    let Some(child) = instance.children.remove(&seq) else {
        return Ok(());
    };
    let event = match end {
        ChildEnd::Completed(result) => event::child_completed(at, child.task_id, result.as_deref()),
        ChildEnd::Failed(failure) => event::child_failed(at, child.task_id, &failure),
    };
    context.push_result(key, execution, event)
}
