//! Batches of entity operations: run whole, in part, more than once, or not at all.

use longhaul_engine::batch::{BatchAnswer, OperationResult};
use longhaul_engine::history::event::failure_details;
use longhaul_partition::{AbandonDelay, WorkKind};

use super::desk::{Delivery, HandedBatch, Saying};
use super::{Manner, Worker};
use crate::entities::{self, Outcome};
use crate::moment::{Moment, Setback};
use crate::sabotage::Sabotage;

impl Worker {
    pub(super) async fn operate(mut self, delivery: Delivery, token: String, handed: HandedBatch) {
        let HandedBatch {
            entity,
            state,
            mut operations,
            ..
        } = handed;
        let manner = self.manner();
        self.think().await;
        match manner {
            Manner::GivesBack(AbandonDelay::None) => {
                return self.cannot_run(delivery, &token).await;
            }
            Manner::GivesBack(delay) => {
                return self
                    .give_back(delivery, WorkKind::Entity, &token, delay)
                    .await;
            }
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
        let number = delivery.number;
        let outcome = entities::run(&entity, state.as_deref(), &operations, number, || {
            self.dice.percent(trouble)
        });
        let done = Moment::BatchDone {
            delivery: number,
            state: outcome.state.clone(),
            results: outcome.results.clone(),
        };
        self.note(delivery, done);
        self.send_outcome(delivery, &token, &outcome).await;
        if manner == Manner::Twice {
            self.world.note(Moment::Setback(Setback::Repeated));
            self.think().await;
            self.send_outcome(delivery, &token, &outcome).await;
        }
    }

    async fn send_outcome(&mut self, delivery: Delivery, token: &str, outcome: &Outcome) {
        let answer = answer(outcome, self.world.sabotage());
        self.say(delivery, token, WorkKind::Entity, Saying::Batch(answer))
            .await;
    }

    /// Says that the batch could not be run at all; the state that comes with that is nobody's.
    async fn cannot_run(&mut self, delivery: Delivery, token: &str) {
        self.world.note(Moment::Setback(Setback::BatchFailed));
        let answer = BatchAnswer {
            failure: Some(failure_details("Simulated", "the worker is out of order")),
            ..BatchAnswer::default()
        };
        self.say(delivery, token, WorkKind::Entity, Saying::CannotRun(answer))
            .await;
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
