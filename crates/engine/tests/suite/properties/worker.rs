//! A worker that decides at random, but as a worker may: it obeys terminations and counts its actions upwards.

use std::time::Duration;

use longhaul_engine::Status;
use longhaul_engine::dispatch::Turn;
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Decided};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::Timestamp;

use super::step::{Choice, IDS};
use crate::support::{decode, decode_framed};

/// What the worker decides for a turn.
pub(crate) fn decide(turn: &Turn, choices: &[Choice], now: Timestamp) -> Vec<Decided> {
    let past: Vec<HistoryEvent> = turn.past.iter().cloned().flat_map(decode_framed).collect();
    let last = past.iter().map(|event| event.event_id).max();
    let next = last.unwrap_or(0).max(0) + 1;
    if let Some(output) = termination(turn) {
        return vec![Decided {
            id: next,
            action: Action::Complete {
                status: Status::Terminated,
                result: output.map(Into::into),
                failure: None,
            },
        }];
    }
    let scheduled = past
        .iter()
        .rev()
        .find(|event| matches!(event.event_type, Some(EventType::TaskScheduled(_))));
    let decided = (next..).zip(choices).map(|(next, choice)| {
        let again = matches!(choice, Choice::ScheduleAgain);
        let earlier = scheduled.filter(|_| again);
        Decided {
            id: earlier.map_or(next, |event| event.event_id),
            action: action(choice, now),
        }
    });
    decided.collect()
}

/// The output that the first termination of the turn asks for.
fn termination(turn: &Turn) -> Option<Option<String>> {
    let mut new = turn.new.iter().map(|event| decode(event).event_type);
    new.find_map(|event| match event {
        Some(EventType::ExecutionTerminated(terminated)) => Some(terminated.input),
        _ => None,
    })
}

fn action(choice: &Choice, now: Timestamp) -> Action {
    let schedule = |name: &str| Action::ScheduleTask {
        name: name.into(),
        version: None,
        input: Some("in".into()),
        tags: Default::default(),
        trace: None,
    };
    let child = |instance: &str| Action::CreateChild {
        instance: instance.into(),
        name: "Child".into(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    };
    match choice {
        Choice::Schedule | Choice::ScheduleAgain => schedule("Work"),
        Choice::ScheduleNameless => schedule(""),
        Choice::Timer { millis } => {
            let offset = Duration::from_millis(u64::from(millis.unsigned_abs()));
            let fire_at = if *millis < 0 {
                now - offset
            } else {
                now + offset
            };
            Action::CreateTimer { fire_at }
        }
        Choice::Child { id } => child(IDS[*id]),
        Choice::UnnamedChild => child(""),
        Choice::ChildWithBadId => child("@not@allowed"),
        Choice::Send { id } => Action::SendEvent {
            instance: IDS[*id].into(),
            name: "Ping".into(),
            data: None,
        },
        Choice::Terminate { id, recurse } => Action::Terminate {
            instance: IDS[*id].into(),
            reason: Some("by another".into()),
            recurse: *recurse,
        },
        Choice::Complete { how } => Action::Complete {
            status: [Status::Completed, Status::Failed, Status::Canceled][usize::from(how % 3)],
            result: Some("out".into()),
            failure: (how % 2 == 0).then(|| event::failure_details("Oops", "no luck")),
        },
        Choice::ContinueAsNew { carry } => Action::ContinueAsNew {
            input: Some("next".into()),
            version: None,
            carryover: (0..*carry)
                .map(|_| event::event_raised(now, "Carried", None))
                .collect(),
        },
        Choice::Refused => Action::Refused("no such action".into()),
    }
}
