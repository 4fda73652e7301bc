//! What happens whenever an execution ends for good, whoever ended it.

use bytes::Bytes;

use super::context::Context;
use super::locks;
use crate::effects::Effect;
use crate::history::event;
use crate::instance::Status;
use crate::key::InstanceKey;
use crate::message::{ChildEnd, MessageBody};
use crate::tables::TableFault;

pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) output: Option<Bytes>,
    pub(crate) failure: Option<Bytes>,
}

/// Recursion of a termination into the children: the output they get.
pub(crate) struct Recursion {
    pub(crate) output: Option<Bytes>,
}

/// Makes the instance terminal: result, parent, children, inbox, timers. Its history is already complete.
pub(crate) fn end(
    context: &mut Context<'_>,
    key: &InstanceKey,
    end: End,
    recursion: Option<Recursion>,
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context
        .tables
        .instance_mut(key)?
        .expect("the instance that ends exists");
    instance.status = end.status;
    instance.output.clone_from(&end.output);
    instance.failure.clone_from(&end.failure);
    instance.completed_at = Some(at);
    instance.updated_at = at;
    instance.inbox.clear();
    instance.kicked = false;
    instance.timers.clear();
    let children = std::mem::take(&mut instance.children);
    let execution = instance.execution.clone();
    if end.status == Status::Terminated && !instance.activities.is_empty() {
        // Nobody waits for them and whoever ended the instance wants its work to end.
        instance.activities.clear();
        context
            .effects
            .push(Effect::ActivitiesVoided { key: key.clone() });
    }
    if let Some(recursion) = recursion {
        for (seq, child) in children {
            let body = MessageBody::Terminate {
                output: recursion.output.clone(),
                recurse: true,
                only_child_of: Some((key.id.clone(), execution.clone(), seq)),
            };
            context.send(InstanceKey::new(key.hub, child.instance), body);
        }
    }
    locks::release_all(context, key, &execution)?;
    notify_parent(
        context,
        key,
        end.status,
        end.output.as_ref(),
        end.failure.as_ref(),
    )?;
    context
        .effects
        .push(Effect::StatusChanged { key: key.clone() });
    context.touch(key);
    Ok(())
}

/// Tells the parent's execution, if there is one, how its child ended.
pub(crate) fn notify_parent(
    context: &mut Context<'_>,
    key: &InstanceKey,
    status: Status,
    output: Option<&Bytes>,
    failure: Option<&Bytes>,
) -> Result<(), TableFault> {
    let Some(parent) = context
        .tables
        .instance(key)?
        .and_then(|instance| instance.parent.clone())
    else {
        return Ok(());
    };
    let end = match (status, failure) {
        (Status::Completed, _) => ChildEnd::Completed(output.cloned()),
        (_, Some(failure)) => ChildEnd::Failed(failure.clone()),
        (_, None) => ChildEnd::Failed(synthesised_failure(key, status, output)),
    };
    let body = MessageBody::ChildEnded {
        execution: parent.execution.clone(),
        seq: parent.seq,
        end,
    };
    context.send(InstanceKey::new(key.hub, parent.instance.clone()), body);
    Ok(())
}

/// Source: SDKs read failure details without checking that there are any.
fn synthesised_failure(key: &InstanceKey, status: Status, output: Option<&Bytes>) -> Bytes {
    let (error_type, verb) = match status {
        Status::Terminated => ("OrchestrationTerminated", "was terminated"),
        Status::Canceled => ("OrchestrationCanceled", "was canceled"),
        Status::Failed => ("OrchestrationFailed", "failed"),
        Status::Completed | Status::Running | Status::Pending | Status::Suspended => {
            ("Unknown", "ended")
        }
    };
    let text = output
        .map(|it| String::from_utf8_lossy(it))
        .unwrap_or_default();
    let message = if text.is_empty() {
        format!("the sub-orchestration '{}' {verb}", key.id)
    } else {
        format!("the sub-orchestration '{}' {verb}: {text}", key.id)
    };
    event::failure_details(error_type, &message)
}
