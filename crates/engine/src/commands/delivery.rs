//! Messages from other instances: what arrives from another partition, and what each message does to its target.

use longhaul_types::{ExecutionId, PartitionId};

use super::context::Context;
use super::{create, terminate};
use crate::effects::Reply;
use crate::history::event;
use crate::instance::{InboxKind, InboxMessage};
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
        MessageBody::Start(creation) => start_child(context, target, *creation),
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
fn start_child(
    context: &mut Context<'_>,
    key: InstanceKey,
    creation: Creation,
) -> Result<(), TableFault> {
    let parent = creation.parent.clone().expect("a child has a parent");
    if let Some(existing) = context.tables.instance(&key)? {
        if existing.status.is_terminal() {
            create::remove(context, &key)?;
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
    instance.inbox.push_back(InboxMessage {
        kind: InboxKind::Other,
        execution: Some(execution.clone()),
        event,
    });
    instance.updated_at = at;
    context.offer_turn(key)
}
