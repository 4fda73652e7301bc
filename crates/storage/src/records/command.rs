//! What a log entry carries: a batch of commands.
//!
//! On the hot path twice: encoded when proposed, decoded when applied.

use bytes::Bytes;
use longhaul_engine::RequestId;
use longhaul_engine::command::{
    Batch, Command, CompleteBatch, CreateInstance, DueOperation, DueTimer, PurgeTarget,
    ReusePolicy, StateChange,
};
use longhaul_proto::storage::v1 as wire;
use wire::command as c;
use wire::command::Command as Body;

use super::values::{
    execution, execution_to_wire, key, key_to_wire, optional_timestamp, partition_id, required,
    status, text, text_to_wire, timestamp, timestamp_to_wire,
};
use super::{Corrupt, creation, envelope, message, turn};

/// The log entry for a batch.
#[must_use]
pub fn encode_batch(batch: &Batch) -> Bytes {
    envelope::seal(&wire::Batch {
        at: Some(timestamp_to_wire(batch.at)),
        proposer: batch.proposer,
        number: batch.number,
        commands: batch.commands.iter().map(command_to_wire).collect(),
    })
}

/// The batch in a log entry; its payloads are slices of the entry.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the entry.
pub fn decode_batch(entry: Bytes) -> Result<Batch, Corrupt> {
    let batch: wire::Batch = envelope::open(entry)?;
    Ok(Batch {
        at: timestamp(batch.at, "time of the batch")?,
        proposer: batch.proposer,
        number: batch.number,
        commands: batch
            .commands
            .into_iter()
            .map(command_from_wire)
            .collect::<Result<_, _>>()?,
    })
}

/// A command as it stands in a batch, to be encoded as a part of something else.
#[must_use]
pub fn command_to_wire(command: &Command) -> wire::Command {
    let body = match command {
        Command::CreateInstance(create) => Body::CreateInstance(create_to_wire(create)),
        Command::RaiseEvent { key, event } => Body::RaiseEvent(c::RaiseEvent {
            key: Some(key_to_wire(key)),
            encoded_event: event.clone(),
        }),
        Command::Suspend { key, reason } => Body::Suspend(c::Suspend {
            key: Some(key_to_wire(key)),
            reason: reason.clone(),
        }),
        Command::Resume { key, reason } => Body::Resume(c::Resume {
            key: Some(key_to_wire(key)),
            reason: reason.clone(),
        }),
        Command::Terminate {
            key,
            output,
            recurse,
        } => Body::Terminate(c::Terminate {
            key: Some(key_to_wire(key)),
            output: output.clone(),
            recurse: *recurse,
        }),
        Command::CompleteTurn(turn) => Body::CompleteTurn(turn::to_wire(turn)),
        Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        } => Body::CompleteActivity(c::CompleteActivity {
            key: Some(key_to_wire(key)),
            execution_id: execution_to_wire(execution),
            seq: *seq,
            encoded_event: event.clone(),
        }),
        Command::Rewind {
            key,
            execution,
            reason,
        } => Body::Rewind(c::Rewind {
            key: Some(key_to_wire(key)),
            execution_id: execution_to_wire(execution),
            reason: reason.clone(),
        }),
        Command::Restart { key, execution } => Body::Restart(c::Restart {
            key: Some(key_to_wire(key)),
            execution_id: execution_to_wire(execution),
        }),
        Command::ForceTerminate { key, reason } => Body::ForceTerminate(c::ForceTerminate {
            key: Some(key_to_wire(key)),
            reason: reason.clone(),
        }),
        Command::Purge { targets } => Body::Purge(c::Purge {
            targets: targets.iter().map(purge_target_to_wire).collect(),
        }),
        Command::Remove { keys } => Body::Remove(c::Remove {
            keys: keys.iter().map(key_to_wire).collect(),
        }),
        Command::SignalEntity {
            key,
            request_id,
            event,
            due,
        } => Body::SignalEntity(c::SignalEntity {
            key: Some(key_to_wire(key)),
            request_id: text_to_wire(request_id),
            encoded_event: event.clone(),
            due: due.map(timestamp_to_wire),
        }),
        Command::CompleteBatch(batch) => Body::CompleteBatch(batch_to_wire(batch)),
        Command::ReleaseOperations(due) => Body::ReleaseOperations(c::ReleaseOperations {
            operations: due.iter().map(due_operation_to_wire).collect(),
        }),
        Command::ExpireEntities(keys) => Body::ExpireEntities(c::ExpireEntities {
            keys: keys.iter().map(key_to_wire).collect(),
        }),
        Command::FireTimers(due) => Body::FireTimers(c::FireTimers {
            timers: due.iter().map(due_timer_to_wire).collect(),
        }),
        Command::Deliver {
            source,
            first,
            messages,
        } => Body::Deliver(c::Deliver {
            source: source.0.into(),
            first: *first,
            messages: messages.iter().map(message::to_wire).collect(),
        }),
        Command::Once { request, command } => Body::Once(Box::new(c::Once {
            request_high: (request.0 >> 64) as u64,
            request_low: request.0 as u64,
            command: Some(Box::new(command_to_wire(command))),
        })),
        Command::AckOutbox { target, through } => Body::AckOutbox(c::AckOutbox {
            target: target.0.into(),
            through: *through,
        }),
    };
    wire::Command {
        command: Some(body),
    }
}

