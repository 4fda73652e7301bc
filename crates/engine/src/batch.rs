//! A batch of an entity's operations: taken out of the state, and what the worker made of it.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp, limits};

use crate::command::{CompleteBatch, StateChange};
use crate::entity::Operation;
use crate::history::entity_event::{self, OperationText};
use crate::history::event::{self, INBOUND};
use crate::key::InstanceKey;
use crate::message::{Creation, Message, MessageBody};
use crate::tables::{TableFault, Tables};

/// One batch as handed to a worker, with what is needed to understand the answer.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The entity, as it will be while the batch is out.
    pub context: BatchContext,
    /// Its state.
    pub state: Option<Bytes>,
    /// Operation events, not framed, in order.
    pub events: Vec<Bytes>,
}

/// What a batch's answer is judged against.
#[derive(Clone, Debug)]
pub struct BatchContext {
    /// The entity.
    pub key: InstanceKey,
    /// Fence: [`crate::Entity::batches`].
    pub batch: u64,
    /// Names this batch to the worker: the same whenever it is handed out, another one for the next batch.
    pub execution: ExecutionId,
    /// Of each operation: the request's id, and whether somebody waits for its result.
    pub operations: Vec<(Arc<str>, bool)>,
}

/// Takes the next batch of an entity out of the state, or `None` if it has none to offer.
///
/// # Errors
/// [`TableFault`] if the entity cannot be read.
pub fn take_batch(tables: &mut dyn Tables, key: &InstanceKey) -> Result<Option<Batch>, TableFault> {
    let Some(entity) = tables.entity(key)? else {
        return Ok(None);
    };
    if !entity.batch_ready() {
        return Ok(None);
    }
    let mut bytes = entity.state.as_ref().map_or(0, Bytes::len);
    let taken: Vec<&Operation> = entity
        .ready_operations()
        .take(limits::ENTITY_BATCH_OPERATIONS_MAX)
        .enumerate()
        .take_while(|(at, operation)| {
            bytes += operation.event.len();
            *at == 0 || bytes <= limits::WORK_ITEM_BYTES_MAX
        })
        .map(|(_, operation)| operation)
        .collect();
    Ok(Some(Batch {
        context: BatchContext {
            key: key.clone(),
            batch: entity.batches,
            execution: ExecutionId::derived(key.id.as_str(), entity.batches),
            operations: taken
                .iter()
                .map(|it| (it.request_id.clone(), it.caller.is_some()))
                .collect(),
        },
        state: entity.state.clone(),
        events: taken.iter().map(|it| it.event.clone()).collect(),
    }))
}

/// A worker's answer to a batch, as the edge has understood it.
#[derive(Clone, Debug, Default)]
pub struct BatchAnswer {
    /// Results of the first operations, in order.
    pub results: Vec<OperationResult>,
    /// The state after them; absent deletes it.
    pub state: Option<Bytes>,
    /// What the operations sent.
    pub actions: Vec<EntityAction>,
    /// Encoded `TaskFailureDetails`: the worker could not run the batch.
    pub failure: Option<Bytes>,
    /// The worker did not keep the state it was not given.
    pub requires_state: bool,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub enum OperationResult {
    /// With a result.
    Completed(Option<Bytes>),
    /// With encoded `TaskFailureDetails`.
    Failed(Bytes),
}

/// What an operation can send.
#[derive(Clone, Debug)]
pub enum EntityAction {
    /// Signal an entity.
    Signal {
        /// Its id.
        target: String,
        /// Operation.
        operation: String,
        /// Input.
        input: Option<Bytes>,
        /// Not before this time.
        scheduled: Option<Timestamp>,
    },
    /// Start an orchestration that nobody waits for.
    Start {
        /// Its id; empty lets the server choose.
        instance: String,
        /// Name.
        name: String,
        /// Version.
        version: Option<String>,
        /// Input.
        input: Option<Bytes>,
        /// Not before this time.
        scheduled: Option<Timestamp>,
        /// Encoded `TraceContext`.
        trace: Option<Bytes>,
    },
}

/// What is to be done with an answer.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is to be committed.
    Commit(Box<CompleteBatch>),
    /// Nothing was done: the batch is offered again at once.
    Again,
    /// Nothing could be done, for this reason if one was given: the batch is offered again later. Source: a failure of
    /// the worker itself comes with a state of nothing, which must not delete the entity's.
    Later(Option<Bytes>),
}

