//! Replies, effects and rows as text.

use longhaul_engine::effects::{Effect, Reply};
use longhaul_engine::instance::Instance;
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::{ChildEnd, Creation, Message, MessageBody};
use longhaul_engine::{InstanceKey, Status, dispatch};

use crate::support::{decode, decode_framed, event_text, failure, failure_text, quoted, time_text};

/// A row: single values that change, and lists that gain and lose entries.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) values: Vec<(&'static str, String)>,
    pub(crate) entries: Vec<String>,
}

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::NotFound => "not found".to_owned(),
        Reply::AlreadyExists(is) => format!("already exists, {}", status(*is)),
        Reply::ContradictoryReuse => "contradictory reuse policy".to_owned(),
        Reply::Stale => "stale".to_owned(),
        Reply::Received { through } => format!("received through {through}"),
    }
}

pub(crate) fn effect(effect: &Effect) -> String {
    let class = |name: &str, version: Option<&str>| {
        let version = version
            .map(|it| format!(" version={it}"))
            .unwrap_or_default();
        format!("{}{version}", quoted(name))
    };
    match effect {
        Effect::TurnReady { key, name, version } => {
            format!("turn-ready {} {}", key.id, class(name, version.as_deref()))
        }
        Effect::ActivityReady {
            key,
            seq,
            name,
            version,
        } => {
            let class = class(name, version.as_deref());
            format!("activity-ready {} {seq} {class}", key.id)
        }
        Effect::TimerArmed {
            key,
            execution,
            seq,
            fire_at,
        } => {
            let due = time_text(*fire_at);
            format!("timer-armed {} {execution} {seq} due={due}", key.id)
        }
        Effect::StartArmed { key, at } => format!("start-armed {} {}", key.id, time_text(*at)),
        Effect::TurnVoided { key } => format!("turn-voided {}", key.id),
        Effect::ActivitiesVoided { key } => format!("activities-voided {}", key.id),
        Effect::StatusChanged { key } => format!("status-changed {}", key.id),
        Effect::OutboxGrew { target } => format!("outbox-grew {target}"),
    }
}

/// All rows of a partition.
pub(crate) fn rows(tables: &MemTables) -> Vec<Row> {
    let mut tables = tables.clone();
    let mut rows = vec![partition(&tables)];
    let instances: Vec<(InstanceKey, Instance)> = tables.instances.clone().into_iter().collect();
    for (key, instance) in instances {
        rows.push(self::instance(&mut tables, &key, &instance));
    }
    rows
}

fn partition(tables: &MemTables) -> Row {
    let outbox = tables.outbox.iter().map(|((target, number), message)| {
        format!("to {target}, {number}: {}", self::message(message))
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
    let text = |bytes: &Option<bytes::Bytes>| {
        let text = bytes
            .as_ref()
            .map(|it| quoted(&String::from_utf8_lossy(it)));
        text.unwrap_or_default()
    };
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
    ];
    let inbox = instance.inbox.iter();
    let inbox = inbox.map(|it| format!("inbox {}", event_text(&decode(&it.event))));
    let activities = instance.activities.iter().map(|(seq, it)| {
        format!(
            "activity {seq} #{} {} of {}",
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
    let history = dispatch::committed_history(tables, key)
        .expect("readable")
        .unwrap_or_default();
    let history = history.into_iter().flat_map(decode_framed);
    let history = history.map(|event| format!("history {}", event_text(&event)));
    let entries = inbox
        .chain(activities)
        .chain(timers)
        .chain(children)
        .chain(history)
        .collect();
    Row {
        name: key.id.to_string(),
        values,
        entries,
    }
}

fn shown_status(instance: &Instance) -> String {
    let (is, shown) = (instance.status, instance.effective_status());
    if is == shown {
        status(is).to_owned()
    } else {
        format!("{}(shown as {})", status(is), status(shown))
    }
}

fn message(message: &Message) -> String {
    let body = match &message.body {
        MessageBody::Start(creation) => start(creation),
        MessageBody::Event(event) => event_text(&decode(event)),
        MessageBody::ChildEnded {
            execution,
            seq,
            end,
        } => {
            let end = match end {
                ChildEnd::Completed(None) => "completed".to_owned(),
                ChildEnd::Completed(Some(result)) => {
                    format!(
                        "completed result={}",
                        quoted(&String::from_utf8_lossy(result))
                    )
                }
                ChildEnd::Failed(details) => format!("failed {}", failure_text(&failure(details))),
            };
            format!("child {seq} of {execution} {end}")
        }
        MessageBody::Terminate {
            output,
            recurse,
            only_child_of,
        } => {
            let output = output
                .as_ref()
                .map(|it| quoted(&String::from_utf8_lossy(it)));
            let child = only_child_of.as_ref();
            let child =
                child.map(|(id, execution, seq)| format!(" if child {seq} of {id} {execution}"));
            format!(
                "terminate output={}{}{}",
                output.unwrap_or_default(),
                if *recurse { " recurse" } else { "" },
                child.unwrap_or_default()
            )
        }
    };
    format!("{} <- {body}", message.target.id)
}

fn start(creation: &Creation) -> String {
    let seq = creation.parent.as_ref().map_or(0, |it| it.seq);
    format!(
        "start {} {} as child {seq}",
        quoted(&creation.name),
        creation.execution
    )
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "RUNNING",
        Status::Completed => "COMPLETED",
        Status::Failed => "FAILED",
        Status::Canceled => "CANCELED",
        Status::Terminated => "TERMINATED",
        Status::Pending => "PENDING",
        Status::Suspended => "SUSPENDED",
    }
}
