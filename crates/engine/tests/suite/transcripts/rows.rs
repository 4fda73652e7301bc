//! The rows of a partition as text.

use longhaul_engine::entity::Queued;
use longhaul_engine::instance::{Hold, Instance};
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Entity, InstanceKey, dispatch};

use super::render;
use crate::support::{decode, decode_framed, event_text, failure, failure_text, quoted, time_text};

/// A row: single values that change, and lists that gain and lose entries.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) values: Vec<(&'static str, String)>,
    pub(crate) entries: Vec<String>,
}

/// All rows of a partition.
pub(crate) fn rows(tables: &MemTables) -> Vec<Row> {
    let mut tables = tables.clone();
    let mut rows = vec![partition(&tables)];
    let instances: Vec<(InstanceKey, Instance)> = tables.instances.clone().into_iter().collect();
    for (key, instance) in instances {
        rows.push(self::instance(&mut tables, &key, &instance));
    }
    rows.extend(tables.entities.iter().map(|(key, it)| entity(key, it)));
    rows
}

fn partition(tables: &MemTables) -> Row {
    let outbox = tables.outbox.iter().map(|((target, number), message)| {
        format!("to {target}, {number}: {}", render::message(message))
    });
    let received = tables.partition.received.iter();
    let received = received.map(|(source, number)| format!("from {source}: through {number}"));
    Row {
        name: format!("partition {}", tables.partition.id),
        values: Vec::new(),
        entries: outbox.chain(received).collect(),
    }
}

fn instance(tables: &mut MemTables, key: &InstanceKey, instance: &Instance) -> Row {
    let failure = instance
        .failure
        .as_ref()
        .map(|it| failure_text(&failure(it)));
    let tags = instance.tags.iter().flat_map(|tags| tags.iter());
    let tags: Vec<String> = tags.map(|(key, value)| format!("{key}:{value}")).collect();
    let parent = instance.parent.as_ref();
    let parent = parent.map(|it| format!("{} {} child {}", it.instance, it.execution, it.seq));
    let custom = text(&instance.custom_status);
    let custom = match instance.custom_status_inherited {
        true => format!("{custom} (inherited)"),
        false => custom,
    };
    let values = vec![
        ("status", shown_status(instance)),
        ("execution", instance.execution.to_string()),
        ("name", quoted(&instance.name)),
        (
            "version",
            instance.version.as_deref().map(quoted).unwrap_or_default(),
        ),
        ("turn", instance.turns.to_string()),
        (
            "completed",
            instance.completed_at.map(time_text).unwrap_or_default(),
        ),
        (
            "start",
            instance.scheduled_start.map(time_text).unwrap_or_default(),
        ),
        ("input", text(&instance.input)),
        ("output", text(&instance.output)),
        ("failure", failure.unwrap_or_default()),
        ("custom", custom),
        ("tags", tags.join(",")),
        ("parent", parent.unwrap_or_default()),
        ("trace", text(&instance.trace)),
        ("rewound", shown_flag(instance.rewound)),
        ("kicked", shown_flag(instance.kicked)),
    ];
    let inbox = instance.inbox.iter();
    let inbox = inbox.map(|it| format!("inbox {}", event_text(&decode(&it.event))));
    let activities = instance.activities.iter().map(|(seq, it)| {
        let for_another = match it.awaited_by == it.execution {
            true => String::new(),
            false => format!(" for {}", it.awaited_by),
        };
        format!(
            "activity {seq} #{} {} of {}{for_another}",
            it.task_id,
            quoted(&it.name),
            it.execution
        )
    });
    let timers = instance.timers.iter();
    let timers = timers
        .map(|(seq, it)| format!("timer {seq} #{} due={}", it.timer_id, time_text(it.fire_at)));
    let children = instance.children.iter();
    let children = children.map(|(seq, it)| format!("child {seq} #{} {}", it.task_id, it.instance));
    let locks = instance.locks.iter().map(|(section, locks)| {
        let entities: Vec<&str> = locks.entities.iter().map(|it| it.as_str()).collect();
        let hold = match locks.hold {
            Hold::Wanted => "",
            Hold::Granted => " granted",
            Hold::Regained => " regained",
            Hold::Postponed => " postponed",
        };
        format!("section {section} {}{hold}", entities.join(","))
    });
    let history = dispatch::committed_history(tables, key)
        .expect("readable")
        .unwrap_or_default();
    let history = history.into_iter().flat_map(decode_framed);
    let history = history.map(|event| format!("history {}", event_text(&event)));
    let entries = inbox
        .chain(activities)
        .chain(timers)
        .chain(children)
        .chain(locks)
        .chain(history)
        .collect();
    Row {
        name: key.id.to_string(),
        values,
        entries,
    }
}

fn entity(key: &InstanceKey, entity: &Entity) -> Row {
    let modified = entity.modified_at.map(time_text);
    let lock = entity.lock.as_deref().map(render::section);
    let values = vec![
        ("state", text(&entity.state)),
        ("batch", entity.batches.to_string()),
        ("created", time_text(entity.created_at)),
        ("modified", modified.unwrap_or_default()),
        ("locked by", lock.unwrap_or_default()),
    ];
    let lane = entity.owner_lane.iter();
    let lane = lane.map(|it| format!("owner's {}", render::operation(it)));
    let queue = entity.queue.iter().map(|queued| match queued {
        Queued::Operation(it) => format!("queue {}", render::operation(it)),
        Queued::Lock(request) => format!("queue {}", render::lock_request(request)),
    });
    let scheduled = entity.scheduled.iter().map(|(seq, it)| {
        let operation = render::operation(&it.operation);
        let sender = it.sender.as_ref();
        let sender = sender.map(|it| format!(" from {}", render::caller(it)));
        let (due, sender) = (time_text(it.due), sender.unwrap_or_default());
        format!("later {seq} due={due} {operation}{sender}")
    });
    let recent = entity.recent.iter();
    let recent = recent.map(|it| format!("seen {} {}", it.request_id, time_text(it.at)));
    Row {
        name: key.id.to_string(),
        values,
        entries: lane.chain(queue).chain(scheduled).chain(recent).collect(),
    }
}

fn text(bytes: &Option<bytes::Bytes>) -> String {
    let text = bytes.as_deref().map(String::from_utf8_lossy);
    text.map(|it| quoted(&it)).unwrap_or_default()
}

fn shown_flag(flag: bool) -> String {
    if flag {
        "yes".to_owned()
    } else {
        String::new()
    }
}

fn shown_status(instance: &Instance) -> String {
    let (is, shown) = (instance.status, instance.effective_status());
    if is == shown {
        render::status(is).to_owned()
    } else {
        format!("{}(shown as {})", render::status(is), render::status(shown))
    }
}
