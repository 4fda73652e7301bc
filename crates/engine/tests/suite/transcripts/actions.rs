//! The lines under `turn` and `answer`: what the worker decided.

use bytes::Bytes;
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Decided};
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