/// The command that [`command_to_wire`] made.
///
/// # Errors
/// [`Corrupt`] says what is wrong with it.
pub fn command_from_wire(command: wire::Command) -> Result<Command, Corrupt> {
    Ok(match required(command.command, "command")? {
        Body::CreateInstance(create) => Command::CreateInstance(Box::new(self::create(create)?)),
        Body::RaiseEvent(raise) => Command::RaiseEvent {
            key: key(raise.key)?,
            event: raise.encoded_event,
        },
        Body::Suspend(suspend) => Command::Suspend {
            key: key(suspend.key)?,
            reason: suspend.reason,
        },
        Body::Resume(resume) => Command::Resume {
            key: key(resume.key)?,
            reason: resume.reason,
        },
        Body::Terminate(terminate) => Command::Terminate {
            key: key(terminate.key)?,
            output: terminate.output,
            recurse: terminate.recurse,
        },
        Body::CompleteTurn(turn) => Command::CompleteTurn(Box::new(turn::from_wire(turn)?)),
        Body::CompleteActivity(complete) => Command::CompleteActivity {
            key: key(complete.key)?,
            execution: execution(&complete.execution_id)?,
            seq: complete.seq,
            event: complete.encoded_event,
        },
        Body::Rewind(rewind) => Command::Rewind {
            key: key(rewind.key)?,
            execution: execution(&rewind.execution_id)?,
            reason: rewind.reason,
        },
        Body::Restart(restart) => Command::Restart {
            key: key(restart.key)?,
            execution: execution(&restart.execution_id)?,
        },
        Body::ForceTerminate(force) => Command::ForceTerminate {
            key: key(force.key)?,
            reason: force.reason,
        },
        Body::Purge(purge) => {
            let targets = purge.targets.into_iter().map(purge_target);
            Command::Purge {
                targets: targets.collect::<Result<_, _>>()?,
            }
        }
        Body::Remove(remove) => Command::Remove {
            keys: keys(remove.keys)?,
        },
        Body::SignalEntity(signal) => Command::SignalEntity {
            key: key(signal.key)?,
            request_id: text(&signal.request_id, "request id")?,
            event: signal.encoded_event,
            due: optional_timestamp(signal.due, "due")?,
        },
        Body::CompleteBatch(batch) => Command::CompleteBatch(Box::new(self::batch(batch)?)),
        Body::ReleaseOperations(release) => {
            let operations = release.operations.into_iter().map(due_operation);
            Command::ReleaseOperations(operations.collect::<Result<_, _>>()?)
        }
        Body::ExpireEntities(expire) => Command::ExpireEntities(keys(expire.keys)?),
        Body::FireTimers(fire) => {
            let timers = fire.timers.into_iter().map(due_timer);
            Command::FireTimers(timers.collect::<Result<_, _>>()?)
        }
        Body::Deliver(deliver) => Command::Deliver {
            source: partition_id(deliver.source)?,
            first: deliver.first,
            messages: deliver
                .messages
                .into_iter()
                .map(message::from_wire)
                .collect::<Result<_, _>>()?,
        },
        Body::Once(once) => Command::Once {
            request: RequestId(u128::from(once.request_high) << 64 | u128::from(once.request_low)),
            command: Box::new(command_from_wire(*required(once.command, "command")?)?),
        },
        Body::AckOutbox(ack) => Command::AckOutbox {
            target: partition_id(ack.target)?,
            through: ack.through,
        },
    })
}

