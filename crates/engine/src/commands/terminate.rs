//! Ending an instance from outside.

use bytes::{Bytes, BytesMut};

use super::context::Context;
use super::ending::{self, End, Recursion};
use crate::effects::{Effect, Reply};
use crate::history::{event, frame};
use crate::instance::{Hold, InboxKind, InboxMessage, Status};
use crate::key::InstanceKey;
use crate::tables::TableFault;
use longhaul_types::limits;

/// Asks a begun instance to end; ends one that has not begun at once, since no worker may ever be able to run it, and so
/// one that has no turns before it has its locks back.
///
/// A first turn that is out when its instance is ended this way is void: it has committed nothing.
pub(crate) fn from_client(
    context: &mut Context<'_>,
    key: &InstanceKey,
    output: Option<&Bytes>,
    recurse: bool,
) -> Result<Reply, TableFault> {
    let at = context.at;
    let Some(instance) = context.tables.instance_mut(key)? else {
        return Ok(Reply::NotFound);
    };
    let terminated = event::execution_terminated(at, output.map(|it| &it[..]), recurse);
    match instance.status {
        Status::Completed | Status::Failed | Status::Canceled | Status::Terminated => {
            Ok(Reply::Done)
        }
        Status::Running | Status::Suspended if !instance.regains_locks() => {
            instance.inbox.push_back(InboxMessage {
                kind: InboxKind::Terminated { recurse },
                execution: None,
                event: terminated,
            });
            instance.updated_at = at;
            context.offer_turn(key)?;
            Ok(Reply::Done)
        }
        Status::Pending | Status::Running | Status::Suspended => {
            let recursion = recurse.then(|| Recursion {
                output: output.cloned(),
            });
            end_now(context, key, terminated, output, recursion)?;
            Ok(Reply::Done)
        }
    }
}

/// Ends a live instance without asking its orchestrator, unless it is in a critical section. One that only waits for
/// locks loses those it has by then, and has seen nothing of them, or has lost them once before.
pub(crate) fn force(
    context: &mut Context<'_>,
    key: &InstanceKey,
    reason: Option<&Bytes>,
) -> Result<Reply, TableFault> {
    let Some(instance) = context.tables.instance(key)? else {
        return Ok(Reply::NotFound);
    };
    let mut sections = instance.locks.values();
    if instance.status.is_terminal() || sections.any(|locks| locks.hold == Hold::Granted) {
        return Ok(Reply::Refused);
    }
    let terminated = event::execution_terminated(context.at, reason.map(|it| &it[..]), false);
    end_now(context, key, terminated, reason, None)?;
    Ok(Reply::Done)
}

/// The last events and the end, in one step; whatever turn is out has lost its point.
fn end_now(
    context: &mut Context<'_>,
    key: &InstanceKey,
    terminated: Bytes,
    output: Option<&Bytes>,
    recursion: Option<Recursion>,
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context.tables.instance_mut(key)?.expect("just seen");
    let result = output.map(|it| &it[..]);
    let completed =
        event::execution_completed(event::INBOUND, at, Status::Terminated, result, None);
    let mut events = Vec::with_capacity(4);
    if instance.history.events == 0 {
        let started = instance.inbox.front();
        let started = started.expect("a generation that has not begun has its ExecutionStarted");
        events.extend([event::orchestrator_started(at), started.event.clone()]);
        instance.turn_started_at = Some(at);
    }
    events.extend([terminated, completed]);
    let mut episode = BytesMut::new();
    for event in &events {
        frame(&mut episode, event);
    }
    instance.turns += 1;
    let run = instance.history.append(
        episode.freeze(),
        events.len() as u64,
        limits::HISTORY_SEAL_BYTES,
    );
    let (execution, sealed) = (instance.execution.clone(), instance.history.sealed);
    if let Some(run) = run {
        context.tables.put_history(key, &execution, sealed - 1, run);
    }
    context
        .effects
        .push(Effect::TurnVoided { key: key.clone() });
    let end = End {
        status: Status::Terminated,
        output: output.cloned(),
        failure: None,
    };
    ending::end(context, key, end, recursion)
}
