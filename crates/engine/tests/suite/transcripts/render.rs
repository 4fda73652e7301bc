//! Replies, effects and messages as text.

use longhaul_engine::Status;
use longhaul_engine::effects::{Effect, Reply};
use longhaul_engine::entity::{Caller, CriticalSection, LockRequest, Operation};
use longhaul_engine::message::{ChildEnd, Creation, Message, MessageBody};

use crate::support::{decode, event_text, failure, failure_text, quoted, time_text};

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::NotFound => "not found".to_owned(),
        Reply::AlreadyExists(is) => format!("already exists, {}", status(*is)),
        Reply::ContradictoryReuse => "contradictory reuse policy".to_owned(),
        Reply::Stale => "stale".to_owned(),
        Reply::NotEnded(is) => format!("not ended, {}", status(*is)),
        Reply::NotFailed(is) => format!("not failed, {}", status(*is)),
        Reply::Refused => "refused".to_owned(),
        Reply::Purged { count, live } => format!("purged {count}, {live} live"),
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
        Effect::BatchReady { key } => format!("batch-ready {}", key.id),
        Effect::BatchVoided { key } => format!("batch-voided {}", key.id),
        Effect::OperationArmed { key, seq, due } => {
            format!("operation-armed {} {seq} due={}", key.id, time_text(*due))
        }
        Effect::ExpiryArmed { key, at } => format!("expiry-armed {} {}", key.id, time_text(*at)),
        Effect::OutboxGrew { target } => format!("outbox-grew {target}"),
    }
}

pub(crate) fn message(message: &Message) -> String {
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
        MessageBody::Rewind(child) => format!(
            "rewind{} or {}",
            if child.failed { " what failed" } else { "" },
            start(&child.creation)
        ),
        MessageBody::Operation {
            operation,
            sender,
            due,
        } => {
            let sender = sender.as_ref().map(|it| format!(" from {}", caller(it)));
            let due = due.map(|it| format!(" due={}", time_text(it)));
            let (sender, due) = (sender.unwrap_or_default(), due.unwrap_or_default());
            format!("{}{sender}{due}", self::operation(operation))
        }
        MessageBody::Lock(request) => lock_request(request),
        MessageBody::Unlock { section, owner } => format!("unlock {section} of {}", caller(owner)),
        MessageBody::Answer { execution, event } => {
            format!("answer to {execution}: {}", event_text(&decode(event)))
        }
        MessageBody::LockGranted(section) => format!("granted {}", self::section(section)),
    };
    format!("{} <- {body}", message.target.id)
}

fn start(creation: &Creation) -> String {
    let parent = creation.parent.as_ref();
    let child = parent.map(|it| format!(" as child {}", it.seq));
    format!(
        "start {} {}{}",
        quoted(&creation.name),
        creation.execution,
        child.unwrap_or_default()
    )
}

/// An operation as it waits: its event, and who waits for its result.
pub(crate) fn operation(operation: &Operation) -> String {
    let caller = operation.caller.as_ref();
    let caller = caller.map(|it| format!(" for {}", self::caller(it)));
    let event = event_text(&decode(&operation.event));
    format!("{event}{}", caller.unwrap_or_default())
}

pub(crate) fn caller(caller: &Caller) -> String {
    format!("{} {}", caller.instance, caller.execution)
}

/// A critical section: its id, whose it is, and what it locks.
pub(crate) fn section(section: &CriticalSection) -> String {
    let entities: Vec<&str> = section.entities.iter().map(|it| it.as_str()).collect();
    format!(
        "{} of {} {} over {}",
        section.id,
        section.owner,
        section.execution,
        entities.join(",")
    )
}

pub(crate) fn lock_request(request: &LockRequest) -> String {
    format!("lock {} at {}", section(&request.section), request.position)
}

pub(crate) fn status(status: Status) -> &'static str {
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