fn create_to_wire(create: &CreateInstance) -> c::CreateInstance {
    let reuse = match &create.reuse {
        ReusePolicy::Default => None,
        ReusePolicy::Replace(states) => Some(c::Reuse {
            replace: states.iter().map(|status| status.to_wire()).collect(),
        }),
    };
    c::CreateInstance {
        key: Some(key_to_wire(&create.key)),
        creation: Some(creation::to_wire(&create.creation)),
        reuse,
    }
}

fn create(create: c::CreateInstance) -> Result<CreateInstance, Corrupt> {
    let reuse = match create.reuse {
        None => ReusePolicy::Default,
        Some(reuse) => {
            let states = reuse.replace.into_iter().map(status);
            ReusePolicy::Replace(states.collect::<Result<_, _>>()?)
        }
    };
    Ok(CreateInstance {
        key: key(create.key)?,
        creation: creation::from_wire(create.creation)?,
        reuse,
    })
}

fn keys(keys: Vec<wire::InstanceKey>) -> Result<Vec<longhaul_engine::InstanceKey>, Corrupt> {
    keys.into_iter().map(|it| key(Some(it))).collect()
}

fn purge_target_to_wire(target: &PurgeTarget) -> c::PurgeTarget {
    c::PurgeTarget {
        key: Some(key_to_wire(&target.key)),
        completed_at: target.completed_at.map(timestamp_to_wire),
    }
}

fn purge_target(target: c::PurgeTarget) -> Result<PurgeTarget, Corrupt> {
    Ok(PurgeTarget {
        key: key(target.key)?,
        completed_at: optional_timestamp(target.completed_at, "completed_at")?,
    })
}

fn batch_to_wire(batch: &CompleteBatch) -> c::CompleteBatch {
    let (keep_state, state) = match &batch.state {
        StateChange::Keep => (true, None),
        StateChange::Set(state) => (false, state.clone()),
    };
    c::CompleteBatch {
        key: Some(key_to_wire(&batch.key)),
        batch: batch.batch,
        keep_state,
        state,
        encoded_answers: batch.answers.clone(),
        messages: batch.messages.iter().map(message::to_wire).collect(),
    }
}

fn batch(batch: c::CompleteBatch) -> Result<CompleteBatch, Corrupt> {
    let messages = batch.messages.into_iter().map(message::from_wire);
    Ok(CompleteBatch {
        key: key(batch.key)?,
        batch: batch.batch,
        state: if batch.keep_state {
            StateChange::Keep
        } else {
            StateChange::Set(batch.state)
        },
        answers: batch.encoded_answers,
        messages: messages.collect::<Result<_, _>>()?,
    })
}

fn due_operation_to_wire(due: &DueOperation) -> c::DueOperation {
    c::DueOperation {
        key: Some(key_to_wire(&due.key)),
        seq: due.seq,
    }
}

fn due_operation(due: c::DueOperation) -> Result<DueOperation, Corrupt> {
    Ok(DueOperation {
        key: key(due.key)?,
        seq: due.seq,
    })
}

fn due_timer_to_wire(due: &DueTimer) -> c::DueTimer {
    c::DueTimer {
        key: Some(key_to_wire(&due.key)),
        execution_id: execution_to_wire(&due.execution),
        seq: due.seq,
    }
}

fn due_timer(due: c::DueTimer) -> Result<DueTimer, Corrupt> {
    Ok(DueTimer {
        key: key(due.key)?,
        execution: execution(&due.execution_id)?,
        seq: due.seq,
    })
}
