//! A worker that decides at random, but as a worker may: it obeys terminations, counts its actions upwards and leaves
//! only the critical sections that it has entered.

use std::time::Duration;

use longhaul_engine::Status;
use longhaul_engine::batch::{Batch, BatchAnswer, EntityAction, OperationResult};
use longhaul_engine::dispatch::Turn;
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Decided, OperationRequest};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::Timestamp;

use super::step::{Choice, ENTITIES, IDS, Sending, Work};
use crate::support::{decode, decode_framed};

/// What the worker decides for a turn.
pub(crate) fn decide(turn: &Turn, choices: &[Choice], now: Timestamp) -> Vec<Decided> {
    let past: Vec<HistoryEvent> = turn
        .past
        .inline()
        .iter()
        .cloned()
        .flat_map(decode_framed)
        .collect();
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
    let mut held = held_locks(turn);
    let mut decided = Vec::new();
    for (next, choice) in (next..).zip(choices) {
        let again = matches!(choice, Choice::ScheduleAgain);
        let earlier = scheduled.filter(|_| again);
        let id = earlier.map_or(next, |event| event.event_id);
        let left = match choice {
            Choice::Unlock { pick } if !held.is_empty() => vec![held.remove(pick % held.len())],
            Choice::Unlock { .. } => Vec::new(),
            Choice::UnlockAll => std::mem::take(&mut held),
            Choice::CallInside { pick } => {
                if let Some((_, target)) = held.get(pick % held.len().max(1)) {
                    let name = format!("{}:{id}", turn.context.execution);
                    let action = request(true, target, &name, None);
                    decided.push(Decided { id, action });
                }
                continue;
            }
            other => {
                let name = format!("{}:{id}", turn.context.execution);
                let action = action(other, &name, now);
                decided.push(Decided { id, action });
                continue;
            }
        };
        let unlocked = left
            .into_iter()
            .map(|(section, target)| Action::UnlockEntity {
                section,
                parent: None,
                target,
            });
        decided.extend(unlocked.map(|action| Decided { id, action }));
    }
    decided
}

/// Sections that were granted, each with an entity that was not left.
fn held_locks(turn: &Turn) -> Vec<(String, String)> {
    let past = turn.past.inline().iter().cloned().flat_map(decode_framed);
    let events = past.chain(turn.new.iter().map(|event| decode(event)));
    let mut wanted: Vec<(String, String)> = Vec::new();
    let mut granted = Vec::new();
    for event in events {
        match event.event_type.expect("has a type") {
            EventType::EntityLockRequested(it) => {
                let section = it.critical_section_id;
                wanted.extend(it.lock_set.into_iter().map(|id| (section.clone(), id)));
            }
            EventType::EntityLockGranted(it) => granted.push(it.critical_section_id),
            EventType::EntityUnlockSent(it) => {
                let target = it.target_instance_id.unwrap_or_default();
                wanted.retain(|held| *held != (it.critical_section_id.clone(), target.clone()));
            }
            _ => {}
        }
    }
    wanted.retain(|(section, _)| granted.contains(section));
    wanted
}

/// The output that the first termination of the turn asks for.
fn termination(turn: &Turn) -> Option<Option<String>> {
    let mut new = turn.new.iter().map(|event| decode(event).event_type);
    new.find_map(|event| match event {
        Some(EventType::ExecutionTerminated(terminated)) => Some(terminated.input),
        _ => None,
    })
}

/// `name` is one that nothing else has: for requests and sections.
fn action(choice: &Choice, name: &str, now: Timestamp) -> Action {
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
    let due = |millis: u16| (millis > 0).then(|| now + Duration::from_millis(u64::from(millis)));
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
        Choice::Call { entity, millis } => request(true, ENTITIES[*entity], name, due(*millis)),
        Choice::CallNothing => request(true, "nothing", name, None),
        Choice::SignalEntity { entity, millis } => {
            request(false, ENTITIES[*entity], name, due(*millis))
        }
        Choice::Lock {
            entities,
            backwards,
        } => {
            let chosen = (0..ENTITIES.len()).filter(|bit| entities >> bit & 1 == 1);
            let mut lock_set: Vec<String> = chosen.map(|bit| ENTITIES[bit].into()).collect();
            if *backwards {
                lock_set.reverse();
            }
            Action::LockEntities {
                section: name.into(),
                lock_set,
                position: 0,
                parent: None,
            }
        }
        Choice::CallInside { .. } | Choice::Unlock { .. } | Choice::UnlockAll => {
            unreachable!("depends on what is locked")
        }
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

fn request(call: bool, target: &str, name: &str, scheduled: Option<Timestamp>) -> Action {
    Action::EntityOperation(OperationRequest {
        call,
        target: target.into(),
        request_id: name.into(),
        operation: "add".into(),
        input: None,
        scheduled,
    })
}

/// What the worker makes of a batch. The state counts what was done.
pub(crate) fn work_off(batch: &Batch, work: &Work, now: Timestamp) -> BatchAnswer {
    let done = work.done.min(batch.events.len());
    let results = (0..done).map(|_| match work.fails {
        true => OperationResult::Failed(event::failure_details("Oops", "no luck")),
        false => OperationResult::Completed(Some("1".into())),
    });
    BatchAnswer {
        results: results.collect(),
        state: (!work.deletes).then(|| format!("{} and {done} more", batch.context.batch).into()),
        actions: work.sends.iter().map(|it| sent(it, now)).collect(),
        ..BatchAnswer::default()
    }
}

fn sent(sending: &Sending, now: Timestamp) -> EntityAction {
    let signal = |target: &str, millis: u16| EntityAction::Signal {
        target: target.into(),
        operation: "add".into(),
        input: None,
        scheduled: (millis > 0).then(|| now + Duration::from_millis(u64::from(millis))),
    };
    let start = |instance: &str| EntityAction::Start {
        instance: instance.into(),
        name: "Started".into(),
        version: None,
        input: None,
        scheduled: None,
        trace: None,
    };
    match sending {
        Sending::Signal { entity, millis } => signal(ENTITIES[*entity], *millis),
        Sending::SignalNothing => signal("nothing", 0),
        Sending::Start { id } => start(IDS[*id]),
        Sending::StartUnnamed => start(""),
    }
}
