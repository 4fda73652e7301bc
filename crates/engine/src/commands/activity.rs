//! An activity's result.

use bytes::Bytes;
use longhaul_types::ExecutionId;

use super::context::Context;
use crate::effects::Reply;
use crate::instance::{InboxKind, InboxMessage};
use crate::key::InstanceKey;
use crate::tables::TableFault;

/// Takes one result per scheduled activity; removing the activity is what makes it once.
pub(crate) fn complete(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: &ExecutionId,
    seq: u64,
    event: Bytes,
) -> Result<Reply, TableFault> {
    let at = context.at;
    let Some(instance) = context.tables.instance_mut(key)? else {
        return Ok(Reply::Stale);
    };
    if instance
        .activities
        .get(&seq)
        .is_none_or(|activity| activity.execution != *execution)
    {
        return Ok(Reply::Stale);
    }
    instance.activities.remove(&seq);
    if instance.status.is_terminal() || instance.execution != *execution {
        return Ok(Reply::Done);
    }
    instance.inbox.push_back(InboxMessage {
        kind: InboxKind::Other,
        execution: Some(execution.clone()),
        event,
    });
    instance.updated_at = at;
    context.offer_turn(key)?;
    Ok(Reply::Done)
}
