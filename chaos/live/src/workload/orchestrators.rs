//! The orchestrations, activities and entities of the workload, as a worker hosts them.

use std::sync::Arc;

use longhaul_client::{
    request_id,
    worker::{ActivityCall, Operated, Operation, Progress, Registry, Turn, actions},
};
use longhaul_proto::sidecar::{
    EntityLockRequestedEvent, EntityUnlockSentEvent, OrchestratorAction, SendEntityMessageAction,
    TaskFailureDetails, history_event::EventType, orchestrator_action::OrchestratorActionType,
    send_entity_message_action::EntityMessageType,
};
use prost_types::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    ledger::Ledger,
    shapes::{
        ACCOUNT, ADD, Done, EFFECT, EVENT, LAST_EVENT, READ, Shape, Transferred, booking, child_id,
        deposit, withdrawal,
    },
};
use crate::record::{Addition, Effect, Tally};

/// Everything that a worker of this name hosts; runs of activities are written to `ledger`.
pub fn registry(worker: &str, ledger: Arc<Ledger>) -> Registry {
    let registry = Shape::NAMES
        .iter()
        .fold(Registry::default(), |registry, name| {
            registry.orchestrator(*name, decide)
        });
    let worker: Arc<str> = worker.into();
    registry
        .entity(ACCOUNT, operate)
        .activity(EFFECT, move |call: ActivityCall| {
            let done = run(&call, &worker, &ledger);
            async move { done }
        })
}

/// Runs the activity once: writes down that it ran, then answers.
fn run(
    call: &ActivityCall,
    worker: &str,
    ledger: &Ledger,
) -> Result<Option<String>, TaskFailureDetails> {
    let number = parsed(call.input.as_deref())?;
    let nonce = ledger.next_nonce();
    ledger.append(&Effect {
        instance_id: call.instance_id.clone(),
        task_id: call.task_id,
        number,
        nonce: nonce.clone(),
        worker: worker.to_owned(),
    });
    Ok(Some(text(&Done { number, nonce })))
}

fn operate(state: Option<&str>, operation: &Operation<'_>) -> Result<Operated, TaskFailureDetails> {
    let before: Tally = match state {
        Some(state) => parsed(Some(state))?,
        None => Tally::default(),
    };
    let after = match operation.name {
        READ => before,
        ADD => before.with(&parsed::<Addition>(operation.input)?),
        other => {
            let unknown = format!("no operation {other}");
            return Err(actions::failure("Unknown", unknown));
        }
    };
    Ok(Operated {
        state: Some(text(&after)),
        result: Some(text(&after.sum)),
    })
}

/// The next actions of any orchestration of the workload.
fn decide(turn: &Turn<'_>) -> Vec<OrchestratorAction> {
    let story = Story {
        turn,
        progress: Progress::of(turn),
    };
    if let Some(failure) = story.progress.first_failure {
        return story.end(actions::fail, failure.clone());
    }
    let decided = parsed(turn.input()).and_then(|shape| match shape {
        Shape::Fan(width) => story.fan(width),
        Shape::Naps(naps) => story.naps(&naps),
        Shape::Counter => story.counter(),
        Shape::Family(widths) => story.family(&widths),
        Shape::Bookings { entity, count } => Ok(story.bookings(&entity, count)),
        Shape::Transfer { from, to, amount } => story.transfer(&from, &to, amount),
    });
    decided.unwrap_or_else(|failure| story.end(actions::fail, failure))
}

type Decided = Result<Vec<OrchestratorAction>, TaskFailureDetails>;

/// An orchestration and how far it has come.
struct Story<'a> {
    turn: &'a Turn<'a>,
    progress: Progress<'a>,
}

