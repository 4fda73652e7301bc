//! The one match: every command goes to the file that knows it.

use longhaul_types::Timestamp;

use crate::command::Command;
use crate::commands::context::Context;
use crate::commands::{
    activity, create, delivery, entity, purge, rewind, suspension, terminate, timers, turn,
};
use crate::effects::{Outcome, Reply};
use crate::instance::InboxKind;
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
        tables.partition_mut().clock = at;
    }
    let mut context = Context::new(tables, at);
    let reply = match command {
        Command::CreateInstance(create) => create::from_client(&mut context, *create)?,
        Command::RaiseEvent { key, event } => {
            context.push_from_client(&key, InboxKind::Other, event)?
        }
        Command::Suspend { key, reason } => {
            suspension::suspend(&mut context, &key, reason.as_deref())?
        }
        Command::Resume { key, reason } => {
            suspension::resume(&mut context, &key, reason.as_deref())?
        }
        Command::Terminate {
            key,
            output,
            recurse,
        } => terminate::from_client(&mut context, &key, output.as_ref(), recurse)?,
        Command::CompleteTurn(turn) => turn::complete(&mut context, *turn)?,
        Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        } => activity::complete(&mut context, &key, &execution, seq, event)?,
        Command::Rewind {
            key,
            execution,
            reason,
        } => rewind::from_client(&mut context, &key, execution, reason)?,
        Command::Restart { key, execution } => create::restart(&mut context, key, execution)?,
        Command::ForceTerminate { key, reason } => {
            terminate::force(&mut context, &key, reason.as_ref())?
        }
        Command::Purge { targets } => purge::purge(&mut context, targets)?,
        Command::Remove { keys } => purge::remove(&mut context, keys)?,
        Command::SignalEntity {
            key,
            request_id,
            event,
            due,
        } => entity::signal(&mut context, &key, request_id, event, due)?,
        Command::CompleteBatch(batch) => entity::complete(&mut context, *batch)?,
        Command::ReleaseOperations(due) => entity::release(&mut context, due)?,
        Command::ExpireEntities(keys) => entity::expire(&mut context, keys)?,
        Command::FireTimers(due) => timers::fire(&mut context, due)?,
        Command::Deliver {
            source,
            first,
            messages,
        } => delivery::receive(&mut context, source, first, messages)?,
        Command::AckOutbox { target, through } => {
            context.tables.remove_outbox(target, through);
            Reply::Done
        }
    };
    context.finish(reply)
}
