//! An activity's result.

use bytes::Bytes;
use longhaul_types::ExecutionId;

use super::context::Context;
use crate::effects::Reply;
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
    let Some(instance) = context.tables.instance_mut(key)? else {
        return Ok(Reply::Stale);
    };
    let wanted = instance.activities.get(&seq);
    if wanted.is_none_or(|activity| activity.execution != *execution) {
        return Ok(Reply::Stale);
    }
    let activity = instance.activities.remove(&seq).expect("just seen");
    context.push_result(key, &activity.awaited_by, event)?;
    Ok(Reply::Done)
}
