//! Messages between instances and entities: outbox rows, and part of commands.

use bytes::{BufMut, Bytes};
use longhaul_engine::message::{ChildEnd, Message, MessageBody, RewindChild};
use longhaul_proto::storage::v1 as wire;
use wire::message as m;
use wire::message::child_ended::End;
use wire::message::{Body, ChildEnded, ChildOf, Completed, Terminate};

use super::values::{
    execution, execution_to_wire, instance_id, instance_id_to_wire, key, key_to_wire,
    optional_timestamp, required, text, text_to_wire, timestamp_to_wire,
};
use super::{Corrupt, creation, entity, envelope};

/// Appends the record of `message`.
pub fn put_message(message: &Message, out: &mut impl BufMut) {
    envelope::put(&to_wire(message), out);
}

/// The message in a record.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the record.
pub fn decode_message(record: Bytes) -> Result<Message, Corrupt> {
    from_wire(envelope::open(record)?)
}

pub(super) fn to_wire(message: &Message) -> wire::Message {
    let body = match &message.body {
        MessageBody::Start(creation) => Body::Start(creation::to_wire(creation)),
        MessageBody::Event(event) => Body::EncodedEvent(event.clone()),
        MessageBody::ChildEnded {
            execution,
            seq,
            end,
        } => Body::ChildEnded(ChildEnded {
            execution_id: execution_to_wire(execution),
            seq: *seq,
            end: Some(match end {
                ChildEnd::Completed(output) => End::Completed(Completed {
                    output: output.clone(),
                }),
                ChildEnd::Failed(failure) => End::EncodedFailure(failure.clone()),
            }),
        }),
        MessageBody::Terminate {
            output,
            recurse,
            only_child_of,
        } => Body::Terminate(Terminate {
            output: output.clone(),
            recurse: *recurse,
            only_child_of: only_child_of
                .as_ref()
                .map(|(parent, execution, seq)| ChildOf {
                    parent_id: instance_id_to_wire(parent),
                    execution_id: execution_to_wire(execution),
                    seq: *seq,
                }),
        }),
        MessageBody::Rewind(child) => Body::Rewind(m::RewindChild {
            reason: child.reason.clone(),
            creation: Some(creation::to_wire(&child.creation)),
            failed: child.failed,
            previous_execution_id: execution_to_wire(&child.previous),
        }),
        MessageBody::Operation {
            operation,
            sender,
            due,
        } => Body::Operation(m::Operation {
            operation: Some(entity::operation_to_wire(operation)),
            sender: sender.as_ref().map(entity::caller_to_wire),
            due: due.map(timestamp_to_wire),
        }),
        MessageBody::Lock(request) => Body::Lock(entity::lock_request_to_wire(request)),
        MessageBody::Unlock { section, owner } => Body::Unlock(m::Unlock {
            section_id: text_to_wire(section),
            owner: Some(entity::caller_to_wire(owner)),
        }),
        MessageBody::Answer { execution, event } => Body::Answer(m::Answer {
            execution_id: execution_to_wire(execution),
            encoded_event: event.clone(),
        }),
        MessageBody::LockGranted(section) => Body::LockGranted(entity::section_to_wire(section)),
    };
    wire::Message {
        target: Some(key_to_wire(&message.target)),
        body: Some(body),
    }
}

pub(super) fn from_wire(message: wire::Message) -> Result<Message, Corrupt> {
    let body = match required(message.body, "message body")? {
        Body::Start(start) => MessageBody::Start(Box::new(creation::from_wire(Some(start))?)),
        Body::EncodedEvent(event) => MessageBody::Event(event),
        Body::ChildEnded(ended) => MessageBody::ChildEnded {
            execution: execution(&ended.execution_id)?,
            seq: ended.seq,
            end: match required(ended.end, "end of the child")? {
                End::Completed(completed) => ChildEnd::Completed(completed.output),
                End::EncodedFailure(failure) => ChildEnd::Failed(failure),
            },
        },
        Body::Terminate(terminate) => MessageBody::Terminate {
            output: terminate.output,
            recurse: terminate.recurse,
            only_child_of: terminate.only_child_of.map(child_of).transpose()?,
        },
        Body::Rewind(child) => MessageBody::Rewind(Box::new(RewindChild {
            reason: child.reason,
            creation: creation::from_wire(child.creation)?,
            previous: execution(&child.previous_execution_id)?,
            failed: child.failed,
        })),
        Body::Operation(message) => MessageBody::Operation {
            operation: entity::operation(required(message.operation, "operation")?)?,
            sender: message.sender.map(entity::caller).transpose()?,
            due: optional_timestamp(message.due, "due")?,
        },
        Body::Lock(request) => MessageBody::Lock(entity::lock_request(request)?),
        Body::Unlock(unlock) => MessageBody::Unlock {
            section: text(&unlock.section_id, "critical section id")?,
            owner: entity::caller(required(unlock.owner, "owner")?)?,
        },
        Body::Answer(answer) => MessageBody::Answer {
            execution: execution(&answer.execution_id)?,
            event: answer.encoded_event,
        },
        Body::LockGranted(section) => MessageBody::LockGranted(entity::section(section)?),
    };
    Ok(Message {
        target: key(message.target)?,
        body,
    })
}

type ChildName = (longhaul_types::InstanceId, longhaul_types::ExecutionId, u64);

fn child_of(child: ChildOf) -> Result<ChildName, Corrupt> {
    Ok((
        instance_id(&child.parent_id)?,
        execution(&child.execution_id)?,
        child.seq,
    ))
}
