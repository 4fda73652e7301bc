//! What a worker decided, turned into facts to append and messages to send.
//!
//! Runs once, at the leader, before the command is proposed; pure, with the time and fresh ids as arguments.

mod answer;
mod entities;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use answer::{Action, Answer, Decided, OperationRequest};
use bytes::{Bytes, BytesMut};
pub(crate) use entities::called_no_entity;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::command::{ActivityDraft, CompleteTurn, Ending, Outgoing, TimerDraft};
use crate::dispatch::TurnContext;
use crate::history::{event, frame};
use crate::instance::{InboxMessage, ParentLink, Status, Tags};
use crate::key::InstanceKey;
use crate::message::{Creation, Message, MessageBody};

/// Computes the command that commits a turn.
///
/// `fresh` gives out execution ids that were never used.
#[must_use]
pub fn decide(
    context: &TurnContext,
    answer: Answer,
    at: Timestamp,
    fresh: &mut dyn FnMut() -> ExecutionId,
) -> CompleteTurn {
    // The ExecutionStarted that begins a generation is part of its first turn whatever the worker counts.
    let fewest = u32::from(context.history_bytes == 0).min(context.dispatched);
    let consumed = answer.events_processed.map_or(context.dispatched, |count| {
        count.clamp(fewest, context.dispatched)
    });
    let mut decision = Decision::new(context, at);
    let refusal = answer
        .actions
        .iter()
        .find_map(|decided| match &decided.action {
            Action::Refused(reason) => Some((decided.id, reason.clone())),
            _ => None,
        });
    if let Some((id, reason)) = refusal {
        let failure = Some(event::failure_details("UnsupportedAction", &reason));
        decision.complete(id, Status::Failed, None, failure);
    } else {
        // Whatever ends the execution comes last, wherever the worker put it; the first such action wins.
        let (endings, others): (Vec<_>, Vec<_>) = answer
            .actions
            .into_iter()
            .partition(|it| it.action.ends_execution());
        for Decided { id, action } in others.into_iter().chain(endings.into_iter().take(1)) {
            decision.take(id, action, fresh);
        }
    }
    CompleteTurn {
        key: context.key.clone(),
        execution: context.execution.clone(),
        turn: context.turn,
        consumed,
        started_at: context.started_at,
        facts: decision.facts.freeze(),
        fact_count: decision.fact_count,
        custom_status: answer.custom_status,
        trace: answer.trace,
        activities: decision.activities,
        timers: decision.timers,
        messages: decision.messages,
        own_inbox: decision.own_inbox,
        ending: decision.ending,
    }
}

/// The turn by which the server fails an orchestration, instead of what its worker decided.
#[must_use]
pub fn fail(context: &TurnContext, error_type: &str, message: &str, at: Timestamp) -> CompleteTurn {
    let failure = event::failure_details(error_type, message);
    let complete = Action::Complete {
        status: Status::Failed,
        result: None,
        failure: Some(failure),
    };
    let answer = Answer {
        actions: vec![Decided {
            id: event::INBOUND,
            action: complete,
        }],
        ..Answer::default()
    };
    let mut nothing_starts = || unreachable!("an end needs no ids");
    decide(context, answer, at, &mut nothing_starts)
}

struct Decision<'a> {
    context: &'a TurnContext,
    at: Timestamp,
    facts: BytesMut,
    fact_count: u32,
    activities: Vec<ActivityDraft>,
    timers: Vec<TimerDraft>,
    messages: Vec<Outgoing>,
    own_inbox: Vec<InboxMessage>,
    ending: Option<Ending>,
}

impl<'a> Decision<'a> {
    fn new(context: &'a TurnContext, at: Timestamp) -> Self {
        Self {
            context,
            at: at.max(context.started_at),
            facts: BytesMut::new(),
            fact_count: 0,
            activities: Vec::new(),
            timers: Vec::new(),
            messages: Vec::new(),
            own_inbox: Vec::new(),
            ending: None,
        }
    }

