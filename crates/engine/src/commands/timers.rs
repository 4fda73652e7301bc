//! Timers that are due.

use longhaul_types::{ExecutionId, Timestamp};

use super::context::Context;
use crate::command::DueTimer;
use crate::effects::{Effect, Reply};
use crate::history::event;
use crate::instance::{InboxKind, InboxMessage};
use crate::tables::TableFault;

/// Fires what still stands; a timer that is not due by the partition's time is armed again, never fired early.
pub(crate) fn fire(context: &mut Context<'_>, due: Vec<DueTimer>) -> Result<Reply, TableFault> {
    let at = context.at;
    for DueTimer {
        key,
        execution,
        seq,
    } in due
    {
        let Some(instance) = context.tables.instance_mut(&key)? else {
            continue;
        };
        if instance.status.is_terminal() || instance.execution != execution {
            continue;
        }
        let Some(timer) = instance.timers.get(&seq) else {
            continue;
        };
        let (timer_id, fire_at) = (timer.timer_id, timer.fire_at);
        if fire_at > at {
            context.effects.push(Effect::TimerArmed {
                key,
                execution,
                seq,
                fire_at,
            });
            continue;
        }
        instance.timers.remove(&seq);
        instance
            .inbox
            .push_back(fired(at, execution, timer_id, fire_at));
        instance.updated_at = at;
        context.offer_turn(&key)?;
    }
    Ok(Reply::Done)
}

/// The message that a timer becomes.
pub(crate) fn fired(
    at: Timestamp,
    execution: ExecutionId,
    timer_id: i32,
    fire_at: Timestamp,
) -> InboxMessage {
    InboxMessage {
        kind: InboxKind::TimerFired { fire_at },
        execution: Some(execution),
        event: event::timer_fired(at, timer_id, fire_at),
    }
}
