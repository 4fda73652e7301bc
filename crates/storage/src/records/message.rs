//! Messages between instances: outbox rows, and part of commands.

use bytes::{BufMut, Bytes};
use longhaul_engine::message::{ChildEnd, Message, MessageBody};
use longhaul_proto::storage::v1 as wire;
use wire::message::child_ended::End;
use wire::message::{Body, ChildEnded, ChildOf, Completed, Terminate};

use super::values::{
    execution, execution_to_wire, instance_id, instance_id_to_wire, key, key_to_wire, required,
};
use super::{Corrupt, creation, envelope};

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