    fn take(&mut self, id: i32, action: Action, fresh: &mut dyn FnMut() -> ExecutionId) {
        match action {
            Action::ScheduleTask {
                name,
                version,
                input,
                tags,
                trace,
            } => {
                let event = event::task_scheduled(
                    id,
                    self.at,
                    &name,
                    version.as_deref(),
                    input.as_deref(),
                    trace.as_deref(),
                    &tags,
                );
                self.schedule(id, name, version, &event);
            }
            Action::CreateTimer { fire_at } => {
                self.fact(&event::timer_created(id, self.at, fire_at));
                self.timers.push(TimerDraft {
                    timer_id: id,
                    fire_at,
                });
            }
            Action::CreateChild {
                instance,
                name,
                version,
                input,
                tags,
                trace,
            } => {
                let creation = Creation {
                    execution: fresh(),
                    name: name.into(),
                    version: version.map(Into::into),
                    input,
                    scheduled_start: None,
                    tags: merged(self.context.tags.as_deref(), tags),
                    parent: None,
                    parent_trace: trace,
                    request_fingerprint: 0,
                };
                self.create_child(id, instance, creation);
            }
            Action::SendEvent {
                instance,
                name,
                data,
            } => {
                self.fact(&event::event_sent(
                    id,
                    self.at,
                    &instance,
                    &name,
                    data.as_deref(),
                ));
                let raised = event::event_raised(self.at, &name, data.as_deref());
                self.message(&instance, MessageBody::Event(raised));
            }
            Action::EntityOperation(request) => self.entity_operation(id, &request),
            Action::LockEntities {
                section,
                lock_set,
                position,
                parent,
            } => self.lock_entities(id, &section, &lock_set, position, parent.as_deref()),
            Action::UnlockEntity {
                section,
                parent,
                target,
            } => self.unlock_entity(id, &section, parent.as_deref(), &target),
            Action::Terminate {
                instance,
                reason,
                recurse,
            } => {
                self.message(
                    &instance,
                    MessageBody::Terminate {
                        output: reason,
                        recurse,
                        only_child_of: None,
                    },
                );
            }
            Action::Complete {
                status,
                result,
                failure,
            } => self.complete(id, status, result, failure),
            Action::ContinueAsNew {
                input,
                version,
                carryover,
            } => {
                let version = version.map(Into::into);
                self.ending = Some(Ending::ContinuedAsNew {
                    execution: fresh(),
                    version,
                    input,
                    carryover,
                });
            }
            Action::Refused(_) => unreachable!("a refusal was handled before any action is taken"),
        }
    }

    fn fact(&mut self, event: &[u8]) {
        frame(&mut self.facts, event);
        self.fact_count += 1;
    }

    fn schedule(&mut self, id: i32, name: String, version: Option<String>, event: &Bytes) {
        self.fact(event);
        if name.is_empty() {
            self.tell_self(nameless_activity(self.at, id));
            return;
        }
        self.activities.push(ActivityDraft {
            task_id: id,
            name: name.into(),
            version: version
                .filter(|it| !it.is_empty())
                .map(Into::into)
                .or_else(|| self.context.version.clone()),
            event_offset: u32::try_from(self.facts.len() - event.len())
                .expect("a message is below 4 GiB"),
            event_len: u32::try_from(event.len()).expect("a message is below 4 GiB"),
        });
    }

    fn create_child(&mut self, id: i32, instance: String, mut creation: Creation) {
        let context = self.context;
        let instance = if instance.is_empty() {
            format!("{}:{id:04x}", context.execution)
        } else {
            instance
        };
        let child_id = InstanceId::trusted(instance.as_str());
        self.fact(&event::child_created(id, self.at, &child_id, &creation));
        if let Some(failed) = impossible_child(self.at, id, &instance, &creation.name) {
            self.tell_self(failed);
            return;
        }
        let info = event::parent_info(
            id,
            &context.name,
            context.version.as_deref(),
            &context.key.id,
            &context.execution,
        );
        creation.parent = Some(Arc::new(ParentLink {
            instance: context.key.id.clone(),
            execution: context.execution.clone(),
            task_id: id,
            seq: 0,
            info,
        }));
        let key = InstanceKey::new(context.key.hub, child_id);
        self.messages.push(Outgoing::Child {
            key,
            task_id: id,
            creation: Box::new(creation),
        });
    }

    /// Messages to ids that nothing can have are dropped like those to missing instances.
    fn message(&mut self, target: &str, body: MessageBody) {
        if let Ok(id) = InstanceId::parse(target) {
            let target = InstanceKey::new(self.context.key.hub, id);
            self.messages
                .push(Outgoing::Message(Message { target, body }));
        }
    }

    fn tell_self(&mut self, event: Bytes) {
        let execution = self.context.execution.clone();
        self.own_inbox.push(InboxMessage::result(execution, event));
    }

    fn complete(&mut self, id: i32, status: Status, output: Option<Bytes>, failure: Option<Bytes>) {
        self.fact(&event::execution_completed(
            id,
            self.at,
            status,
            output.as_deref(),
            failure.as_deref(),
        ));
        self.ending = Some(Ending::Terminal {
            status,
            output,
            failure,
        });
    }
}

/// The result of an activity that no worker can run.
pub(crate) fn nameless_activity(at: Timestamp, id: i32) -> Bytes {
    let failure = event::failure_details("InvalidActivity", "an activity needs a name");
    event::task_failed(at, id, &failure)
}

/// The result of a child that nothing can start, if it is one.
pub(crate) fn impossible_child(
    at: Timestamp,
    id: i32,
    instance: &str,
    name: &str,
) -> Option<Bytes> {
    let problem = match InstanceId::parse(instance) {
        Err(invalid) => invalid.to_string(),
        Ok(_) if name.is_empty() => "an orchestration needs a name".to_owned(),
        Ok(_) => return None,
    };
    let failure = event::failure_details("InvalidSubOrchestration", &problem);
    Some(event::child_failed(at, id, &failure))
}

fn merged(parent: Option<&Tags>, child: Tags) -> Option<Arc<Tags>> {
    let mut tags: BTreeMap<String, String> = parent.cloned().unwrap_or_default();
    tags.extend(child);
    (!tags.is_empty()).then(|| Arc::new(tags))
}
