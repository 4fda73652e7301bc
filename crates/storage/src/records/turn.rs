//! The command that commits a turn; the largest one.

use longhaul_engine::command::{ActivityDraft, CompleteTurn, Ending, Outgoing, TimerDraft};
use longhaul_proto::storage::v1 as wire;
use wire::complete_turn as t;

use super::values::{
    execution, execution_to_wire, inbox_message, inbox_message_to_wire, instance_id,
    instance_id_to_wire, key, key_to_wire, optional_text, optional_text_to_wire, required, status,
    text, text_to_wire, timestamp, timestamp_to_wire,
};
use super::{Corrupt, creation, entity, message};

pub(super) fn to_wire(turn: &CompleteTurn) -> wire::CompleteTurn {
    wire::CompleteTurn {
        key: Some(key_to_wire(&turn.key)),
        execution_id: execution_to_wire(&turn.execution),
        turn: turn.turn,
        consumed: turn.consumed,
        started_at: Some(timestamp_to_wire(turn.started_at)),
        facts: turn.facts.clone(),
        fact_count: turn.fact_count,
        custom_status: turn.custom_status.clone(),
        encoded_trace: turn.trace.clone(),
        activities: turn.activities.iter().map(activity_to_wire).collect(),
        timers: turn.timers.iter().map(timer_to_wire).collect(),
        messages: turn.messages.iter().map(outgoing_to_wire).collect(),
        own_inbox: turn.own_inbox.iter().map(inbox_message_to_wire).collect(),
        ending: turn.ending.as_ref().map(ending_to_wire),
    }
}

pub(super) fn from_wire(turn: wire::CompleteTurn) -> Result<CompleteTurn, Corrupt> {
    Ok(CompleteTurn {
        key: key(turn.key)?,
        execution: execution(&turn.execution_id)?,
        turn: turn.turn,
        consumed: turn.consumed,
        started_at: timestamp(turn.started_at, "started_at")?,
        facts: turn.facts,
        fact_count: turn.fact_count,
        custom_status: turn.custom_status,
        trace: turn.encoded_trace,
        activities: all(turn.activities, activity)?,
        timers: all(turn.timers, timer)?,
        messages: all(turn.messages, outgoing)?,
        own_inbox: all(turn.own_inbox, inbox_message)?,
        ending: turn.ending.map(ending).transpose()?,
    })
}

fn all<W, T>(items: Vec<W>, decode: fn(W) -> Result<T, Corrupt>) -> Result<Vec<T>, Corrupt> {
    items.into_iter().map(decode).collect()
}

fn activity_to_wire(draft: &ActivityDraft) -> t::ActivityDraft {
    t::ActivityDraft {
        task_id: draft.task_id,
        name: text_to_wire(&draft.name),
        version: optional_text_to_wire(draft.version.as_ref()),
        event_offset: draft.event_offset,
        event_len: draft.event_len,
    }
}

fn activity(draft: t::ActivityDraft) -> Result<ActivityDraft, Corrupt> {
    Ok(ActivityDraft {
        task_id: draft.task_id,
        name: text(&draft.name, "activity name")?,
        version: optional_text(draft.version.as_ref(), "activity version")?,
        event_offset: draft.event_offset,
        event_len: draft.event_len,
    })
}

fn timer_to_wire(draft: &TimerDraft) -> t::TimerDraft {
    t::TimerDraft {
        timer_id: draft.timer_id,
        fire_at: Some(timestamp_to_wire(draft.fire_at)),
    }
}

fn timer(draft: t::TimerDraft) -> Result<TimerDraft, Corrupt> {
    Ok(TimerDraft {
        timer_id: draft.timer_id,
        fire_at: timestamp(draft.fire_at, "fire_at")?,
    })
}

fn outgoing_to_wire(outgoing: &Outgoing) -> t::Outgoing {
    let body = match outgoing {
        Outgoing::Child {
            key,
            task_id,
            creation,
        } => t::outgoing::Outgoing::Child(t::Child {
            key: Some(key_to_wire(key)),
            task_id: *task_id,
            creation: Some(creation::to_wire(creation)),
        }),
        Outgoing::Message(message) => t::outgoing::Outgoing::Message(message::to_wire(message)),
        Outgoing::Lock(section) => t::outgoing::Outgoing::Lock(entity::section_to_wire(section)),
        Outgoing::Unlock { section, entity } => t::outgoing::Outgoing::Unlock(t::Leave {
            section_id: text_to_wire(section),
            entity_id: instance_id_to_wire(entity),
        }),
    };
    t::Outgoing {
        outgoing: Some(body),
    }
}

fn outgoing(outgoing: t::Outgoing) -> Result<Outgoing, Corrupt> {
    Ok(match required(outgoing.outgoing, "outgoing message")? {
        t::outgoing::Outgoing::Child(child) => Outgoing::Child {
            key: key(child.key)?,
            task_id: child.task_id,
            creation: Box::new(creation::from_wire(child.creation)?),
        },
        t::outgoing::Outgoing::Message(message) => Outgoing::Message(message::from_wire(message)?),
        t::outgoing::Outgoing::Lock(section) => Outgoing::Lock(entity::section(section)?),
        t::outgoing::Outgoing::Unlock(leave) => Outgoing::Unlock {
            section: text(&leave.section_id, "critical section id")?,
            entity: instance_id(&leave.entity_id)?,
        },
    })
}

fn ending_to_wire(ending: &Ending) -> t::Ending {
    match ending {
        Ending::Terminal {
            status,
            output,
            failure,
        } => t::Ending::Terminal(t::Terminal {
            status: status.to_wire(),
            output: output.clone(),
            encoded_failure: failure.clone(),
        }),
        Ending::ContinuedAsNew {
            execution,
            version,
            input,
            carryover,
        } => t::Ending::ContinuedAsNew(t::ContinuedAsNew {
            execution_id: execution_to_wire(execution),
            version: optional_text_to_wire(version.as_ref()),
            input: input.clone(),
            encoded_carryover: carryover.clone(),
        }),
    }
}

fn ending(ending: t::Ending) -> Result<Ending, Corrupt> {
    Ok(match ending {
        t::Ending::Terminal(terminal) => Ending::Terminal {
            status: status(terminal.status)?,
            output: terminal.output,
            failure: terminal.encoded_failure,
        },
        t::Ending::ContinuedAsNew(next) => Ending::ContinuedAsNew {
            execution: execution(&next.execution_id)?,
            version: optional_text(next.version.as_ref(), "version")?,
            input: next.input,
            carryover: next.encoded_carryover,
        },
    })
}
