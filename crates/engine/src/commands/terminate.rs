//! Ending an instance from outside.

use bytes::{Bytes, BytesMut};

use super::context::Context;
use super::ending::{self, End};
use crate::effects::{Effect, Reply};
use crate::history::{event, frame};
use crate::instance::{InboxKind, InboxMessage, Status};
use crate::key::InstanceKey;
use crate::tables::TableFault;
use longhaul_types::limits;

/// Asks a begun instance to end; ends one that has not begun at once, since no worker may ever be able to run it.
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
        Status::Running | Status::Suspended => {
            instance.inbox.push_back(InboxMessage {
                kind: InboxKind::Terminated { recurse },
                execution: None,
                event: terminated,
            });
            instance.updated_at = at;
            context.offer_turn(key)?;
            Ok(Reply::Done)
        }
        Status::Pending => {
            let mut episode = BytesMut::new();
            frame(&mut episode, &event::orchestrator_started(at));
            let started = instance
                .inbox
                .front()
                .expect("a pending instance has its ExecutionStarted");
            frame(&mut episode, &started.event);
            frame(&mut episode, &terminated);
            let result = output.map(|it| &it[..]);
            let completed =
                event::execution_completed(event::INBOUND, at, Status::Terminated, result, None);
            frame(&mut episode, &completed);
            instance.turn_started_at = Some(at);
            instance.turns += 1;
            let run = instance
                .history
                .append(episode.freeze(), 4, limits::HISTORY_SEAL_BYTES);
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
            ending::end(context, key, end, None)?;
            Ok(Reply::Done)
        }
    }
}
