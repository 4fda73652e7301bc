//! A finished turn: consumes what it saw, appends its facts, starts what it asked for, all or nothing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use longhaul_types::{ExecutionId, limits};

use super::context::Context;
use super::ending::{self, End, Recursion};
use super::{locks, timers};
use crate::command::{ActivityDraft, CompleteTurn, Ending, Outgoing, TimerDraft};
use crate::effects::{Effect, Reply};
use crate::history::{History, event, frame, framed_len};
use crate::instance::{
    Activity, Child, Hold, InboxKind, InboxMessage, Instance, ParentLink, Status, Timer,
};
use crate::key::InstanceKey;
use crate::message::{Creation, Message, MessageBody};
use crate::tables::TableFault;

pub(crate) fn complete(context: &mut Context<'_>, turn: CompleteTurn) -> Result<Reply, TableFault> {
    let at = context.at;
    let key = turn.key;
    let Some(instance) = context.tables.instance_mut(&key)? else {
        return Ok(Reply::Stale);
    };
    let wanted = !instance.status.is_terminal()
        && instance.execution == turn.execution
        && instance.turns == turn.turn
        && instance.inbox.len() >= turn.consumed as usize;
    if !wanted {
        return Ok(Reply::Stale);
    }

    let consumed = instance.inbox.drain(..turn.consumed as usize);
    let consumed: Vec<InboxMessage> = consumed.collect();
    instance.kicked = false;
    let episode = episode(&turn.facts, turn.started_at, &consumed);
    let events = 1 + u64::from(turn.consumed) + u64::from(turn.fact_count);
    let before = instance.status;
    instance.status = status_after(before, &consumed);
    instance.turns += 1;
    instance.turn_started_at = Some(turn.started_at);
    instance.updated_at = at;
    set_custom_status(instance, turn.custom_status);
    if turn.trace.is_some() {
        instance.trace = turn.trace;
    }
    let run = instance
        .history
        .append(episode, events, limits::HISTORY_SEAL_BYTES);
    let sealed = instance.history.sealed;
    instance.inbox.extend(turn.own_inbox);
    if let Some(run) = run {
        context
            .tables
            .put_history(&key, &turn.execution, sealed - 1, run);
    }

    schedule_activities(context, &key, &turn.execution, &turn.facts, turn.activities)?;
    if turn.ending.is_none() {
        make_timers(context, &key, &turn.execution, turn.timers)?;
    }
    send(context, &key, turn.messages)?;
    match turn.ending {
        None => {}
        Some(Ending::Terminal {
            status,
            output,
            failure,
        }) => {
            let recursion = recursion(status, &consumed, output.as_ref());
            ending::end(
                context,
                &key,
                End {
                    status,
                    output,
                    failure,
                },
                recursion,
            )?;
        }
        Some(Ending::ContinuedAsNew {
            execution,
            version,
            input,
            carryover,
        }) => {
            if let Some(version) = version {
                context
                    .tables
                    .instance_mut(&key)?
                    .expect("just changed")
                    .version = Some(version);
            }
            continue_as_new(context, &key, execution, input, carryover)?;
        }
    }
    let after = context.tables.instance(&key)?.expect("just changed").status;
    if after != before && !after.is_terminal() {
        context
            .effects
            .push(Effect::StatusChanged { key: key.clone() });
    }
    context.offer_turn(&key)?;
    Ok(Reply::Done)
}

/// What the turn adds to the history: OrchestratorStarted, what it consumed, what it decided.
fn episode(
    facts: &Bytes,
    started_at: longhaul_types::Timestamp,
    consumed: &[InboxMessage],
) -> Bytes {
    let started = event::orchestrator_started(started_at);
    let lens = consumed.iter().map(|it| framed_len(it.event.len()));
    let consumed_len: usize = lens.sum();
    let mut episode =
        BytesMut::with_capacity(framed_len(started.len()) + consumed_len + facts.len());
    frame(&mut episode, &started);
    for message in consumed {
        frame(&mut episode, &message.event);
    }
    episode.extend_from_slice(facts);
    episode.freeze()
}

fn status_after(before: Status, consumed: &[InboxMessage]) -> Status {
    let begun = if before == Status::Pending {
        Status::Running
    } else {
        before
    };
    consumed
        .iter()
        .fold(begun, |status, message| match message.kind {
            InboxKind::Suspended => Status::Suspended,
            InboxKind::Resumed => Status::Running,
            InboxKind::Started
            | InboxKind::Terminated { .. }
            | InboxKind::TimerFired { .. }
            | InboxKind::Other => status,
        })
}

/// Workers send the complete value each time; absent or empty means none, but what an earlier generation left stays
/// until this one has set something.
fn set_custom_status(instance: &mut Instance, sent: Option<Bytes>) {
    match sent.filter(|text| !text.is_empty()) {
        Some(text) => {
            instance.custom_status = Some(text);
            instance.custom_status_inherited = false;
        }
        None if instance.custom_status_inherited => {}
        None => instance.custom_status = None,
    }
}

