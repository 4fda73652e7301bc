//! Suspending and resuming.

use super::context::Context;
use crate::dispatch::will_be_suspended;
use crate::effects::{Effect, Reply};
use crate::history::event;
use crate::instance::InboxKind;
use crate::key::InstanceKey;
use crate::tables::TableFault;

/// Suspends; nothing happens to an instance that has ended or is (about to be) suspended.
pub(crate) fn suspend(
    context: &mut Context<'_>,
    key: &InstanceKey,
    reason: Option<&[u8]>,
) -> Result<Reply, TableFault> {
    let event = event::execution_suspended(context.at, reason);
    switch(context, key, InboxKind::Suspended, event)
}

/// Resumes; nothing happens to an instance that has ended or is not (about to be) suspended.
pub(crate) fn resume(
    context: &mut Context<'_>,
    key: &InstanceKey,
    reason: Option<&[u8]>,
) -> Result<Reply, TableFault> {
    let event = event::execution_resumed(context.at, reason);
    switch(context, key, InboxKind::Resumed, event)
}

fn switch(
    context: &mut Context<'_>,
    key: &InstanceKey,
    kind: InboxKind,
    event: bytes::Bytes,
) -> Result<Reply, TableFault> {
    let Some(instance) = context.tables.instance(key)? else {
        return Ok(Reply::NotFound);
    };
    let wanted = kind == InboxKind::Suspended;
    if instance.status.is_terminal() || will_be_suspended(instance) == wanted {
        return Ok(Reply::Done);
    }
    context
        .effects
        .push(Effect::StatusChanged { key: key.clone() });
    context.push_from_client(key, kind, event)
}
