//! The one match: every command goes to the file that knows it.

use longhaul_types::Timestamp;

use crate::command::Command;
use crate::commands::context::Context;
use crate::commands::{
    activity, create, delivery, entity, purge, rewind, suspension, terminate, timers, turn,
};
use crate::effects::{Outcome, Reply};
use crate::instance::InboxKind;
use crate::requests::RequestId;
use crate::tables::{TableFault, Tables};

/// Applies one committed command. Same state and same command give the same outcome, on every replica, forever.
///
/// `at` is the leader's time when it proposed; a partition's own time never goes back.
///
/// # Errors
/// [`TableFault`]: this replica's storage is broken and it must stop. A refused request is a [`Reply`].
pub fn apply(
    tables: &mut dyn Tables,
    at: Timestamp,
    command: Command,
) -> Result<Outcome, TableFault> {
    let at = at.max(tables.partition().clock);
    if at > tables.partition().clock {
        let partition = tables.partition_mut();
        partition.clock = at;
        partition.requests.forget(at);
    }
    let mut context = Context::new(tables, at);
    let reply = match command {
        Command::Once { request, command } => once(&mut context, request, *command)?,
        command => plainly(&mut context, command)?,
    };
    context.finish(reply)
}

/// Only what took effect is remembered: a refusal may be another one the next time.
fn once(
    context: &mut Context<'_>,
    request: RequestId,
    command: Command,
) -> Result<Reply, TableFault> {
    if context.tables.partition().requests.contains(request) {
        return Ok(Reply::Done);
    }
    let reply = plainly(context, command)?;
    if reply == Reply::Done {
        let at = context.at;
        context.tables.partition_mut().requests.note(at, request);
    }
    Ok(reply)
}

fn plainly(context: &mut Context<'_>, command: Command) -> Result<Reply, TableFault> {
    Ok(match command {
        Command::CreateInstance(create) => create::from_client(context, *create)?,
        Command::RaiseEvent { key, event } => {
            context.push_from_client(&key, InboxKind::Other, event)?
        }
        Command::Suspend { key, reason } => suspension::suspend(context, &key, reason.as_deref())?,
        Command::Resume { key, reason } => suspension::resume(context, &key, reason.as_deref())?,
        Command::Terminate {
            key,
            output,
            recurse,
        } => terminate::from_client(context, &key, output.as_ref(), recurse)?,
        Command::CompleteTurn(turn) => turn::complete(context, *turn)?,
        Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        } => activity::complete(context, &key, &execution, seq, event)?,
        Command::Rewind {
            key,
            execution,
            reason,
        } => rewind::from_client(context, &key, execution, reason)?,
        Command::Restart { key, execution } => create::restart(context, key, execution)?,
        Command::ForceTerminate { key, reason } => {
            terminate::force(context, &key, reason.as_ref())?
        }
        Command::Purge { targets } => purge::purge(context, targets)?,
        Command::Remove { keys } => purge::remove(context, keys)?,
        Command::SignalEntity {
            key,
            request_id,
            event,
            due,
        } => entity::signal(context, &key, request_id, event, due)?,
        Command::CompleteBatch(batch) => entity::complete(context, *batch)?,
        Command::ReleaseOperations(due) => entity::release(context, due)?,
        Command::ExpireEntities(keys) => entity::expire(context, keys)?,
        Command::FireTimers(due) => timers::fire(context, due)?,
        Command::Deliver {
            source,
            first,
            messages,
        } => delivery::receive(context, source, first, messages)?,
        Command::AckOutbox { target, through } => {
            context.tables.remove_outbox(target, through);
            Reply::Done
        }
        // Never in one another; what is proposed so, all the same counts as one.
        Command::Once { request, command } => once(context, request, *command)?,
    })
}
