//! Creating an instance, by a client or as a child; replacing the one that had the id.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use longhaul_types::{ExecutionId, Timestamp};

use super::context::Context;
use super::purge;
use crate::command::{CreateInstance, ReusePolicy};
use crate::effects::{Effect, Reply};
use crate::history::{History, event};
use crate::instance::{InboxKind, InboxMessage, Instance, Status};
use crate::key::InstanceKey;
use crate::message::Creation;
use crate::tables::TableFault;

/// How long a repeated request is recognised.
const RETRY_WINDOW: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn from_client(
    context: &mut Context<'_>,
    create: CreateInstance,
) -> Result<Reply, TableFault> {
    let at = context.at;
    let CreateInstance {
        key,
        creation,
        reuse,
    } = create;
    if let Some(existing) = context.tables.instance(&key)? {
        if is_retry(existing, &creation, at) {
            return Ok(Reply::Done);
        }
        match verdict(existing.status, existing.effective_status(), &reuse) {
            Verdict::Replace => purge::make_way(context, &key)?,
            Verdict::Refuse(reply) => return Ok(reply),
        }
    }
    insert(context, key, creation)?;
    Ok(Reply::Done)
}

/// Source: a lost answer makes stock clients send StartInstance again, and that must not come back as a conflict.
fn is_retry(existing: &Instance, creation: &Creation, at: Timestamp) -> bool {
    if existing.execution == creation.execution {
        return true;
    }
    creation.request_fingerprint != 0
        && existing.request_fingerprint == creation.request_fingerprint
        && at.since(existing.created_at) <= RETRY_WINDOW
}

enum Verdict {
    Replace,
    Refuse(Reply),
}

fn verdict(status: Status, effective: Status, reuse: &ReusePolicy) -> Verdict {
    let live = !status.is_terminal();
    match reuse {
        ReusePolicy::Default if live => Verdict::Refuse(Reply::AlreadyExists(effective)),
        ReusePolicy::Default => Verdict::Replace,
        ReusePolicy::Replace(replaceable) if !replaceable.contains(&effective) => {
            Verdict::Refuse(Reply::AlreadyExists(effective))
        }
        // Replacing a live instance terminates it, and that is what the policy forbids to follow on.
        ReusePolicy::Replace(replaceable) if live && !replaceable.contains(&Status::Terminated) => {
            Verdict::Refuse(Reply::ContradictoryReuse)
        }
        ReusePolicy::Replace(_) => Verdict::Replace,
    }
}

/// Starts an ended instance again, as it was started last: its parent, times and results are not the new one's.
pub(crate) fn restart(
    context: &mut Context<'_>,
    key: InstanceKey,
    execution: ExecutionId,
) -> Result<Reply, TableFault> {
    let Some(existing) = context.tables.instance(&key)? else {
        return Ok(Reply::NotFound);
    };
    if existing.execution == execution {
        return Ok(Reply::Done);
    }
    if !existing.status.is_terminal() {
        return Ok(Reply::NotEnded(existing.effective_status()));
    }
    let creation = Creation {
        execution,
        name: existing.name.clone(),
        version: existing.version.clone(),
        input: existing.input.clone(),
        scheduled_start: None,
        tags: existing.tags.clone(),
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    };
    purge::make_way(context, &key)?;
    insert(context, key, creation)?;
    Ok(Reply::Done)
}

pub(crate) fn insert(
    context: &mut Context<'_>,
    key: InstanceKey,
    creation: Creation,
) -> Result<(), TableFault> {
    let at = context.at;
    let started = InboxMessage {
        kind: InboxKind::Started,
        execution: Some(creation.execution.clone()),
        event: event::execution_started(at, &key.id, &creation),
    };
    let instance = Instance {
        name: creation.name,
        version: creation.version,
        execution: creation.execution,
        status: Status::Pending,
        turns: 0,
        last_seq: 0,
        created_at: at,
        updated_at: at,
        completed_at: None,
        scheduled_start: creation.scheduled_start,
        turn_started_at: None,
        input: creation.input,
        output: None,
        failure: None,
        custom_status: None,
        custom_status_inherited: false,
        tags: creation.tags,
        parent: creation.parent,
        parent_trace: creation.parent_trace,
        trace: None,
        request_fingerprint: creation.request_fingerprint,
        inbox: VecDeque::from([started]),
        activities: BTreeMap::new(),
        timers: BTreeMap::new(),
        children: BTreeMap::new(),
        locks: BTreeMap::new(),
        history: History::default(),
        rewound: false,
        kicked: false,
    };
    if let Some(start) = instance.scheduled_start.filter(|start| *start > at) {
        context.effects.push(Effect::StartArmed {
            key: key.clone(),
            at: start,
        });
    }
    context.tables.put_instance(key.clone(), instance);
    context
        .effects
        .push(Effect::StatusChanged { key: key.clone() });
    context.offer_turn(&key)
}
