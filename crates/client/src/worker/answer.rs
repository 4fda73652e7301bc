//! From one work item to its answer.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::AtomicU64},
};

use futures::FutureExt;
use longhaul_proto::sidecar::{
    ActivityRequest, ActivityResponse, EntityRequest, OrchestratorRequest, OrchestratorResponse,
    TaskFailureDetails, WorkItem, work_item::Request,
};

use super::{
    History, actions,
    activity::{Activity, ActivityCall},
    backoff::Backoff,
    entity,
    orchestrator::decide,
    registry::Registry,
    totals::{Counters, add, add_one},
    turn::Turn,
};
use crate::{call_error::CallError, client::Client};

/// A completion that fails this often in a row is given up; the server delivers the work item again.
const ATTEMPTS_MAX: u32 = 10;

/// What every job of a worker shares.
#[derive(Debug)]
pub(super) struct Answerer {
    pub(super) client: Client,
    pub(super) registry: Registry,
    pub(super) history: History,
    pub(super) totals: Arc<Counters>,
}

/// Why a work item goes back to the server unanswered; its details matter to nobody.
struct Unanswered;

impl From<CallError> for Unanswered {
    fn from(_: CallError) -> Self {
        Self
    }
}

impl Answerer {
    /// Answers one work item, or gives it back. A server that ignores filters may send anything.
    pub(super) async fn answer(&self, item: WorkItem) {
        let (client, token) = (&self.client, item.completion_token);
        match item.request {
            Some(Request::OrchestratorRequest(request)) => {
                let answered = self.answer_orchestration(request, token.clone()).await;
                let abandon = client.abandon_orchestration(token);
                self.settle(answered, &self.totals.turns, abandon).await;
            }
            Some(Request::ActivityRequest(request)) => {
                let answered = self.answer_activity(request, token.clone()).await;
                let abandon = client.abandon_activity(token);
                self.settle(answered, &self.totals.activities, abandon)
                    .await;
            }
            Some(Request::EntityRequestV2(request)) => {
                let answered = self.answer_entity(request, token.clone()).await;
                let abandon = client.abandon_entity(token);
                self.settle(answered, &self.totals.batches, abandon).await;
            }
            Some(Request::EntityRequest(_)) => {
                let abandon = client.abandon_entity(token);
                self.settle(Err(Unanswered), &self.totals.unanswered, abandon)
                    .await;
            }
            Some(Request::HealthPing(_)) | None => {}
        }
    }

    async fn settle(
        &self,
        answered: Result<(), Unanswered>,
        counter: &AtomicU64,
        abandon: impl Future<Output = Result<(), CallError>>,
    ) {
        if answered.is_ok() {
            return add_one(counter);
        }
        add_one(&self.totals.unanswered);
        // If giving it back fails too, the end of the stream does it.
        let _ = abandon.await;
    }

    async fn answer_orchestration(
        &self,
        request: OrchestratorRequest,
        completion_token: String,
    ) -> Result<(), Unanswered> {
        let OrchestratorRequest {
            instance_id,
            execution_id,
            ..
        } = request;
        let past = match (request.requires_history_streaming, self.history) {
            (false, _) => request.past_events,
            (true, History::Unneeded) => {
                add_one(&self.totals.without_history);
                Vec::new()
            }
            (true, _) => {
                self.client
                    .work_item_history(&instance_id, execution_id)
                    .await?
            }
        };
        let turn = Turn {
            instance_id: &instance_id,
            past: &past,
            new: &request.new_events,
        };
        let orchestrator = match (turn.started(), self.history) {
            (Some(started), _) => self.registry.find_orchestrator(&started.name),
            (None, History::Unneeded) => self.registry.only_orchestrator(),
            (None, _) => None,
        };
        let orchestrator = orchestrator.ok_or(Unanswered)?;
        let actions = decide(orchestrator, &turn);
        let response = OrchestratorResponse {
            instance_id,
            actions,
            completion_token,
            ..OrchestratorResponse::default()
        };
        Ok(retried(|| self.client.complete_orchestration(response.clone())).await?)
    }

    async fn answer_activity(
        &self,
        request: ActivityRequest,
        completion_token: String,
    ) -> Result<(), Unanswered> {
        let activity = self
            .registry
            .find_activity(&request.name)
            .ok_or(Unanswered)?;
        let instance_id = request
            .orchestration_instance
            .unwrap_or_default()
            .instance_id;
        let mut response = ActivityResponse {
            instance_id: instance_id.clone(),
            task_id: request.task_id,
            completion_token,
            ..ActivityResponse::default()
        };
        let call = ActivityCall {
            instance_id,
            task_id: request.task_id,
            name: request.name,
            input: request.input,
        };
        match call_guarded(activity, call).await {
            Ok(result) => response.result = result,
            Err(failure) => response.failure_details = Some(failure),
        }
        Ok(retried(|| self.client.complete_activity(response.clone())).await?)
    }

    async fn answer_entity(
        &self,
        request: EntityRequest,
        completion_token: String,
    ) -> Result<(), Unanswered> {
        let name = entity::name_of(&request.instance_id).ok_or(Unanswered)?;
        let entity = self.registry.find_entity(&name).ok_or(Unanswered)?;
        let batch = entity::run_batch(entity, &request, completion_token).ok_or(Unanswered)?;
        retried(|| self.client.complete_entity(batch.clone())).await?;
        add(&self.totals.operations, batch.results.len() as u64);
        Ok(())
    }
}

/// Calls the activity; a panic is a failure as any other.
async fn call_guarded(
    activity: &dyn Activity,
    call: ActivityCall,
) -> Result<Option<String>, TaskFailureDetails> {
    let outcome = AssertUnwindSafe(activity.call(call)).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(actions::failure("Panic", "the activity panicked")))
}

/// Repeats a call that failed for a passing reason.
///
/// Completions name their delivery, so a repeat is harmless.
async fn retried<R>(call: impl Fn() -> R) -> Result<(), CallError>
where
    R: Future<Output = Result<(), CallError>>,
{
    let mut backoff = Backoff::new();
    let mut attempt = 1;
    loop {
        match call().await {
            Err(failure) if failure.is_transient() && attempt < ATTEMPTS_MAX => {
                attempt += 1;
                tokio::time::sleep(backoff.next()).await;
            }
            outcome => return outcome,
        }
    }
}
