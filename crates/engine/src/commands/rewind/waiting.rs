//! A rewound execution waits again for everything that the failed one waited for.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use super::super::context::Context;
use super::super::{locks, timers};
use super::past::{Past, Request, Scheduled};
use crate::effects::Effect;
use crate::entity::{Caller, CriticalSection, Operation};
use crate::history::entity_event::{self, OperationText};
use crate::history::event::{self, INBOUND};
use crate::instance::{Activity, Child, InboxKind, InboxMessage, ParentLink, Tags, Timer};
use crate::key::InstanceKey;
use crate::message::{Creation, MessageBody, RewindChild};
use crate::tables::TableFault;
use crate::turn::{called_no_entity, impossible_child, nameless_activity};

/// Activities that are out are handed out anew, for the new execution; those whose result was dropped are queued again.
pub(super) fn for_activities(
    context: &mut Context<'_>,
    key: &InstanceKey,
    old_execution: &ExecutionId,
    events: &[Bytes],
    past: &mut Past,
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context.tables.instance_mut(key)?.expect("being rewound");
    let execution = instance.execution.clone();
    if !instance.activities.is_empty() {
        let voided = Effect::ActivitiesVoided { key: key.clone() };
        context.effects.push(voided);
    }
    for activity in instance.activities.values_mut() {
        if activity.execution != *old_execution {
            continue;
        }
        let open = past.activities.get_mut(&activity.task_id);
        if open.is_some_and(|open| open.pop().is_some()) {
            activity.execution = execution.clone();
        }
    }
    let open = std::mem::take(&mut past.activities);
    for (task_id, places) in open {
        for Scheduled {
            place,
            name,
            version,
        } in places
        {
            if name.is_empty() {
                let failed = nameless_activity(at, task_id);
                instance.inbox.push_back(result(&execution, failed));
                continue;
            }
            let version = version
                .filter(|it| !it.is_empty())
                .or_else(|| instance.version.clone());
            let seq = instance.next_seq();
            let activity = Activity {
                task_id,
                name,
                version,
                execution: execution.clone(),
                event: events[place].clone(),
                scheduled_at: at,
            };
            instance.activities.insert(seq, activity);
        }
    }
    let ready = instance.activities.iter();
    let ready = ready.map(|(seq, activity)| Effect::ActivityReady {
        key: key.clone(),
        seq: *seq,
        name: activity.name.clone(),
        version: activity.version.clone(),
    });
    context.effects.extend(ready);
    Ok(())
}

/// A result that is there at once.
fn result(execution: &ExecutionId, event: Bytes) -> InboxMessage {
    InboxMessage {
        kind: InboxKind::Other,
        execution: Some(execution.clone()),
        event,
    }
}

/// Timers are armed; those that are due by now fire in the order in which they were due.
pub(super) fn for_timers(
    context: &mut Context<'_>,
    key: &InstanceKey,
    past: &Past,
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context.tables.instance_mut(key)?.expect("being rewound");
    let execution = instance.execution.clone();
    let waiting = past.timers.iter().map(|(id, due)| (*due, *id));
    let mut waiting: Vec<(Timestamp, i32)> = waiting.collect();
    waiting.sort_unstable();
    for (fire_at, timer_id) in waiting {
        if fire_at <= at {
            let fired = timers::fired(at, execution.clone(), timer_id, fire_at);
            instance.inbox.push_back(fired);
            continue;
        }
        let seq = instance.next_seq();
        instance.timers.insert(seq, Timer { timer_id, fire_at });
        context.effects.push(Effect::TimerArmed {
            key: key.clone(),
            execution: execution.clone(),
            seq,
            fire_at,
        });
    }
    Ok(())
}

