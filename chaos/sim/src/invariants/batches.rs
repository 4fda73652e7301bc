//! The state of an entity changes only by answers of workers, one batch after another: whatever is shown is what a
//! worker made of the state before. A batch that was taken is over; operations that it left undone come next.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

use super::Invariant;
use crate::history::Operation;
use crate::moment::{Answer, Moment, Request};
use crate::plan::Plan;

pub(super) struct Batches {
    /// Calls that had no answer are over when the next one has one.
    alone: bool,
    entities: BTreeMap<String, Entity>,
    /// The entity and the batch of each delivery.
    deliveries: BTreeMap<u64, (String, String)>,
    /// Entities that a client wants purged, and how many such calls are on their way.
    purging: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Entity {
    /// The batch that was handed out last, and the state that came with it.
    batch: String,
    before: Option<String>,
    /// All its operations that were handed out.
    operations: Vec<Operation>,
    /// Answers to it: the state, and of how many operations.
    answers: Vec<(Option<String>, usize)>,
    /// It was taken.
    over: bool,
    /// The state after it, once somebody has seen that.
    after: Option<Option<String>>,
    /// The entity may have been purged since the batch was handed out.
    purged: bool,
}

impl Batches {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            alone: plan.alone,
            entities: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            purging: BTreeMap::new(),
        }
    }
}

impl Entity {
    /// The state has been seen after the batch was handed out.
    fn seen(&mut self, state: Option<&str>) -> Result<(), String> {
        let shown = state.map(str::to_owned);
        if !self.over && self.after.is_none() && shown == self.before {
            return Ok(());
        }
        let known = self.after.as_ref().is_none_or(|after| *after == shown);
        let answered = self.answers.iter().any(|(state, _)| *state == shown);
        if self.purged && shown.is_none() || known && answered {
            self.after = Some(shown);
            return Ok(());
        }
        // Nothing was handed out yet.
        if self.batch.is_empty() && shown.is_none() {
            return Ok(());
        }
        Err(format!(
            "state {shown:?} after batch {} with {:?}, taken: {}, seen: {:?}, answered: {:?}",
            self.batch, self.before, self.over, self.after, self.answers
        ))
    }

    fn handed_out_again(
        &mut self,
        state: Option<&str>,
        operations: &[Operation],
    ) -> Result<(), String> {
        if self.over || self.after.is_some() {
            return Err(format!("batch {} is over", self.batch));
        }
        if self.before.as_deref() != state {
            return Err(format!("batch {} with another state", self.batch));
        }
        let shorter = self.operations.len().min(operations.len());
        if !are_same(&self.operations[..shorter], &operations[..shorter]) {
            return Err(format!(
                "batch {} has other operations than {:?}",
                self.batch, self.operations
            ));
        }
        if operations.len() > self.operations.len() {
            self.operations = operations.to_vec();
        }
        Ok(())
    }

    /// A next batch begins with what the last one left undone.
    fn followed_by(&self, state: Option<&str>, operations: &[Operation]) -> Result<(), String> {
        let of_answer = self
            .answers
            .iter()
            .filter(|(after, _)| after.as_deref() == state)
            .map(|(_, done)| *done);
        // Answers that leave the same state behind have done the same, but for what failed.
        let mut left = of_answer.map(|done| &self.operations[done..]);
        let fits = left.any(|left| operations.len() >= left.len() && are_same(left, operations));
        if self.purged || self.answers.is_empty() || fits {
            return Ok(());
        }
        Err(format!(
            "after a batch of {:?} and the answers {:?} comes {operations:?}",
            self.operations, self.answers
        ))
    }
}

/// Whether the one begins as the other.
fn are_same(some: &[Operation], others: &[Operation]) -> bool {
    let mut pairs = some.iter().zip(others);
    pairs.all(|(one, other)| one.is_same_request(other))
}

impl Invariant for Batches {
    fn name(&self) -> &'static str {
        "states of entities change by committed batches"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::BatchOut {
                delivery,
                entity: id,
                batch,
                state,
                operations,
            } => {
                let names = (id.clone(), batch.clone());
                self.deliveries.insert(*delivery, names);
                let entity = self.entities.entry(id.clone()).or_default();
                if entity.batch == *batch {
                    let again = entity.handed_out_again(state.as_deref(), operations);
                    return again.map_err(|problem| format!("{id}: {problem}"));
                }
                entity.over = true;
                let follows = entity
                    .seen(state.as_deref())
                    .and_then(|()| entity.followed_by(state.as_deref(), operations));
                follows.map_err(|problem| format!("{id}: {problem}"))?;
                *entity = Entity {
                    batch: batch.clone(),
                    before: state.clone(),
                    operations: operations.clone(),
                    purged: self.purging.contains_key(id),
                    ..Entity::default()
                };
                Ok(())
            }
            Moment::BatchDone {
                delivery,
                state,
                results,
            } => {
                let (id, batch) = &self.deliveries[delivery];
                let entity = self.entities.get_mut(id).expect("handed out");
                if entity.batch == *batch {
                    entity.answers.push((state.clone(), results.len()));
                }
                Ok(())
            }
            Moment::BatchTaken { delivery } => {
                let (id, batch) = &self.deliveries[delivery];
                let entity = self.entities.get_mut(id).expect("handed out");
                entity.over |= entity.batch == *batch;
                Ok(())
            }
            Moment::Asked {
                request: Request::Purge { instance },
                ..
            } => {
                *self.purging.entry(instance.clone()).or_default() += 1;
                if let Some(entity) = self.entities.get_mut(instance) {
                    entity.purged = true;
                }
                Ok(())
            }
            Moment::Answered {
                request: Request::Purge { instance },
                answer: Answer::Done | Answer::NotFound,
                ..
            } => {
                let left = self.purging.remove(instance).unwrap_or(1) - 1;
                if left > 0 && !self.alone {
                    self.purging.insert(instance.clone(), left);
                }
                Ok(())
            }
            Moment::EntitySeen { entity: id, view } => {
                let entity = self.entities.entry(id.clone()).or_default();
                let state = view.as_ref().and_then(|view| view.state.as_deref());
                let seen = entity.seen(state);
                seen.map_err(|problem| format!("{id}: {problem}"))
            }
            _ => Ok(()),
        }
    }
}
