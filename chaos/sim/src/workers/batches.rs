//! Batches of entity operations: run whole, in part, more than once, or not at all.

use longhaul_engine::batch::{Batch, BatchAnswer, OperationResult};
use longhaul_engine::history::event::failure_details;
use longhaul_partition::{AbandonDelay, WorkKind};

use super::{Manner, Worker};
use crate::entities::{self, Outcome};
use crate::history::{self, Operation, What};
use crate::moment::{Moment, Setback};
use crate::sabotage::Sabotage;

impl Worker {
    /// Takes a batch that was just handed out.
    pub(super) fn take_batch(
        self,
        delivery: u64,
        token: String,
        batch: &Batch,
    ) -> Result<(), String> {
        let events = batch.events.iter().cloned();
        let operations: Result<Vec<Operation>, String> = events
            .map(|event| match history::decode(event)?.what {
                What::Operation(operation) => Ok(operation),
                other => Err(format!("a batch holds {other:?}")),
            })
            .collect();
        let operations = operations?;
        let entity = batch.context.key.id.to_string();
        let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
        let state = batch.state.as_ref().map(text);
        self.world.note(Moment::BatchOut {
            delivery,
            entity: entity.clone(),
            batch: batch.context.execution.to_string(),
            state: state.clone(),
            operations: operations.clone(),
        });
        tokio::spawn(self.operate(delivery, token, entity, state, operations));
        Ok(())
    }

    async fn operate(
        mut self,
        delivery: u64,
        token: String,
        entity: String,
        state: Option<String>,
        mut operations: Vec<Operation>,
    ) {
        let manner = self.manner();
        self.think().await;
        match manner {
            Manner::GivesBack(AbandonDelay::None) => return self.cannot_run(&token).await,
            Manner::GivesBack(delay) => return self.give_back(WorkKind::Entity, &token, delay),
            Manner::Forgets => {
                self.world.note(Moment::Setback(Setback::BatchForgotten));
                return self.forget();
            }
            Manner::InParts if operations.len() > 1 => {
                self.world.note(Moment::Setback(Setback::BatchInPart));
                let some = self.dice.between(1, operations.len() as u64 - 1);
                operations.truncate(usize::try_from(some).expect("few"));
            }
            Manner::Properly | Manner::Twice | Manner::InParts => {}
        }
        let trouble = match self.world.healed() {
            true => 0,
            false => self.world.plan().trouble,
        };
        let outcome = entities::run(&entity, state.as_deref(), &operations, delivery, || {
            self.dice.percent(trouble)
        });
        self.world.note(Moment::BatchDone {
            delivery,
            state: outcome.state.clone(),
            results: outcome.results.clone(),
        });
        self.send_outcome(delivery, &token, &outcome).await;
        if manner == Manner::Twice {
            self.world.note(Moment::Setback(Setback::Repeated));
            self.think().await;
            self.send_outcome(delivery, &token, &outcome).await;
        }
    }

    async fn send_outcome(&mut self, delivery: u64, token: &str, outcome: &Outcome) {
        let sabotage = self.world.sabotage();
        loop {
            let (partition, lease) = self.delivery(WorkKind::Entity, token);
            let Some(lease) = partition.batch_lease(lease) else {
                return self.world.note(Moment::Setback(Setback::BatchStale));
            };
            let answer = answer(outcome, sabotage);
            if sabotage == Sabotage::LostBatch {
                drop(partition.complete_batch(lease, answer));
                return self.world.note(Moment::BatchTaken { delivery });
            }
            match partition.complete_batch(lease, answer).await {
                Ok(()) => return self.world.note(Moment::BatchTaken { delivery }),
                Err(error) => self.try_again(&error).await,
            }
        }
    }

    /// Says that the batch could not be run at all; the state that comes with that is nobody's.
    async fn cannot_run(&self, token: &str) {
        self.world.note(Moment::Setback(Setback::BatchFailed));
        let (partition, lease) = self.delivery(WorkKind::Entity, token);
        if let Some(lease) = partition.batch_lease(lease) {
            let answer = BatchAnswer {
                failure: Some(failure_details("Simulated", "the worker is out of order")),
                ..BatchAnswer::default()
            };
            // Without an outcome the batch is lost with the stream, at the latest.
            drop(partition.complete_batch(lease, answer).await);
        }
    }
}

fn answer(outcome: &Outcome, sabotage: Sabotage) -> BatchAnswer {
    let result = |result: &Option<String>| match result {
        Some(result) if sabotage == Sabotage::WrongAnswer => {
            OperationResult::Completed(Some(format!("{result}0").into()))
        }
        Some(result) => OperationResult::Completed(Some(result.clone().into())),
        None => OperationResult::Failed(failure_details("Simulated", "as the dice wanted it")),
    };
    BatchAnswer {
        results: outcome.results.iter().map(result).collect(),
        state: outcome.state.clone().map(Into::into),
        actions: outcome.actions.clone(),
        failure: None,
        requires_state: false,
    }
}
