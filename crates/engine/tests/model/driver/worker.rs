//! A worker that decides at random, but as a worker may: it obeys terminations, counts its actions upwards, tries again
//! under an id only what has failed, and leaves only critical sections that it has entered.

use std::time::Duration;

use longhaul_engine::Status as EngineStatus;
use longhaul_engine::batch::{BatchAnswer as EngineBatchAnswer, EntityAction, OperationResult};
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Answer, Decided, OperationRequest};
use longhaul_types::Timestamp;

use super::engine::worker_failure;
use super::names::Names;
use super::steps::{BatchWork, Choice, ENTITIES, IDS, Sending, TurnWork};
use crate::reference::{BatchItem, TurnItem};
use crate::values::{
    Act, BatchAnswer, Deed, Event, Finish, Id, Sent, Status, Tags, Text, TurnAnswer, What,
};

/// Ids that were never used before.
#[derive(Default)]
pub(super) struct Fresh(u32);

impl Fresh {
    fn id(&mut self, letter: char) -> Id {
        self.0 += 1;
        format!("{letter}{}", self.0)
    }
}

/// The answer to a turn.
pub(super) fn decide(
    turn: &TurnItem,
    work: &TurnWork,
    now: Timestamp,
    fresh: &mut Fresh,
) -> TurnAnswer {
    let taken = work
        .processed
        .map_or(turn.new.len(), |it| (it as usize).min(turn.new.len()));
    let taken = &turn.new[..taken];
    let last = turn.past.iter().map(|event| event.id).max().unwrap_or(0);
    let mut next = last.max(0) + 1;
    let mut acts = Vec::new();
    if let Some(output) = termination(taken) {
        let deed = Deed::Complete {
            status: Status::Terminated,
            result: output,
            failure: None,
        };
        acts.push(Act { id: next, deed });
    } else {
        let mut memory = Memory::of(turn, taken);
        for choice in &work.choices {
            for (again, deed) in memory.deeds(choice, now, fresh) {
                let id = again.unwrap_or(next);
                acts.push(Act { id, deed });
            }
            next += 1;
        }
    }
    TurnAnswer {
        acts,
        custom_status: [None, Some("\"half\"".to_owned()), Some("\"\"".to_owned())]
            [usize::from(work.custom_status % 3)]
        .clone(),
        processed: work.processed,
    }
}

/// The output that the first termination asks for.
fn termination(taken: &[Event]) -> Option<Text> {
    taken.iter().find_map(|event| match &event.what {
        What::ExecutionTerminated { input, .. } => Some(input.clone()),
        _ => None,
    })
}

/// What an orchestrator knows from its history.
struct Memory {
    /// Sections that were granted, each with an entity that was not left.
    held: Vec<(Id, Id)>,
    left: Vec<(Id, Id)>,
    failed_tasks: Vec<i32>,
    failed_children: Vec<(i32, Id)>,
}

impl Memory {
    fn of(turn: &TurnItem, taken: &[Event]) -> Self {
        let mut memory = Self {
            held: Vec::new(),
            left: Vec::new(),
            failed_tasks: Vec::new(),
            failed_children: Vec::new(),
        };
        let (mut granted, mut children) = (Vec::new(), Vec::new());
        for event in turn.past.iter().chain(taken) {
            match &event.what {
                What::LockRequested { section, lock_set } => {
                    let wanted = lock_set.iter().map(|id| (section.clone(), id.clone()));
                    memory.held.extend(wanted);
                }
                What::LockGranted { section } => granted.push(section.clone()),
                What::UnlockSent { section, target } => {
                    let left = (section.clone(), target.clone());
                    memory.held.retain(|held| *held != left);
                    memory.left.push(left);
                }
                What::TaskFailed { of, .. } => memory.failed_tasks.push(*of),
                What::ChildCreated { instance, .. } => children.push((event.id, instance.clone())),
                What::ChildFailed { of, .. } => {
                    let at = children.iter().rposition(|(action, _)| action == of);
                    memory
                        .failed_children
                        .extend(at.map(|at| children.remove(at)));
                }
                _ => {}
            }
        }
        memory.held.retain(|(section, _)| granted.contains(section));
        memory
    }

    /// What a choice comes to, under an id used before if something is tried again.
    fn deeds(
        &mut self,
        choice: &Choice,
        now: Timestamp,
        fresh: &mut Fresh,
    ) -> Vec<(Option<i32>, Deed)> {
        let unlock = |(section, target)| (None, Deed::Unlock { section, target });
        match choice {
            Choice::ScheduleAgain => {
                let again = self.failed_tasks.pop();
                vec![(again, schedule("Work"))]
            }
            Choice::ChildAgain => {
                let again = self.failed_children.pop();
                let again = again.map(|(id, instance)| (Some(id), child(&instance, 0)));
                again.into_iter().collect()
            }
            Choice::CallInside { pick } => match self.held.get(pick % self.held.len().max(1)) {
                Some((_, target)) => {
                    vec![(None, operation(true, target.clone(), 0, now, fresh))]
                }
                None => Vec::new(),
            },
            Choice::Unlock { pick } if !self.held.is_empty() => {
                let left = self.held.remove(pick % self.held.len());
                vec![unlock(left)]
            }
            Choice::Unlock { pick } => {
                let again = self.left.get(pick % self.left.len().max(1));
                again.cloned().map(unlock).into_iter().collect()
            }
            Choice::UnlockAll => self.held.drain(..).map(unlock).collect(),
            other => vec![(None, deed(other, now, fresh))],
        }
    }
}

