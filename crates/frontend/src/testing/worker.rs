//! A worker that answers as it is told.

use std::time::Duration;

use longhaul_proto::sidecar::orchestrator_action::OrchestratorActionType as Kind;
use longhaul_proto::sidecar::work_item::Request;
use longhaul_proto::sidecar::{
    AbandonOrchestrationTaskRequest, ActivityRequest, ActivityResponse,
    CompleteOrchestrationAction, CreateSubOrchestrationAction, EntityBatchResult, EntityRequest,
    GetWorkItemsRequest, OrchestrationStatus, OrchestratorAction, OrchestratorRequest,
    OrchestratorResponse, ScheduleTaskAction, TaskFailureDetails, WorkItem,
};
use tonic::Streaming;

use super::Client;

/// Far longer than any item takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker stream, and the client its answers go through.
pub(crate) struct Worker {
    client: Client,
    items: Streaming<WorkItem>,
}

impl Worker {
    pub(crate) async fn connect(mut client: Client) -> Self {
        let opened = client.get_work_items(GetWorkItemsRequest::default()).await;
        let items = opened.expect("opened").into_inner();
        Self { client, items }
    }

    /// The next item that is no ping, with its token.
    async fn next(&mut self) -> (Request, String) {
        loop {
            let item = tokio::time::timeout(PATIENCE, self.items.message()).await;
            let item = item.expect("in time").expect("no error").expect("goes on");
            match item.request {
                Some(Request::HealthPing(_)) | None => {}
                Some(request) => return (request, item.completion_token),
            }
        }
    }

    /// Takes one turn of any instance; `decide` says what it does.
    pub(crate) async fn turn(
        &mut self,
        decide: impl FnOnce(&OrchestratorRequest) -> Vec<OrchestratorAction>,
    ) {
        let (request, completion_token) = self.next().await;
        let Request::OrchestratorRequest(turn) = request else {
            panic!("not a turn: {request:?}")
        };
        let answer = OrchestratorResponse {
            instance_id: turn.instance_id.clone(),
            actions: decide(&turn),
            completion_token,
            ..Default::default()
        };
        let answered = self.client.complete_orchestrator_task(answer).await;
        answered.expect("committed");
    }

    /// Takes one turn of any instance and answers in parts.
    #[expect(
        deprecated,
        reason = "the .NET and Java SDKs still send answers in parts"
    )]
    pub(crate) async fn turn_in_parts(&mut self, parts: Vec<Vec<OrchestratorAction>>) {
        let (request, completion_token) = self.next().await;
        let Request::OrchestratorRequest(turn) = request else {
            panic!("not a turn: {request:?}")
        };
        let last = parts.len() - 1;
        for (index, actions) in parts.into_iter().enumerate() {
            let part = OrchestratorResponse {
                instance_id: turn.instance_id.clone(),
                actions,
                completion_token: completion_token.clone(),
                is_partial: index < last,
                chunk_index: i32::try_from(index).ok(),
                ..Default::default()
            };
            let answered = self.client.complete_orchestrator_task(part).await;
            answered.expect("taken");
        }
    }

    /// Runs one activity of any instance.
    pub(crate) async fn activity(&mut self, run: impl FnOnce(&ActivityRequest) -> String) {
        let (request, completion_token) = self.next().await;
        let Request::ActivityRequest(activity) = request else {
            panic!("not an activity: {request:?}")
        };
        let instance = activity.orchestration_instance.clone();
        let answer = ActivityResponse {
            instance_id: instance.expect("of an instance").instance_id,
            task_id: activity.task_id,
            result: Some(run(&activity)),
            completion_token,
            ..Default::default()
        };
        let answered = self.client.complete_activity_task(answer).await;
        answered.expect("committed");
    }

    /// Takes one turn of any instance and asks for all of its history.
    pub(crate) async fn forget_history(&mut self) {
        let (request, completion_token) = self.next().await;
        assert!(matches!(request, Request::OrchestratorRequest(_)));
        let plea = OrchestratorResponse {
            requires_history: true,
            completion_token,
            ..Default::default()
        };
        let answered = self.client.complete_orchestrator_task(plea).await;
        answered.expect("taken");
    }

    /// Gives one turn of any instance back.
    pub(crate) async fn abandon_turn(&mut self) {
        let (request, completion_token) = self.next().await;
        assert!(matches!(request, Request::OrchestratorRequest(_)));
        let abandoned = AbandonOrchestrationTaskRequest { completion_token };
        let answered = self
            .client
            .abandon_task_orchestrator_work_item(abandoned)
            .await;
        answered.expect("taken");
    }

    /// Runs one batch of any entity.
    pub(crate) async fn batch(&mut self, run: impl FnOnce(&EntityRequest) -> EntityBatchResult) {
        let (request, completion_token) = self.next().await;
        let Request::EntityRequestV2(batch) = request else {
            panic!("not a batch: {request:?}")
        };
        let answer = EntityBatchResult {
            completion_token,
            ..run(&batch)
        };
        let answered = self.client.complete_entity_task(answer).await;
        answered.expect("committed");
    }
}

fn act(id: i32, kind: Kind) -> OrchestratorAction {
    OrchestratorAction {
        id,
        orchestrator_action_type: Some(kind),
    }
}

pub(crate) fn completes(result: &str) -> OrchestratorAction {
    ends(CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Completed as i32,
        result: Some(result.to_owned()),
        ..Default::default()
    })
}

pub(crate) fn fails(error_type: &str) -> OrchestratorAction {
    ends(CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Failed as i32,
        failure_details: Some(TaskFailureDetails {
            error_type: error_type.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn ends(complete: CompleteOrchestrationAction) -> OrchestratorAction {
    act(100, Kind::CompleteOrchestration(complete))
}

pub(crate) fn schedules(id: i32, name: &str) -> OrchestratorAction {
    act(
        id,
        Kind::ScheduleTask(ScheduleTaskAction {
            name: name.to_owned(),
            ..Default::default()
        }),
    )
}

pub(crate) fn starts_child(id: i32, instance_id: &str) -> OrchestratorAction {
    act(
        id,
        Kind::CreateSubOrchestration(CreateSubOrchestrationAction {
            instance_id: instance_id.to_owned(),
            name: "Child".to_owned(),
            ..Default::default()
        }),
    )
}