impl Story<'_> {
    fn fan(&self, width: u64) -> Decided {
        if self.progress.activities_scheduled == 0 && width > 0 {
            let ids = self.progress.next_action_id()..;
            let numbered = ids.zip(0..width);
            return Ok(numbered
                .map(|(id, number)| actions::schedule_activity(id, EFFECT, Some(text(&number))))
                .collect());
        }
        if (self.progress.activities_completed as u64) < width {
            return Ok(vec![]);
        }
        Ok(self.complete(&self.results()?))
    }

    fn naps(&self, naps: &[u64]) -> Decided {
        let progress = &self.progress;
        if progress.timers_fired < progress.timers_created
            || progress.activities_completed < progress.activities_scheduled
        {
            return Ok(vec![]);
        }
        let id = progress.next_action_id();
        if progress.activities_scheduled < progress.timers_fired {
            let number = progress.activities_scheduled as u64;
            return Ok(vec![actions::schedule_activity(
                id,
                EFFECT,
                Some(text(&number)),
            )]);
        }
        match naps.get(progress.timers_created) {
            Some(nap) => Ok(vec![actions::create_timer(id, self.in_millis(*nap)?)]),
            None => Ok(self.complete(&self.results()?)),
        }
    }

    fn counter(&self) -> Decided {
        let mut counted = Vec::new();
        for event in self.turn.events() {
            let EventType::EventRaised(raised) = event else {
                continue;
            };
            if !raised.name.eq_ignore_ascii_case(EVENT) {
                continue;
            }
            let carried: String = parsed(raised.input.as_deref())?;
            if carried == LAST_EVENT {
                return Ok(self.complete(&counted));
            }
            counted.push(carried);
        }
        Ok(vec![])
    }

    fn family(&self, widths: &[u64]) -> Decided {
        if self.progress.children_created == 0 && !widths.is_empty() {
            let ids = self.progress.next_action_id()..;
            let numbered = ids.zip(widths.iter().enumerate());
            return Ok(numbered
                .map(|(id, (nth, width))| {
                    let input = Shape::Fan(*width).input();
                    let child = child_id(self.turn.instance_id, nth);
                    actions::create_child(id, "fan", child, Some(input))
                })
                .collect());
        }
        if self.progress.children_completed < widths.len() {
            return Ok(vec![]);
        }
        Ok(self.complete(&widths.len()))
    }

    fn bookings(&self, entity: &str, count: u64) -> Vec<OrchestratorAction> {
        let made = self.progress.entity_calls_made as u64;
        if (self.progress.entity_calls_completed as u64) < made {
            return vec![];
        }
        if made == count {
            return self.complete(&count);
        }
        vec![self.call(entity, ADD, Some(&booking(self.turn.instance_id, made)))]
    }

    fn transfer(&self, from: &str, to: &str, amount: i64) -> Decided {
        let id = self.turn.instance_id;
        let granted = self
            .turn
            .events()
            .any(|event| matches!(event, EventType::EntityLockGranted(_)));
        let requested = self
            .turn
            .events()
            .any(|event| matches!(event, EventType::EntityLockRequested(_)));
        if !requested {
            return Ok(vec![self.lock([from, to])]);
        }
        let made = self.progress.entity_calls_made;
        if !granted || self.progress.entity_calls_completed < made {
            return Ok(vec![]);
        }
        match made {
            0 => Ok(vec![self.call::<()>(from, READ, None)]),
            1 => Ok(vec![self.call(from, ADD, Some(&withdrawal(id, amount)))]),
            2 => Ok(vec![self.call(to, ADD, Some(&deposit(id, amount)))]),
            _ => self.unlock_and_complete([from, to]),
        }
    }

    fn lock(&self, entities: [&str; 2]) -> OrchestratorAction {
        let mut lock_set = entities.map(str::to_owned).to_vec();
        lock_set.sort();
        self.message(
            self.progress.next_action_id(),
            EntityMessageType::EntityLockRequested(EntityLockRequestedEvent {
                critical_section_id: self.section_id(),
                lock_set,
                position: 0,
                parent_instance_id: Some(self.turn.instance_id.to_owned()),
            }),
        )
    }

    fn unlock_and_complete(&self, entities: [&str; 2]) -> Decided {
        let answers = self.answers();
        let sum = |nth: usize| parsed(answers.get(nth).copied());
        let transferred = Transferred {
            before: sum(0)?,
            after: sum(1)?,
        };
        let first = self.progress.next_action_id();
        let unlock = |(id, entity): (i32, &str)| {
            self.message(
                id,
                EntityMessageType::EntityUnlockSent(EntityUnlockSentEvent {
                    critical_section_id: self.section_id(),
                    parent_instance_id: Some(self.turn.instance_id.to_owned()),
                    target_instance_id: Some(entity.to_owned()),
                }),
            )
        };
        let mut decided: Vec<_> = (first..).zip(entities).map(unlock).collect();
        let output = Some(text(&transferred));
        decided.push(actions::complete(first + 2, output));
        Ok(decided)
    }

    fn call<T: Serialize>(
        &self,
        entity: &str,
        operation: &str,
        input: Option<&T>,
    ) -> OrchestratorAction {
        let nth = self.progress.entity_calls_made as u64 + 1;
        actions::call_entity(
            self.progress.next_action_id(),
            entity,
            request_id(self.turn.instance_id, nth),
            operation,
            input.map(text),
        )
    }

    fn section_id(&self) -> String {
        request_id(self.turn.instance_id, 0)
    }

    fn message(&self, id: i32, message: EntityMessageType) -> OrchestratorAction {
        OrchestratorAction {
            id,
            orchestrator_action_type: Some(OrchestratorActionType::SendEntityMessage(
                SendEntityMessageAction {
                    entity_message_type: Some(message),
                },
            )),
        }
    }

    /// What activities returned, in the order in which they were scheduled.
    fn results(&self) -> Result<Vec<Done>, TaskFailureDetails> {
        let mut results = Vec::new();
        for event in self.turn.events() {
            if let EventType::TaskCompleted(completed) = event {
                let done: Done = parsed(completed.result.as_deref())?;
                results.push((completed.task_scheduled_id, done));
            }
        }
        results.sort_by_key(|(id, _)| *id);
        Ok(results.into_iter().map(|(_, done)| done).collect())
    }

    /// What entities answered, in the order in which they did.
    fn answers(&self) -> Vec<&str> {
        let answers = self.turn.events().filter_map(|event| match event {
            EventType::EntityOperationCompleted(completed) => completed.output.as_deref(),
            _ => None,
        });
        answers.collect()
    }

    fn in_millis(&self, millis: u64) -> Result<Timestamp, TaskFailureDetails> {
        let now = self
            .turn
            .now()
            .ok_or_else(|| actions::failure("NoTime", "the turn has no time"))?;
        let nanos = i64::from(now.nanos) + i64::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
        Ok(Timestamp {
            seconds: now.seconds
                + i64::try_from(millis / 1_000).unwrap_or(0)
                + nanos / 1_000_000_000,
            nanos: i32::try_from(nanos % 1_000_000_000).unwrap_or(0),
        })
    }

    fn complete<T: Serialize>(&self, output: &T) -> Vec<OrchestratorAction> {
        self.end(actions::complete, Some(text(output)))
    }

    fn end<T>(
        &self,
        action: impl Fn(i32, T) -> OrchestratorAction,
        with: T,
    ) -> Vec<OrchestratorAction> {
        vec![action(self.progress.next_action_id(), with)]
    }
}

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data")
}

fn parsed<T: DeserializeOwned>(input: Option<&str>) -> Result<T, TaskFailureDetails> {
    serde_json::from_str(input.unwrap_or("null"))
        .map_err(|fault| actions::failure("BadInput", format!("{input:?}: {fault}")))
}