fn schedule(name: &str) -> Deed {
    Deed::Schedule {
        name: name.to_owned(),
        input: Some("in".to_owned()),
    }
}

fn child(instance: &str, tags: u8) -> Deed {
    let pairs = [("who", "child"), ("what", "test")];
    let tags: Tags = (0..2)
        .filter(|bit| tags >> bit & 1 == 1)
        .map(|bit: usize| (pairs[bit].0.to_owned(), pairs[bit].1.to_owned()))
        .collect();
    Deed::Child {
        instance: instance.to_owned(),
        name: "Child".to_owned(),
        input: None,
        tags,
    }
}

fn later(millis: u32, now: Timestamp) -> Option<Timestamp> {
    (millis > 0).then(|| now + Duration::from_millis(u64::from(millis)))
}

fn operation(call: bool, target: Id, millis: u32, now: Timestamp, fresh: &mut Fresh) -> Deed {
    Deed::Operation {
        call,
        id: fresh.id('r'),
        operation: "Add".to_owned(),
        input: Some("1".to_owned()),
        due: later(millis, now),
        target,
    }
}

/// One entity under a name of its own.
fn entity(pick: usize) -> Id {
    ENTITIES[pick % ENTITIES.len()].to_owned()
}

fn deed(choice: &Choice, now: Timestamp, fresh: &mut Fresh) -> Deed {
    match choice {
        Choice::Schedule => schedule("Work"),
        Choice::ScheduleNameless => schedule(""),
        Choice::Timer { millis } => {
            let offset = Duration::from_millis(u64::from(millis.unsigned_abs()));
            let due = match millis {
                0.. => now + offset,
                _ => now - offset,
            };
            Deed::Timer { due }
        }
        Choice::Child { id, tags } => child(IDS[*id], *tags),
        Choice::UnnamedChild => child("", 1),
        Choice::ImpossibleChild => child("@not@allowed", 0),
        Choice::Send { id } => Deed::Send {
            to: IDS[*id].to_owned(),
            name: "Sent".to_owned(),
            input: None,
        },
        Choice::SendNowhere => Deed::Send {
            to: "@not@allowed".to_owned(),
            name: "Sent".to_owned(),
            input: Some(String::new()),
        },
        Choice::Terminate { id, recurse } => Deed::Terminate {
            to: IDS[*id].to_owned(),
            output: Some("by another".to_owned()),
            recurse: *recurse,
        },
        Choice::Call { pick, millis } => operation(true, entity(*pick), *millis, now, fresh),
        Choice::Signal { pick, millis } => operation(false, entity(*pick), *millis, now, fresh),
        Choice::AskNothing { call } => operation(*call, "nothing".to_owned(), 0, now, fresh),
        Choice::Lock { bits, backwards } => {
            let chosen = (0..ENTITIES.len()).filter(|bit| bits >> bit & 1 == 1);
            let mut lock_set: Vec<Id> = chosen.map(entity).collect();
            if *backwards {
                lock_set.reverse();
            }
            Deed::Lock {
                section: fresh.id('s'),
                lock_set,
            }
        }
        Choice::Complete { how } => {
            let failure = (how % 2 == 1).then(|| "no luck".to_owned());
            Deed::Complete {
                status: [Status::Completed, Status::Failed, Status::Canceled][usize::from(how % 3)],
                result: Some("out".to_owned()),
                failure,
            }
        }
        Choice::ContinueAsNew { carry, version } => Deed::ContinueAsNew {
            input: Some(fresh.id('i')),
            version: version.then(|| "2".to_owned()),
            carried: (0..*carry)
                .map(|_| ("Carried".to_owned(), Some(fresh.id('e'))))
                .collect(),
        },
        Choice::ScheduleAgain
        | Choice::ChildAgain
        | Choice::CallInside { .. }
        | Choice::Unlock { .. }
        | Choice::UnlockAll => unreachable!("depend on what the orchestrator remembers"),
    }
}

/// The same answer as the engine takes it.
pub(super) fn for_engine(answer: &TurnAnswer, now: Timestamp, names: &Names) -> Answer {
    let decided = answer.acts.iter().map(|act| Decided {
        id: act.id,
        action: action(&act.deed, now, names),
    });
    Answer {
        actions: decided.collect(),
        custom_status: answer.custom_status.clone().map(Into::into),
        trace: None,
        events_processed: answer.processed,
    }
}