fn schedule_activities(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: &ExecutionId,
    facts: &Bytes,
    drafts: Vec<ActivityDraft>,
) -> Result<(), TableFault> {
    let at = context.at;
    for draft in drafts {
        let start = draft.event_offset as usize;
        let event = facts.slice(start..start + draft.event_len as usize);
        let instance = context.tables.instance_mut(key)?.expect("just changed");
        let seq = instance.next_seq();
        let activity = Activity {
            task_id: draft.task_id,
            name: draft.name,
            version: draft.version,
            execution: execution.clone(),
            awaited_by: execution.clone(),
            event,
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
    Ok(())
}

/// A timer that is due already fires here, into the next turn.
fn make_timers(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: &ExecutionId,
    drafts: Vec<TimerDraft>,
) -> Result<(), TableFault> {
    let at = context.at;
    for TimerDraft { timer_id, fire_at } in drafts {
        let instance = context.tables.instance_mut(key)?.expect("just changed");
        if fire_at <= at {
            let fired = timers::fired(at, execution.clone(), timer_id, fire_at);
            instance.inbox.push_back(fired);
            continue;
        }
        let seq = instance.next_seq();
        instance.timers.insert(seq, Timer { timer_id, fire_at });
        let (key, execution) = (key.clone(), execution.clone());
        context.effects.push(Effect::TimerArmed {
            key,
            execution,
            seq,
            fire_at,
        });
    }
    Ok(())
}

fn send(
    context: &mut Context<'_>,
    key: &InstanceKey,
    messages: Vec<Outgoing>,
) -> Result<(), TableFault> {
    for outgoing in messages {
        match outgoing {
            Outgoing::Message(Message { target, body }) => context.send(target, body),
            Outgoing::Lock(section) => locks::request(context, key, section, Hold::Wanted)?,
            Outgoing::Unlock { section, entity } => locks::leave(context, key, &section, &entity)?,
            Outgoing::Child {
                key: child_key,
                task_id,
                mut creation,
            } => {
                let instance = context.tables.instance_mut(key)?.expect("just changed");
                let seq = instance.next_seq();
                instance.children.insert(
                    seq,
                    Child {
                        task_id,
                        instance: child_key.id.clone(),
                    },
                );
                if let Some(parent) = creation.parent.take() {
                    creation.parent = Some(
                        ParentLink {
                            seq,
                            ..(*parent).clone()
                        }
                        .into(),
                    );
                }
                context.send(child_key, MessageBody::Start(creation));
            }
        }
    }
    Ok(())
}

/// The first termination consumed decides whether the children end too.
fn recursion(
    status: Status,
    consumed: &[InboxMessage],
    output: Option<&Bytes>,
) -> Option<Recursion> {
    let recurse = consumed.iter().find_map(|message| match message.kind {
        InboxKind::Terminated { recurse } => Some(recurse),
        _ => None,
    });
    (status == Status::Terminated && recurse == Some(true)).then(|| Recursion {
        output: output.cloned(),
    })
}

/// A new generation in the same record. Results meant for the old execution are dropped, untargeted messages stay,
/// and activities already scheduled run on for nobody.
fn continue_as_new(
    context: &mut Context<'_>,
    key: &InstanceKey,
    execution: ExecutionId,
    input: Option<Bytes>,
    carryover: Vec<Bytes>,
) -> Result<(), TableFault> {
    let at = context.at;
    let old_execution = context
        .tables
        .instance(key)?
        .expect("just changed")
        .execution
        .clone();
    locks::release_all(context, key, &old_execution)?;
    let instance = context.tables.instance_mut(key)?.expect("just changed");
    let sealed = instance.history.sealed;
    let creation = Creation {
        execution: execution.clone(),
        name: instance.name.clone(),
        version: instance.version.clone(),
        input: input.clone(),
        scheduled_start: None,
        tags: instance.tags.clone(),
        parent: instance.parent.clone(),
        parent_trace: instance.parent_trace.clone(),
        request_fingerprint: instance.request_fingerprint,
    };
    let mut inbox = VecDeque::with_capacity(1 + carryover.len() + instance.inbox.len());
    inbox.push_back(InboxMessage {
        kind: InboxKind::Started,
        execution: Some(execution.clone()),
        event: event::execution_started(at, &key.id, &creation),
    });
    inbox.extend(carryover.into_iter().map(|event| InboxMessage {
        kind: InboxKind::Other,
        execution: None,
        event,
    }));
    inbox.extend(
        instance
            .inbox
            .drain(..)
            .filter(|message| message.execution.is_none()),
    );
    instance.inbox = inbox;
    instance.execution = execution;
    instance.input = input;
    instance.history = History::default();
    instance.rewound = false;
    instance.trace = None;
    instance.custom_status_inherited = instance.custom_status.is_some();
    instance.timers.clear();
    instance.children.clear();
    context.tables.remove_history(key, &old_execution, sealed);
    Ok(())
}
