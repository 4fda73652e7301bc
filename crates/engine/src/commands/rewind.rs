//! Rewinding: a failed instance goes on from before its failures.
//!
//! ```text
//! OS ES(A) Sched(1) OS Done(1) Sched(2) OS Failed(2) ExecutionCompleted       what failed, with what it answered, goes
//! OS ES(B) Sched(1) OS Done(1)          OS Rewound                            the worker replays this and asks again
//! ```
//!
//! What the failed execution was still waiting for is waited for again: timers are armed, calls and lock requests without
//! an answer are sent, children that failed are rewound too.
//!
//! An activity that still runs runs on. It goes by the name that it was handed out under, and its result is for the new
//! execution exactly if the history still has it scheduled and without a result: so none of the failed execution's results
//! gets into a history that does not wait for it. Activities whose results came after the end are scheduled again.
//!
//! What the failed execution had locked was released when it failed, but a replay of its history believes what that says:
//! that it is inside. So the locks are taken once more before the first turn. An end that left sections by the way, as SDKs
//! do, goes with what it left: the replay has not come that far.

mod past;
mod waiting;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use longhaul_types::{ExecutionId, limits};
use past::Past;

use super::context::Context;
use super::{delivery, ending};
use crate::dispatch::committed_history;
use crate::effects::{Effect, Reply};
use crate::history::{Frames, History, event, frame};
use crate::instance::{ParentLink, Status};
use crate::key::InstanceKey;
use crate::message::{Creation, RewindChild};
use crate::tables::TableFault;

/// A client's rewind.
pub(crate) fn from_client(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: ExecutionId,
    reason: Option<Bytes>,
) -> Result<Reply, TableFault> {
    let Some(instance) = context.tables.instance(key)? else {
        return Ok(Reply::NotFound);
    };
    if instance.execution == execution {
        return Ok(Reply::Done);
    }
    if instance.status != Status::Failed {
        return Ok(Reply::NotFailed(instance.effective_status()));
    }
    let parent = instance.parent.clone();
    rewind(context, key, execution, parent, reason)?;
    Ok(Reply::Done)
}

/// A rewound parent waits for this child again.
pub(crate) fn child(
    context: &mut Context<'_>,
    key: &InstanceKey,
    child: RewindChild,
) -> Result<(), TableFault> {
    let RewindChild {
        reason,
        creation,
        previous,
        failed,
    } = child;
    let parent = creation.parent.clone().expect("a child has a parent");
    let Some(existing) = context.tables.instance(key)? else {
        return super::create::insert(context, key.clone(), creation);
    };
    let is_same = existing.parent.as_ref().is_some_and(|it| {
        (&it.instance, &it.execution, it.task_id) == (&parent.instance, &previous, parent.task_id)
    });
    match existing.status {
        Status::Failed if is_same => rewind(context, key, creation.execution, Some(parent), reason),
        status if is_same && !status.is_terminal() => {
            let instance = context.tables.instance_mut(key)?.expect("just seen");
            instance.parent = Some(parent);
            Ok(())
        }
        // The parent had failed before it heard of this end.
        status if is_same && !failed => {
            let (output, failure) = (existing.output.clone(), existing.failure.clone());
            context.tables.instance_mut(key)?.expect("just seen").parent = Some(parent);
            ending::notify_parent(context, key, status, output.as_ref(), failure.as_ref())
        }
        _ => delivery::start_child(context, key.clone(), creation, &parent),
    }
}

fn rewind(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: ExecutionId,
    parent: Option<Arc<ParentLink>>,
    reason: Option<Bytes>,
) -> Result<(), TableFault> {
    let at = context.at;
    let history = committed_history(context.tables, key)?.expect("the instance exists");
    let events = unframed(key, history)?;
    let mut past = Past::of(&events);

    let instance = context.tables.instance_mut(key)?.expect("just read");
    let (old_execution, sealed) = (instance.execution.clone(), instance.history.sealed);
    instance.execution = execution.clone();
    instance.parent = parent;
    instance.status = Status::Running;
    instance.turns += 1;
    instance.updated_at = at;
    instance.completed_at = None;
    instance.output = None;
    instance.failure = None;
    instance.trace = None;
    instance.rewound = true;
    instance.kicked = true;
    instance.inbox.clear();
    let started = Creation {
        execution: execution.clone(),
        name: instance.name.clone(),
        version: instance.version.clone(),
        input: instance.input.clone(),
        scheduled_start: None,
        tags: instance.tags.clone(),
        parent: instance.parent.clone(),
        parent_trace: instance.parent_trace.clone(),
        request_fingerprint: instance.request_fingerprint,
    };

    context.tables.remove_history(key, &old_execution, sealed);
    let kept = past.kept(&events, |at, scheduled_start| {
        // Only a first generation was scheduled.
        let started = Creation {
            scheduled_start,
            ..started.clone()
        };
        event::execution_started(at, &key.id, &started)
    });
    let rewound = event::execution_rewound(at, reason.as_deref());
    write_history(context, key, &execution, kept.chain([rewound]))?;

    waiting::for_activities(context, key, &old_execution, &events, &mut past)?;
    waiting::for_timers(context, key, &past)?;
    waiting::for_children(context, key, &old_execution, &past, reason.as_ref())?;
    let sections = std::mem::take(&mut past.sections);
    let is_inside = !sections.is_empty();
    waiting::for_answers(context, key, past, is_inside)?;
    waiting::for_locks(context, key, sections)?;
    context
        .effects
        .push(Effect::StatusChanged { key: key.clone() });
    context.offer_turn(key)
}

fn unframed(key: &InstanceKey, history: Vec<Bytes>) -> Result<Vec<Bytes>, TableFault> {
    let events = history.into_iter().flat_map(Frames::new);
    let events: Result<Vec<Bytes>, _> = events.collect();
    events.map_err(|damage| TableFault {
        place: format!("history {key:?}"),
        reason: damage.to_string(),
    })
}

fn write_history(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: &ExecutionId,
    events: impl Iterator<Item = Bytes>,
) -> Result<(), TableFault> {
    let mut history = History::default();
    let (mut run, mut count) = (BytesMut::new(), 0);
    let mut sealed = Vec::new();
    for event in events {
        frame(&mut run, &event);
        count += 1;
        if run.len() >= limits::HISTORY_SEAL_BYTES {
            let full = std::mem::take(&mut run).freeze();
            sealed.extend(history.append(full, count, limits::HISTORY_SEAL_BYTES));
            count = 0;
        }
    }
    if count > 0 {
        sealed.extend(history.append(run.freeze(), count, limits::HISTORY_SEAL_BYTES));
    }
    for (number, run) in (0..).zip(sealed) {
        context.tables.put_history(key, execution, number, run);
    }
    let instance = context.tables.instance_mut(key)?.expect("being rewound");
    instance.history = history;
    Ok(())
}
