//! Entities: a state, a queue of operations, and batches of them done by workers.
//!
//! An entity is not an instance: it has no status and no history. It needs no start, and exists for clients while it has
//! a state.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use longhaul_types::Timestamp;

use super::Model;
use super::locks::Section;
use super::orchestrations::Beginning;
use super::post::Says;
use super::slip::Slip;
use crate::values::{
    BatchAnswer, EntityView, Event, Failure, Finish, Id, Reply, Request, Sent, Text, What,
};

/// One entity.
#[derive(Default)]
pub(super) struct Entity {
    pub(super) state: Text,
    pub(super) modified: Option<Timestamp>,
    pub(super) lock: Option<Section>,
    /// Operations of whoever holds the lock; before all others.
    pub(super) lane: VecDeque<Operation>,
    pub(super) queue: VecDeque<Queued>,
    /// Operations that are not due.
    pub(super) scheduled: BTreeMap<u64, Operation>,
    /// Requests of clients, and when they were accepted.
    accepted: BTreeMap<Id, Timestamp>,
    /// Changes with whatever makes a batch that is out pointless.
    episode: u64,
}

/// What stands in line.
pub(super) enum Queued {
    Operation(Operation),
    /// A critical section, with the position of this entity in it.
    Lock(Section, usize),
}

/// An operation, and who sent it if it was an orchestration.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) request: Request,
    pub(super) sender: Option<(Id, Id)>,
}

/// A batch as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchItem {
    pub(crate) entity: Id,
    pub(crate) state: Text,
    pub(crate) operations: Vec<Request>,
    episode: u64,
}

/// How long the request of a client is recognised when it comes again.
const REPETITION: Duration = Duration::from_secs(600);

impl Operation {
    pub(super) fn request_due(&self) -> Timestamp {
        self.request
            .due
            .expect("only those with a time are scheduled")
    }
}

impl Entity {
    pub(super) fn view(&self, id: &str) -> Option<EntityView> {
        let operations = self.queue.iter();
        let operations = operations.filter(|it| matches!(it, Queued::Operation(_)));
        let waiting = self.lane.len() + operations.count();
        let shown = self.state.is_some()
            || self.lock.is_some()
            || !self.lane.is_empty()
            || !self.queue.is_empty();
        shown.then(|| EntityView {
            id: id.to_owned(),
            state: self.state.clone(),
            modified: self.modified.filter(|_| self.state.is_some()),
            waiting,
            locked_by: self.lock.as_ref().map(|lock| lock.owner.0.clone()),
        })
    }

    /// What a batch may hold: the operations of the lock's owner, or else those in front of the first lock request.
    fn ready(&self) -> Vec<&Operation> {
        if self.lock.is_some() {
            return self.lane.iter().collect();
        }
        let front = self.queue.iter().map_while(|queued| match queued {
            Queued::Operation(operation) => Some(operation),
            Queued::Lock(..) => None,
        });
        front.collect()
    }

    /// Where somebody's request for the lock stands.
    fn request_of(&self, caller: Option<&(Id, Id)>) -> Option<usize> {
        let mut queue = self.queue.iter();
        queue
            .position(|it| matches!(it, Queued::Lock(section, _) if Some(&section.owner) == caller))
    }

    fn take_first(&mut self) -> Operation {
        let operation = match self.lock {
            Some(_) => self.lane.pop_front(),
            None => match self.queue.pop_front() {
                Some(Queued::Operation(operation)) => Some(operation),
                _ => None,
            },
        };
        operation.expect("what was handed out is in front until it is done")
    }
}

impl Model {
    pub(super) fn entity(&mut self, id: &str) -> &mut Entity {
        self.entities.entry(id.to_owned()).or_default()
    }

    /// SignalEntity. A request that was accepted within the last ten minutes is not done again.
    pub(crate) fn signal(&mut self, id: &str, request: Request) -> Reply {
        let (now, forgetful) = (self.now, self.slips(Slip::RepeatedSignalsCount));
        let entity = self.entity(id);
        let accepted = entity.accepted.get(&request.id);
        if accepted.is_some_and(|at| now.since(*at) <= REPETITION) && !forgetful {
            return Reply::Done;
        }
        entity.accepted.insert(request.id.clone(), now);
        let sender = None;
        self.operation_arrives(id, Operation { request, sender });
        self.settle();
        Reply::Done
    }

    /// An operation for later waits outside of the queue.
    pub(super) fn operation_arrives(&mut self, id: &str, operation: Operation) {
        if operation.request.due.is_some_and(|due| due > self.now) {
            let number = self.number();
            self.entity(id).scheduled.insert(number, operation);
        } else {
            self.enqueue(id, operation);
        }
    }

    /// The owner of the lock has a lane of its own; everybody else stands in line. A call whose caller stands in line for
    /// the lock goes before it: once inside, the caller could wait for it for ever.
    pub(super) fn enqueue(&mut self, id: &str, operation: Operation) {
        let overtakes = self.slips(Slip::LockRequestsAreOvertaken);
        let entity = self.entity(id);
        let owner = entity.lock.as_ref().map(|lock| &lock.owner);
        if owner.is_some() && owner == operation.sender.as_ref() {
            entity.lane.push_back(operation);
        } else if overtakes {
            entity.queue.push_front(Queued::Operation(operation));
        } else {
            let end = entity.queue.len();
            let place = entity.request_of(operation.request.caller.as_ref());
            let place = place.unwrap_or(end);
            entity.queue.insert(place, Queued::Operation(operation));
        }
    }