/// Asks entities again, in the order in which they were asked.
pub(super) fn for_answers(
    context: &mut Context<'_>,
    key: &InstanceKey,
    past: Past,
) -> Result<(), TableFault> {
    let mut requests: Vec<_> = past.requests.into_iter().collect();
    requests.sort_unstable_by_key(|(_, (place, _))| *place);
    for (id, (_, request)) in requests {
        match request {
            Request::Call {
                operation,
                scheduled,
                input,
                target,
            } => {
                let text = OperationText {
                    request_id: &id,
                    operation: &operation,
                    scheduled,
                    input: input.as_deref(),
                    target: &target,
                };
                call_again(context, key, text)?;
            }
            Request::Lock { lock_set } => lock_again(context, key, id, &lock_set)?,
        }
    }
    Ok(())
}

fn call_again(
    context: &mut Context<'_>,
    key: &InstanceKey,
    text: OperationText<'_>,
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context.tables.instance_mut(key)?.expect("being rewound");
    let execution = instance.execution.clone();
    let target = match InstanceId::parse_entity(text.target) {
        Ok(target) => target,
        Err(invalid) => {
            let failed = called_no_entity(at, text.request_id, &invalid);
            instance.inbox.push_back(result(&execution, failed));
            return Ok(());
        }
    };
    let text = OperationText {
        target: target.as_str(),
        ..text
    };
    let event = entity_event::operation_called(INBOUND, at, text, (&key.id, &execution));
    let caller = Caller {
        instance: key.id.clone(),
        execution,
    };
    let operation = Operation {
        caller: Some(caller.clone()),
        request_id: text.request_id.into(),
        event,
    };
    let body = MessageBody::Operation {
        operation,
        sender: Some(caller),
        due: text.scheduled,
    };
    context.send(InstanceKey::new(key.hub, target.clone()), body);
    Ok(())
}

fn lock_again(
    context: &mut Context<'_>,
    key: &InstanceKey,
    id: Arc<str>,
    lock_set: &[String],
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context.tables.instance_mut(key)?.expect("being rewound");
    let execution = instance.execution.clone();
    let entities = CriticalSection::order(lock_set);
    if entities.is_empty() {
        let granted = entity_event::lock_granted(at, &id);
        instance.inbox.push_back(result(&execution, granted));
        return Ok(());
    }
    let section = CriticalSection {
        id,
        owner: key.id.clone(),
        execution,
        entities,
    };
    locks::request(context, key, Arc::new(section))
}

pub(super) fn for_children(
    context: &mut Context<'_>,
    key: &InstanceKey,
    past: &Past,
    reason: Option<&Bytes>,
) -> Result<(), TableFault> {
    let at = context.at;
    for (task_id, (child, failed)) in &past.children {
        let instance = context.tables.instance_mut(key)?.expect("being rewound");
        if let Some(failed) = impossible_child(at, *task_id, child.instance.as_str(), &child.name) {
            let execution = instance.execution.clone();
            instance.inbox.push_back(result(&execution, failed));
            continue;
        }
        let seq = instance.next_seq();
        instance.children.insert(
            seq,
            Child {
                task_id: *task_id,
                instance: child.instance.clone(),
            },
        );
        let execution = instance.execution.clone();
        let info = event::parent_info(
            *task_id,
            &instance.name,
            instance.version.as_deref(),
            &key.id,
            &execution,
        );
        let parent = ParentLink {
            instance: key.id.clone(),
            execution: execution.clone(),
            task_id: *task_id,
            seq,
            info,
        };
        let tags: Tags = child.tags.iter().cloned().collect();
        let creation = Creation {
            execution: ExecutionId::derived(execution.as_str(), seq),
            name: child.name.clone(),
            version: child.version.clone(),
            input: child.input.clone(),
            scheduled_start: None,
            tags: (!tags.is_empty()).then(|| Arc::new(tags)),
            parent: Some(Arc::new(parent)),
            parent_trace: child.trace.clone(),
            request_fingerprint: 0,
        };
        let body = MessageBody::Rewind(Box::new(RewindChild {
            reason: reason.cloned(),
            creation,
            failed: *failed,
        }));
        context.send(InstanceKey::new(key.hub, child.instance.clone()), body);
    }
    Ok(())
}