/// Judges a worker's answer. `fresh` gives out ids that were never used.
#[must_use]
pub fn decide(
    context: &BatchContext,
    answer: BatchAnswer,
    at: Timestamp,
    fresh: &mut dyn FnMut() -> ExecutionId,
) -> Verdict {
    let whole = answer.results.len() >= context.operations.len();
    if answer.requires_state {
        return Verdict::Again;
    }
    if answer.failure.is_some() && !whole || answer.results.is_empty() {
        return Verdict::Later(answer.failure);
    }
    let answers = context.operations.iter().zip(&answer.results);
    let answers = answers.map(|((request_id, waits), result)| match result {
        _ if !waits => Bytes::new(),
        OperationResult::Completed(output) => {
            entity_event::operation_completed(at, request_id, output.as_deref())
        }
        OperationResult::Failed(failure) => entity_event::operation_failed(at, request_id, failure),
    });
    let mut messages = Vec::with_capacity(answer.actions.len());
    let answers = answers.collect();
    for action in answer.actions {
        messages.extend(message(context, action, at, fresh));
    }
    Verdict::Commit(Box::new(CompleteBatch {
        key: context.key.clone(),
        batch: context.batch,
        state: StateChange::Set(answer.state),
        answers,
        messages,
    }))
}

/// Gives up on a batch that no worker can run: those who wait learn why, signals are dropped, the state stays.
#[must_use]
pub fn give_up(context: &BatchContext, failure: &[u8], at: Timestamp) -> CompleteBatch {
    let answers = context.operations.iter().map(|(request_id, waits)| {
        if *waits {
            entity_event::operation_failed(at, request_id, failure)
        } else {
            Bytes::new()
        }
    });
    CompleteBatch {
        key: context.key.clone(),
        batch: context.batch,
        state: StateChange::Keep,
        answers: answers.collect(),
        messages: Vec::new(),
    }
}

/// What an action sends; nothing to ids that nothing can have.
fn message(
    context: &BatchContext,
    action: EntityAction,
    at: Timestamp,
    fresh: &mut dyn FnMut() -> ExecutionId,
) -> Option<Message> {
    let (target, body) = match action {
        EntityAction::Signal {
            target,
            operation,
            input,
            scheduled,
        } => {
            let target = InstanceId::parse_entity(&target).ok()?;
            let request_id = fresh();
            let text = OperationText {
                request_id: request_id.as_str(),
                operation: &operation,
                scheduled,
                input: input.as_deref(),
                target: target.as_str(),
            };
            let operation = Operation {
                caller: None,
                request_id: request_id.as_str().into(),
                event: entity_event::operation_signaled(INBOUND, at, text),
            };
            let body = MessageBody::Operation {
                operation,
                sender: None,
                due: scheduled,
            };
            (target, body)
        }
        EntityAction::Start {
            instance,
            name,
            version,
            input,
            scheduled,
            trace,
        } => {
            if name.is_empty() {
                return None;
            }
            let execution = fresh();
            let target = if instance.is_empty() {
                InstanceId::trusted(execution.as_str())
            } else {
                InstanceId::parse(&instance).ok()?
            };
            let creation = Creation {
                execution: fresh(),
                name: name.into(),
                version: version.map(Into::into),
                input,
                scheduled_start: scheduled.filter(|start| *start > at),
                tags: None,
                parent: None,
                parent_trace: trace,
                request_fingerprint: 0,
            };
            (target, MessageBody::Start(Box::new(creation)))
        }
    };
    let target = InstanceKey::new(context.key.hub, target);
    Some(Message { target, body })
}

/// The failure of a batch that workers could not run, if they gave none.
#[must_use]
pub fn unexplained_failure() -> Bytes {
    event::failure_details(
        "EntityBatchFailed",
        "no worker could run the operations of the entity",
    )
}
