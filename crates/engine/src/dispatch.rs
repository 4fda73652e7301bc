//! What an instance can hand to a worker now: questions the leader asks of the state, without changing it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use longhaul_types::{ExecutionId, Timestamp, limits};

use crate::effects::Effect;
use crate::history::read::{Stored, read};
use crate::history::{Frames, frame};
use crate::instance::{InboxKind, Instance, ParentLink, Status, Tags};
use crate::key::InstanceKey;
use crate::tables::{TableFault, Tables};

/// Whether a turn of the instance can be offered to a worker at `now`.
#[must_use]
pub fn turn_ready(instance: &Instance, now: Timestamp) -> bool {
    let has_reason = !instance.inbox.is_empty() || instance.kicked;
    let is_early = instance.scheduled_start.is_some_and(|start| start > now);
    if !has_reason || is_early || instance.regains_locks() {
        return false;
    }
    match instance.status {
        Status::Pending | Status::Running => true,
        Status::Suspended => instance.inbox.iter().any(|message| {
            matches!(
                message.kind,
                InboxKind::Resumed | InboxKind::Terminated { .. }
            )
        }),
        Status::Completed | Status::Failed | Status::Canceled | Status::Terminated => false,
    }
}

/// Whether the instance is suspended once its inbox has been consumed.
#[must_use]
pub fn will_be_suspended(instance: &Instance) -> bool {
    let queued = instance
        .inbox
        .iter()
        .rev()
        .find_map(|message| match message.kind {
            InboxKind::Suspended => Some(true),
            InboxKind::Resumed => Some(false),
            _ => None,
        });
    queued.unwrap_or(instance.status == Status::Suspended)
}

/// The hint that a turn can be offered, if it can.
#[must_use]
pub fn turn_effect(key: &InstanceKey, instance: &Instance, now: Timestamp) -> Option<Effect> {
    turn_ready(instance, now).then(|| Effect::TurnReady {
        key: key.clone(),
        name: instance.name.clone(),
        version: instance.version.clone(),
    })
}

/// One turn as handed to a worker, with what is needed to understand the answer.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The instance, as it will be while the turn is out.
    pub context: TurnContext,
    /// Committed history.
    pub past: Past,
    /// New events after OrchestratorStarted, not framed.
    pub new: Vec<Bytes>,
    /// Encoded `OrchestrationTraceContext` of this generation.
    pub trace: Option<Bytes>,
    /// Encoded `TraceContext` of whoever started the instance.
    pub parent_trace: Option<Bytes>,
}

/// The committed history of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// Framed, in order.
    Inline(Vec<Bytes>),
    /// Left in its rows: the worker streams it.
    Streamed,
}

impl Past {
    /// What goes into the work item.
    #[must_use]
    pub fn inline(&self) -> &[Bytes] {
        match self {
            Self::Inline(runs) => runs,
            Self::Streamed => &[],
        }
    }
}

/// What a turn's answer is judged against.
#[derive(Clone, Debug)]
pub struct TurnContext {
    /// The instance.
    pub key: InstanceKey,
    /// Its execution.
    pub execution: ExecutionId,
    /// Fence: [`Instance::turns`].
    pub turn: u64,
    /// Messages handed out from the front of the inbox.
    pub dispatched: u32,
    /// Timestamp of the turn's OrchestratorStarted.
    pub started_at: Timestamp,
    /// Name.
    pub name: Arc<str>,
    /// Version.
    pub version: Option<Arc<str>>,
    /// Tags, inherited by children.
    pub tags: Option<Arc<Tags>>,
    /// The parent.
    pub parent: Option<Arc<ParentLink>>,
    /// Bytes of the committed history.
    pub history_bytes: u64,
    /// Events of the committed history.
    pub history_events: u64,
}

/// Takes the next turn of an instance out of the state, or `None` if it has none to offer at `now`.
///
/// A history above [`limits::INLINE_HISTORY_BYTES_MAX`] is not even read for a worker with `history_streaming`: the cost
/// of a turn then depends on what is new alone.
///
/// # Errors
/// [`TableFault`] if the history cannot be read.
pub fn take_turn(
    tables: &mut dyn Tables,
    key: &InstanceKey,
    now: Timestamp,
    history_streaming: bool,
) -> Result<Option<Turn>, TableFault> {
    let now = now.max(tables.partition().clock);
    let Some(instance) = tables.instance(key)? else {
        return Ok(None);
    };
    if !turn_ready(instance, now) {
        return Ok(None);
    }
    let mut new = Vec::with_capacity(instance.inbox.len().min(limits::TURN_EVENTS_MAX));
    let (mut bytes, mut dispatched) = (0, 0);
    let mut started_at = instance
        .turn_started_at
        .map_or(now, |last| now.max(last + Duration::from_micros(1)));
    for message in instance.inbox.iter().take(limits::TURN_EVENTS_MAX) {
        bytes += message.event.len();
        if dispatched > 0 && bytes > limits::WORK_ITEM_BYTES_MAX / 2 {
            break;
        }
        if let InboxKind::TimerFired { fire_at } = message.kind {
            started_at = started_at.max(fire_at);
        }
        dispatched += 1;
        new.push(message.event.clone());
    }
    let context = TurnContext {
        key: key.clone(),
        execution: instance.execution.clone(),
        turn: instance.turns,
        dispatched,
        started_at,
        name: instance.name.clone(),
        version: instance.version.clone(),
        tags: instance.tags.clone(),
        parent: instance.parent.clone(),
        history_bytes: instance.history.bytes,
        history_events: instance.history.events,
    };
    let trace = instance.trace.clone();
    let parent_trace = instance.parent_trace.clone();
    let rewound = instance.rewound;
    let long = context.history_bytes > limits::INLINE_HISTORY_BYTES_MAX as u64;
    let past = if history_streaming && long {
        Past::Streamed
    } else {
        let past = committed_history(tables, key)?.expect("the instance exists");
        Past::Inline(if rewound {
            without_rewinds(past)?
        } else {
            past
        })
    };
    Ok(Some(Turn {
        context,
        past,
        new,
        trace,
        parent_trace,
    }))
}

/// A history as workers may see it. Source: Java's fails an orchestration on ExecutionRewound.
///
/// # Errors
/// [`TableFault`] if the history is damaged.
pub fn without_rewinds(history: Vec<Bytes>) -> Result<Vec<Bytes>, TableFault> {
    let mut out = BytesMut::new();
    for run in history {
        for event in Frames::new(run) {
            let event = event.map_err(|damage| TableFault {
                place: "history".to_owned(),
                reason: damage.to_string(),
            })?;
            if read(&event) != Stored::Rewound {
                frame(&mut out, &event);
            }
        }
    }
    Ok(vec![out.freeze()])
}

/// The committed history of the current generation, framed, in order; `None` if there is no such instance.
///
/// # Errors
/// [`TableFault`] if a part of it cannot be read.
pub fn committed_history(
    tables: &mut dyn Tables,
    key: &InstanceKey,
) -> Result<Option<Vec<Bytes>>, TableFault> {
    let Some(instance) = tables.instance(key)? else {
        return Ok(None);
    };
    let tail = instance.history.tail.clone();
    let (execution, sealed) = (instance.execution.clone(), instance.history.sealed);
    if sealed == 0 {
        return Ok(Some(tail));
    }
    let mut runs = Vec::with_capacity(sealed as usize + tail.len());
    for number in 0..sealed {
        runs.push(tables.history(key, &execution, number)?);
    }
    runs.extend(tail);
    Ok(Some(runs))
}
