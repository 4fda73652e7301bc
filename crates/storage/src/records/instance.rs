//! The record of an instance.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use longhaul_engine::history::History;
use longhaul_engine::instance::{Activity, Child, Hold, Instance, SectionLocks, Timer};
use longhaul_proto::storage::v1 as wire;

use super::values::{
    execution, execution_to_wire, inbox, inbox_message_to_wire, instance_id, instance_id_to_wire,
    keyed, optional_text, optional_text_to_wire, optional_timestamp, out_of_range, parent,
    parent_to_wire, required, status, tags, tags_to_wire, text, text_to_wire, timestamp,
    timestamp_to_wire,
};
use super::{Corrupt, envelope};

/// Appends the record of `instance`.
pub fn put_instance(instance: &Instance, out: &mut impl BufMut) {
    envelope::put(&to_wire(instance), out);
}

/// The instance in a record.
///
/// # Errors
/// [`Corrupt`] says what is wrong with the record.
pub fn decode_instance(record: Bytes) -> Result<Instance, Corrupt> {
    from_wire(envelope::open(record)?)
}

fn to_wire(instance: &Instance) -> wire::Instance {
    wire::Instance {
        name: text_to_wire(&instance.name),
        version: optional_text_to_wire(instance.version.as_ref()),
        execution_id: execution_to_wire(&instance.execution),
        status: instance.status.to_wire(),
        turns: instance.turns,
        last_seq: instance.last_seq,
        created_at: Some(timestamp_to_wire(instance.created_at)),
        updated_at: Some(timestamp_to_wire(instance.updated_at)),
        completed_at: instance.completed_at.map(timestamp_to_wire),
        scheduled_start: instance.scheduled_start.map(timestamp_to_wire),
        turn_started_at: instance.turn_started_at.map(timestamp_to_wire),
        input: instance.input.clone(),
        output: instance.output.clone(),
        encoded_failure: instance.failure.clone(),
        custom_status: instance.custom_status.clone(),
        custom_status_inherited: instance.custom_status_inherited,
        tags: tags_to_wire(instance.tags.as_ref()),
        parent: parent_to_wire(instance.parent.as_ref()),
        encoded_parent_trace: instance.parent_trace.clone(),
        encoded_trace: instance.trace.clone(),
        request_fingerprint: instance.request_fingerprint,
        inbox: instance.inbox.iter().map(inbox_message_to_wire).collect(),
        activities: instance.activities.iter().map(activity_to_wire).collect(),
        timers: instance.timers.iter().map(timer_to_wire).collect(),
        children: instance.children.iter().map(child_to_wire).collect(),
        history: Some(history_to_wire(&instance.history)),
        locks: instance.locks.iter().map(held_to_wire).collect(),
        rewound: instance.rewound,
        kicked: instance.kicked,
    }
}

fn from_wire(instance: wire::Instance) -> Result<Instance, Corrupt> {
    Ok(Instance {
        name: text(&instance.name, "name")?,
        version: optional_text(instance.version.as_ref(), "version")?,
        execution: execution(&instance.execution_id)?,
        status: status(instance.status)?,
        turns: instance.turns,
        last_seq: instance.last_seq,
        created_at: timestamp(instance.created_at, "created_at")?,
        updated_at: timestamp(instance.updated_at, "updated_at")?,
        completed_at: optional_timestamp(instance.completed_at, "completed_at")?,
        scheduled_start: optional_timestamp(instance.scheduled_start, "scheduled_start")?,
        turn_started_at: optional_timestamp(instance.turn_started_at, "turn_started_at")?,
        input: instance.input,
        output: instance.output,
        failure: instance.encoded_failure,
        custom_status: instance.custom_status,
        custom_status_inherited: instance.custom_status_inherited,
        tags: tags(instance.tags),
        parent: parent(instance.parent)?,
        parent_trace: instance.encoded_parent_trace,
        trace: instance.encoded_trace,
        request_fingerprint: instance.request_fingerprint,
        inbox: inbox(instance.inbox)?,
        activities: keyed(instance.activities.into_iter().map(activity), "activities")?,
        timers: keyed(instance.timers.into_iter().map(timer), "timers")?,
        children: keyed(instance.children.into_iter().map(child), "children")?,
        locks: keyed(instance.locks.into_iter().map(held), "locks")?,
        history: history(required(instance.history, "history")?),
        rewound: instance.rewound,
        kicked: instance.kicked,
    })
}