    /// Entities with operations to hand out.
    pub(crate) fn batches_due(&self) -> Vec<Id> {
        let all = self.entities.iter();
        all.filter(|(_, entity)| !entity.ready().is_empty())
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The batch that is due. Handing it out changes nothing.
    pub(crate) fn take_batch(&self, id: &str) -> Option<BatchItem> {
        let entity = self.entities.get(id)?;
        let ready = entity.ready();
        (!ready.is_empty()).then(|| BatchItem {
            entity: id.to_owned(),
            state: entity.state.clone(),
            operations: ready.into_iter().map(|it| it.request.clone()).collect(),
            episode: entity.episode,
        })
    }

    pub(crate) fn is_current_batch(&self, batch: &BatchItem) -> bool {
        let entity = self.entities.get(&batch.entity);
        entity.is_some_and(|it| it.episode == batch.episode)
    }

    /// CompleteEntityTask. The state is what the worker says; operations without a result stay in front. Who called is
    /// answered, once; then what the operations sent goes out, and then whoever is next in line has the entity.
    pub(crate) fn answer_batch(&mut self, batch: &BatchItem, answer: &BatchAnswer) -> Reply {
        if !self.is_current_batch(batch) {
            return Reply::Stale;
        }
        self.entity(&batch.entity).state.clone_from(&answer.state);
        self.commit_batch(batch, answer.results.iter().cloned().map(said));
        for sent in &answer.sent {
            self.send_from_entity(&batch.entity, sent);
        }
        self.let_in(&batch.entity);
        self.settle();
        Reply::Done
    }

    /// No worker could run the batch, again and again: who called learns of it, signals are lost, the state stays.
    pub(crate) fn give_up_batch(&mut self, batch: &BatchItem) -> Reply {
        if !self.is_current_batch(batch) {
            return Reply::Stale;
        }
        let failures = batch.operations.iter().map(|_| Err(Failure::ByServer));
        self.commit_batch(batch, failures);
        self.let_in(&batch.entity);
        self.settle();
        Reply::Done
    }

    fn commit_batch(
        &mut self,
        batch: &BatchItem,
        results: impl Iterator<Item = Result<Text, Failure>>,
    ) {
        let (now, episode) = (self.now, self.number());
        let loses = self.slips(Slip::PartialBatchesLoseTheRest);
        let entity = self.entity(&batch.entity);
        entity.modified = Some(now);
        entity.episode = episode;
        let mut answers = Vec::new();
        let mut left = batch.operations.len();
        for result in results.take(left) {
            left -= 1;
            let request = entity.take_first().request;
            if let Some((instance, execution)) = request.caller {
                answers.push((instance, execution, answer(request.id, result)));
            }
        }
        if loses {
            (0..left).for_each(|_| drop(entity.take_first()));
        }
        for (instance, execution, event) in answers {
            self.send(&batch.entity, &instance, Says::Answer { execution, event });
        }
    }

    /// What is sent to ids that nothing can have goes nowhere.
    fn send_from_entity(&mut self, from: &str, sent: &Sent) {
        match sent {
            Sent::Signal {
                target,
                operation,
                input,
                due,
            } => {
                let id = self.made_up();
                let Some(target) = super::locks::entity_id(target) else {
                    return;
                };
                let request = Request {
                    id,
                    operation: operation.clone(),
                    input: input.clone(),
                    due: *due,
                    target: target.clone(),
                    caller: None,
                };
                let sender = None;
                let operation = Operation { request, sender };
                self.send(from, &target, Says::Operation(operation));
            }
            Sent::Start {
                instance,
                name,
                input,
                start,
            } => {
                let beginning = Beginning {
                    name: name.clone(),
                    version: None,
                    input: input.clone(),
                    start: *start,
                    tags: BTreeMap::new(),
                    request: None,
                    parent: None,
                };
                self.send(from, instance, Says::Start(beginning));
            }
        }
    }

    /// PurgeInstances with the id of an entity: state, lock and operations go, whatever it is doing. Every call has a
    /// result, so who called is told; and who stands in line for the lock is next.
    pub(crate) fn purge_entity(&mut self, id: &str) -> Reply {
        let (now, episode) = (self.now, self.number());
        let existing = self.entities.get_mut(id);
        let existing = existing.filter(|it| it.view(id).is_some() || !it.scheduled.is_empty());
        let Some(entity) = existing else {
            return Reply::Purged { count: 0, live: 0 };
        };
        let accepted = std::mem::take(&mut entity.accepted);
        let old = std::mem::replace(
            entity,
            Entity {
                accepted,
                episode,
                modified: Some(now),
                ..Entity::default()
            },
        );
        let (mut dropped, mut waiting) = (old.lane, VecDeque::new());
        for queued in old.queue {
            match queued {
                Queued::Operation(operation) => dropped.push_back(operation),
                lock @ Queued::Lock(..) => waiting.push_back(lock),
            }
        }
        entity.queue = waiting;
        dropped.extend(old.scheduled.into_values());
        for Operation { request, .. } in dropped {
            if let Some((instance, execution)) = request.caller {
                let event = answer(request.id, Err(Failure::ByServer));
                self.send(id, &instance, Says::Answer { execution, event });
            }
        }
        self.let_in(id);
        self.settle();
        Reply::Purged { count: 1, live: 0 }
    }
}

fn said(finish: Finish) -> Result<Text, Failure> {
    match finish {
        Finish::Succeeded(output) => Ok(output),
        Finish::Failed(text) => Err(Failure::ByWorker(text)),
    }
}

fn answer(request: Id, result: Result<Text, Failure>) -> Event {
    Event::inbound(match result {
        Ok(output) => What::OperationCompleted { request, output },
        Err(failure) => What::OperationFailed { request, failure },
    })
}
