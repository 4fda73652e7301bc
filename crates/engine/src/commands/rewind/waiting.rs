//! A rewound execution waits again for everything that the failed one waited for.

use std::collections::BTreeMap;
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
use crate::instance::{Activity, Child, Hold, InboxMessage, ParentLink, Tags, Timer};
use crate::key::InstanceKey;
use crate::message::{Creation, MessageBody, RewindChild};
use crate::tables::TableFault;
use crate::turn::{called_no_entity, impossible_child, nameless_activity};

/// Activities that still run are the new execution's from now on; those whose result was dropped are scheduled again.
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
    let running = instance.activities.values_mut();
    for activity in running.filter(|it| it.awaited_by == *old_execution) {
        let open = past.activities.entry(activity.task_id).or_default();
        let scheduled = open
            .iter()
            .position(|it| events[it.place] == activity.event);
        if let Some(scheduled) = scheduled {
            open.remove(scheduled);
            activity.awaited_by = execution.clone();
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
                let failed = InboxMessage::result(execution.clone(), failed);
                instance.inbox.push_back(failed);
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
                awaited_by: execution.clone(),
                event: events[place].clone(),
                scheduled_at: at,
            };
            context.effects.push(Effect::ActivityReady {
                key: key.clone(),
                seq,
                name: activity.name.clone(),
                version: activity.version.clone(),
            });
            instance.activities.insert(seq, activity);
        }
    }
    Ok(())
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

/// Asks entities again, in the order in which they were asked. Locks are asked for at once only by who is not `inside`.
pub(super) fn for_answers(
    context: &mut Context<'_>,
    key: &InstanceKey,
    past: Past,
    is_inside: bool,
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
            Request::Lock { lock_set } => {
                let hold = if is_inside {
                    Hold::Postponed
                } else {
                    Hold::Wanted
                };
                let entities = CriticalSection::order(&lock_set);
                lock_again(context, key, id, entities, hold)?;
            }
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
            let failed = InboxMessage::result(execution, failed);
            instance.inbox.push_back(failed);
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
    entities: Vec<InstanceId>,
    hold: Hold,
) -> Result<(), TableFault> {
    let at = context.at;
    let instance = context.tables.instance_mut(key)?.expect("being rewound");
    let execution = instance.execution.clone();
    if entities.is_empty() {
        let granted = entity_event::lock_granted(at, &id);
        let granted = InboxMessage::result(execution, granted);
        instance.inbox.push_back(granted);
        return Ok(());
    }
    let section = CriticalSection {
        id,
        owner: key.id.clone(),
        execution,
        entities,
    };
    locks::request(context, key, Arc::new(section), hold)
}

/// Goes back into the sections that the failed execution was inside. Sent last: what it had called is done before that, in
/// the place that it still has.
pub(super) fn for_locks(
    context: &mut Context<'_>,
    key: &InstanceKey,
    sections: BTreeMap<Arc<str>, Vec<InstanceId>>,
) -> Result<(), TableFault> {
    for (id, entities) in sections {
        lock_again(context, key, id, entities, Hold::Regained)?;
    }
    Ok(())
}

/// Children without a result are rewound if they failed, started if they are gone, and told whom to answer if they live.
pub(super) fn for_children(
    context: &mut Context<'_>,
    key: &InstanceKey,
    old_execution: &ExecutionId,
    past: &Past,
    reason: Option<&Bytes>,
) -> Result<(), TableFault> {
    let at = context.at;
    for (task_id, (child, failed)) in &past.children {
        let instance = context.tables.instance_mut(key)?.expect("being rewound");
        if let Some(failed) = impossible_child(at, *task_id, child.instance.as_str(), &child.name) {
            let failed = InboxMessage::result(instance.execution.clone(), failed);
            instance.inbox.push_back(failed);
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
            previous: old_execution.clone(),
            failed: *failed,
        }));
        context.send(InstanceKey::new(key.hub, child.instance.clone()), body);
    }
    Ok(())
}