fn action(deed: &Deed, now: Timestamp, names: &Names) -> Action {
    match deed.clone() {
        Deed::Schedule { name, input } => Action::ScheduleTask {
            name,
            version: None,
            input: input.map(Into::into),
            tags: Tags::new(),
            trace: None,
        },
        Deed::Timer { due } => Action::CreateTimer { fire_at: due },
        Deed::Child {
            instance,
            name,
            input,
            tags,
        } => Action::CreateChild {
            instance: names.spelled(&instance),
            name,
            version: None,
            input: input.map(Into::into),
            tags,
            trace: None,
        },
        Deed::Send { to, name, input } => Action::SendEvent {
            instance: to,
            name,
            data: input.map(Into::into),
        },
        Deed::Terminate {
            to,
            output,
            recurse,
        } => Action::Terminate {
            instance: to,
            reason: output.map(Into::into),
            recurse,
        },
        Deed::Operation {
            call,
            id,
            operation,
            input,
            due,
            target,
        } => Action::EntityOperation(OperationRequest {
            call,
            target,
            request_id: id,
            operation,
            input: input.map(Into::into),
            scheduled: due,
        }),
        Deed::Lock { section, lock_set } => Action::LockEntities {
            section,
            lock_set,
            position: 0,
            parent: None,
        },
        Deed::Unlock { section, target } => Action::UnlockEntity {
            section,
            parent: None,
            target,
        },
        Deed::Complete {
            status,
            result,
            failure,
        } => Action::Complete {
            status: match status {
                Status::Completed => EngineStatus::Completed,
                Status::Failed => EngineStatus::Failed,
                Status::Canceled => EngineStatus::Canceled,
                Status::Terminated => EngineStatus::Terminated,
                live => unreachable!("{live:?} is no end"),
            },
            result: result.map(Into::into),
            failure: failure.as_deref().map(worker_failure),
        },
        Deed::ContinueAsNew {
            input,
            version,
            carried,
        } => Action::ContinueAsNew {
            input: input.map(Into::into),
            version,
            carryover: carried
                .iter()
                .map(|(name, input)| {
                    event::event_raised(now, name, input.as_deref().map(str::as_bytes))
                })
                .collect(),
        },
    }
}

/// The answer to a batch.
pub(super) fn work_off(batch: &BatchItem, work: &BatchWork, now: Timestamp) -> BatchAnswer {
    let done = work.done.clamp(1, batch.operations.len());
    let operations = &batch.operations[..done];
    let results = operations.iter().map(|request| match work.fails {
        true => Finish::Failed("no luck".to_owned()),
        false => Finish::Succeeded(request.input.clone()),
    });
    let before = batch.state.clone().unwrap_or_default();
    let did = |request: &crate::values::Request| format!(" {}", request.operation);
    let state = operations
        .iter()
        .map(did)
        .fold(before, |state, it| state + &it);
    let sent = work.sends.iter().map(|sending| match sending {
        Sending::Signal { pick, millis } => Sent::Signal {
            target: entity(*pick),
            operation: "Poke".to_owned(),
            input: None,
            due: later(*millis, now),
        },
        Sending::SignalNothing => Sent::Signal {
            target: "nothing".to_owned(),
            operation: "Poke".to_owned(),
            input: None,
            due: None,
        },
        Sending::Start { id, millis } => Sent::Start {
            instance: IDS[*id].to_owned(),
            name: "Detached".to_owned(),
            input: Some("alone".to_owned()),
            start: later(*millis, now),
        },
    });
    BatchAnswer {
        results: results.collect(),
        state: (!work.deletes).then_some(state),
        sent: sent.collect(),
    }
}

/// The same answer as the engine takes it.
pub(super) fn batch_for_engine(answer: &BatchAnswer) -> EngineBatchAnswer {
    let results = answer.results.iter().map(|finish| match finish {
        Finish::Succeeded(output) => OperationResult::Completed(output.clone().map(Into::into)),
        Finish::Failed(text) => OperationResult::Failed(worker_failure(text)),
    });
    let actions = answer.sent.iter().cloned().map(|sent| match sent {
        Sent::Signal {
            target,
            operation,
            input,
            due,
        } => EntityAction::Signal {
            target,
            operation,
            input: input.map(Into::into),
            scheduled: due,
        },
        Sent::Start {
            instance,
            name,
            input,
            start,
        } => EntityAction::Start {
            instance,
            name,
            version: None,
            input: input.map(Into::into),
            scheduled: start,
            trace: None,
        },
    });
    EngineBatchAnswer {
        results: results.collect(),
        state: answer.state.clone().map(Into::into),
        actions: actions.collect(),
        ..EngineBatchAnswer::default()
    }
}