fn activity_to_wire((seq, activity): (&u64, &Activity)) -> wire::Activity {
    wire::Activity {
        seq: *seq,
        task_id: activity.task_id,
        name: text_to_wire(&activity.name),
        version: optional_text_to_wire(activity.version.as_ref()),
        execution_id: execution_to_wire(&activity.execution),
        encoded_event: activity.event.clone(),
        scheduled_at: Some(timestamp_to_wire(activity.scheduled_at)),
        awaited_by_execution_id: (activity.awaited_by != activity.execution)
            .then(|| execution_to_wire(&activity.awaited_by)),
    }
}

fn activity(activity: wire::Activity) -> Result<(u64, Activity), Corrupt> {
    let scheduled_by = execution(&activity.execution_id)?;
    let awaited_by = activity.awaited_by_execution_id.as_ref();
    let awaited_by = awaited_by.map(execution).transpose()?;
    let decoded = Activity {
        task_id: activity.task_id,
        name: text(&activity.name, "activity name")?,
        version: optional_text(activity.version.as_ref(), "activity version")?,
        awaited_by: awaited_by.unwrap_or_else(|| scheduled_by.clone()),
        execution: scheduled_by,
        event: activity.encoded_event,
        scheduled_at: timestamp(activity.scheduled_at, "scheduled_at")?,
    };
    Ok((activity.seq, decoded))
}

fn timer_to_wire((seq, timer): (&u64, &Timer)) -> wire::Timer {
    wire::Timer {
        seq: *seq,
        timer_id: timer.timer_id,
        fire_at: Some(timestamp_to_wire(timer.fire_at)),
    }
}

fn timer(timer: wire::Timer) -> Result<(u64, Timer), Corrupt> {
    let fire_at = timestamp(timer.fire_at, "fire_at")?;
    Ok((
        timer.seq,
        Timer {
            timer_id: timer.timer_id,
            fire_at,
        },
    ))
}

fn child_to_wire((seq, child): (&u64, &Child)) -> wire::Child {
    wire::Child {
        seq: *seq,
        task_id: child.task_id,
        instance_id: instance_id_to_wire(&child.instance),
    }
}

fn child(child: wire::Child) -> Result<(u64, Child), Corrupt> {
    let instance = instance_id(&child.instance_id)?;
    Ok((
        child.seq,
        Child {
            task_id: child.task_id,
            instance,
        },
    ))
}

fn held_to_wire((section, locks): (&Arc<str>, &SectionLocks)) -> wire::HeldLocks {
    wire::HeldLocks {
        section_id: text_to_wire(section),
        entities: locks.entities.iter().map(instance_id_to_wire).collect(),
        hold: hold_to_wire(locks.hold).into(),
    }
}

fn held(held: wire::HeldLocks) -> Result<(Arc<str>, SectionLocks), Corrupt> {
    let entities = held.entities.iter().map(instance_id);
    let locks = SectionLocks {
        entities: entities.collect::<Result<_, _>>()?,
        hold: hold(held.hold)?,
    };
    Ok((text(&held.section_id, "critical section id")?, locks))
}

fn hold_to_wire(hold: Hold) -> wire::Hold {
    match hold {
        Hold::Wanted => wire::Hold::Wanted,
        Hold::Granted => wire::Hold::Granted,
        Hold::Regained => wire::Hold::Regained,
        Hold::Postponed => wire::Hold::Postponed,
    }
}

fn hold(hold: i32) -> Result<Hold, Corrupt> {
    let known = wire::Hold::try_from(hold).map_err(|_| out_of_range("hold", hold))?;
    Ok(match known {
        wire::Hold::Wanted => Hold::Wanted,
        wire::Hold::Granted => Hold::Granted,
        wire::Hold::Regained => Hold::Regained,
        wire::Hold::Postponed => Hold::Postponed,
    })
}

fn history_to_wire(history: &History) -> wire::History {
    wire::History {
        sealed: history.sealed,
        events: history.events,
        bytes: history.bytes,
        tail: history.tail.clone(),
    }
}

fn history(history: wire::History) -> History {
    History {
        sealed: history.sealed,
        events: history.events,
        bytes: history.bytes,
        tail: history.tail,
    }
}
