//! The lines under `turn` and `answer`: what the worker decided.

use bytes::Bytes;
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Decided, OperationRequest};
use longhaul_types::Timestamp;

use super::line::{Line, moment, status};

/// `schedule 1 Add input="x"` and so on; the number is the action id.
pub(crate) fn action(text: &str, now: Timestamp) -> Decided {
    let line = Line::parse(text);
    let action = match line.word(0) {
        "schedule" => Action::ScheduleTask {
            name: line.word(2).to_owned(),
            version: line.text("version"),
            input: line.bytes("input"),
            tags: line.tags(),
            trace: line.trace(),
        },
        "timer" => Action::CreateTimer {
            fire_at: moment(line.word(2), now),
        },
        "child" => Action::CreateChild {
            instance: line.text("instance").unwrap_or_default(),
            name: line.word(2).to_owned(),
            version: line.text("version"),
            input: line.bytes("input"),
            tags: line.tags(),
            trace: line.trace(),
        },
        "send" => Action::SendEvent {
            instance: line.word(2).to_owned(),
            name: line.word(3).to_owned(),
            data: line.bytes("input"),
        },
        "signal" | "call" => Action::EntityOperation(OperationRequest {
            call: line.word(0) == "call",
            target: line.word(2).to_owned(),
            request_id: line
                .text("request")
                .unwrap_or_else(|| format!("r{}", line.word(1))),
            operation: line.word(3).to_owned(),
            input: line.bytes("input"),
            scheduled: line.get("due").map(|due| moment(due, now)),
        }),
        "lock" => Action::LockEntities {
            section: line.word(2).to_owned(),
            lock_set: line.words_from(3).to_vec(),
            position: line.get_number("position").unwrap_or(0),
            parent: line.bytes("parent"),
        },
        "unlock" => Action::UnlockEntity {
            section: line.word(2).to_owned(),
            parent: line.bytes("parent"),
            target: line.word(3).to_owned(),
        },
        "terminate" => Action::Terminate {
            instance: line.word(2).to_owned(),
            reason: line.bytes("output"),
            recurse: line.has("recurse"),
        },
        "complete" => Action::Complete {
            status: status(line.word(2)),
            result: line.bytes("result"),
            failure: line.failure(),
        },
        "continue" => Action::ContinueAsNew {
            input: line.bytes("input"),
            version: line.text("version"),
            carryover: line.all("carry").map(|it| carried(it, now)).collect(),
        },
        "refused" => Action::Refused(line.word(2).to_owned()),
        verb => panic!("{verb:?} is no action"),
    };
    Decided {
        id: line.number(1),
        action,
    }
}

/// `carry=name:payload`.
fn carried(text: &str, now: Timestamp) -> Bytes {
    let (name, payload) = match text.split_once(':') {
        Some((name, payload)) => (name, Some(payload.as_bytes())),
        None => (text, None),
    };
    event::event_raised(now, name, payload)
}
