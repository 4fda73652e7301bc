//! `TaskHubSidecarService`: one file per RPC or close family.
//!
//! Every method is a line here; it runs inside [`TaskHubService::answer`], which counts it. No spans, no maps, no
//! extra boxes on this path: a call costs what the transport costs.

mod abandon;
mod clean_entity_storage;
mod complete_activity_task;
mod complete_entity_task;
mod complete_orchestrator_task;
mod create_task_hub;
mod delete_task_hub;
mod get_entity;
mod get_instance;
mod get_work_items;
mod judging;
mod lifecycle;
mod list_instance_ids;
mod pages;
mod purge_instances;
mod query_entities;
mod query_instances;
mod raise_event;
mod restart_instance;
mod rewind_instance;
mod signal_entity;
mod skip_graceful;
mod start_instance;
mod stream_instance_history;
mod wait_for_instance;

use std::sync::Arc;

use longhaul_partition::{Clock, Randomness, WorkKind};
use longhaul_proto::sidecar::*;
use longhaul_proto::spliced::task_hub_sidecar_service_server::{
    TaskHubSidecarService, TaskHubSidecarServiceServer,
};
use longhaul_routing::Router;
use longhaul_types::{ExecutionId, HubId, HubName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use crate::config::Config;
use crate::history_chunks::HistoryChunks;
use crate::hubs::Hubs;
use crate::metadata;
use crate::meters::Meters;
use crate::rpc::Rpc;
use crate::status;
use crate::transport_refusals::Translated;
use crate::work_item::ForOthers;
use crate::worker_stream::WorkerStream;

use self::judging::Bench;

/// The service as a gRPC server takes it.
pub type Server = Translated<TaskHubSidecarServiceServer<TaskHubService>>;

/// What the service works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The way to every partition. The service judges and encodes for other nodes.
    pub router: Router,
    /// The task hubs.
    pub hubs: Arc<dyn Hubs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub randomness: Arc<dyn Randomness>,
    /// Cancelled when the server begins to shut down: parked callers and new worker streams are told to go elsewhere.
    /// Whoever cancels it calls [`longhaul_partition::Sessions::drain`] too.
    pub draining: CancellationToken,
    /// Settings, validated.
    pub config: Config,
}

/// The service over its dependencies, ready to be served.
#[must_use]
pub fn service(dependencies: Dependencies) -> Server {
    let message_bytes_max = dependencies.config.message_bytes_max;
    let bench = Bench {
        partitions: dependencies.router.partitions().clone(),
        clock: dependencies.clock.clone(),
        limits: dependencies.config.limits.clone(),
    };
    let judge = Arc::new(bench.clone());
    dependencies.router.appoint(judge, Arc::new(ForOthers));
    let service = TaskHubService {
        dependencies,
        bench,
        meters: Arc::new(Meters::register()),
    };
    Translated(
        TaskHubSidecarServiceServer::new(service)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(usize::MAX),
    )
}

/// Implements the RPCs.
pub struct TaskHubService {
    dependencies: Dependencies,
    bench: Bench,
    meters: Arc<Meters>,
}

impl TaskHubService {
    /// Runs one call and counts its outcome.
    async fn answer<T>(
        &self,
        rpc: Rpc,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        let began = Instant::now();
        let outcome = call.await;
        let code = outcome.as_ref().err().map_or(Code::Ok, Status::code);
        self.meters.answered(rpc, code, began.elapsed());
        match &outcome {
            Ok(_) => tracing::trace!(rpc = rpc.name(), "answered"),
            Err(status) => tracing::debug!(
                rpc = rpc.name(),
                code = status::code_name(code),
                reason = status.message(),
                "refused"
            ),
        }
        outcome.map(Response::new)
    }

    /// The task hub a call is about.
    async fn hub(&self, metadata: &MetadataMap) -> Result<HubId, Status> {
        match metadata::task_hub(metadata)? {
            Some(name) => self.number_of(&name).await,
            None => self.number_of(&self.dependencies.config.default_hub).await,
        }
    }

    async fn number_of(&self, name: &HubName) -> Result<HubId, Status> {
        let hubs = &self.dependencies.hubs;
        match hubs.resolve(name) {
            Ok(id) => Ok(id),
            Err(unknown) => match hubs.first_use(name.clone()).await? {
                Some(id) => Ok(id),
                None => Err(unknown.into()),
            },
        }
    }

    /// The same, with its name as the call has it.
    async fn named_hub(&self, metadata: &MetadataMap) -> Result<(HubName, HubId), Status> {
        let named = metadata::task_hub(metadata)?;
        let name = named.unwrap_or_else(|| self.dependencies.config.default_hub.clone());
        let id = self.number_of(&name).await?;
        Ok((name, id))
    }

    fn check_not_draining(&self) -> Result<(), Status> {
        if self.dependencies.draining.is_cancelled() {
            return Err(status::draining());
        }
        Ok(())
    }

    fn fresh_id(&self) -> ExecutionId {
        ExecutionId::from_random(self.random_bytes())
    }

    fn random_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.dependencies.randomness.fill(&mut bytes);
        bytes
    }
}

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TaskHubSidecarService for TaskHubService {
    type StreamInstanceHistoryStream = HistoryChunks;
    type GetWorkItemsStream = WorkerStream;

    async fn hello(&self, request: Request<()>) -> Answered<()> {
        self.answer(Rpc::Hello, async {
            self.hub(request.metadata()).await?;
            self.check_not_draining()
        })
        .await
    }

    async fn start_instance(
        &self,
        request: Request<CreateInstanceRequest>,
    ) -> Answered<CreateInstanceResponse> {
        self.answer(Rpc::StartInstance, start_instance::call(self, request))
            .await
    }

    async fn get_instance(
        &self,
        request: Request<GetInstanceRequest>,
    ) -> Answered<GetInstanceResponse> {
        self.answer(Rpc::GetInstance, get_instance::call(self, request))
            .await
    }

    async fn wait_for_instance_start(
        &self,
        request: Request<GetInstanceRequest>,
    ) -> Answered<GetInstanceResponse> {
        self.answer(
            Rpc::WaitForInstanceStart,
            wait_for_instance::start(self, request),
        )
        .await
    }

    async fn wait_for_instance_completion(
        &self,
        request: Request<GetInstanceRequest>,
    ) -> Answered<GetInstanceResponse> {
        self.answer(
            Rpc::WaitForInstanceCompletion,
            wait_for_instance::completion(self, request),
        )
        .await
    }

    async fn raise_event(
        &self,
        request: Request<RaiseEventRequest>,
    ) -> Answered<RaiseEventResponse> {
        self.answer(Rpc::RaiseEvent, raise_event::call(self, request))
            .await
    }

    async fn terminate_instance(
        &self,
        request: Request<TerminateRequest>,
    ) -> Answered<TerminateResponse> {
        self.answer(Rpc::TerminateInstance, lifecycle::terminate(self, request))
            .await
    }

    async fn suspend_instance(
        &self,
        request: Request<SuspendRequest>,
    ) -> Answered<SuspendResponse> {
        self.answer(Rpc::SuspendInstance, lifecycle::suspend(self, request))
            .await
    }

    async fn resume_instance(&self, request: Request<ResumeRequest>) -> Answered<ResumeResponse> {
        self.answer(Rpc::ResumeInstance, lifecycle::resume(self, request))
            .await
    }

    async fn restart_instance(
        &self,
        request: Request<RestartInstanceRequest>,
    ) -> Answered<RestartInstanceResponse> {
        self.answer(Rpc::RestartInstance, restart_instance::call(self, request))
            .await
    }

    async fn rewind_instance(
        &self,
        request: Request<RewindInstanceRequest>,
    ) -> Answered<RewindInstanceResponse> {
        self.answer(Rpc::RewindInstance, rewind_instance::call(self, request))
            .await
    }

    async fn query_instances(
        &self,
        request: Request<QueryInstancesRequest>,
    ) -> Answered<QueryInstancesResponse> {
        self.answer(Rpc::QueryInstances, query_instances::call(self, request))
            .await
    }

    async fn list_instance_ids(
        &self,
        request: Request<ListInstanceIdsRequest>,
    ) -> Answered<ListInstanceIdsResponse> {
        self.answer(Rpc::ListInstanceIds, list_instance_ids::call(self, request))
            .await
    }

    async fn purge_instances(
        &self,
        request: Request<PurgeInstancesRequest>,
    ) -> Answered<PurgeInstancesResponse> {
        self.answer(Rpc::PurgeInstances, purge_instances::call(self, request))
            .await
    }

    async fn stream_instance_history(
        &self,
        request: Request<StreamInstanceHistoryRequest>,
    ) -> Answered<Self::StreamInstanceHistoryStream> {
        self.answer(
            Rpc::StreamInstanceHistory,
            stream_instance_history::call(self, request),
        )
        .await
    }

    async fn skip_graceful_orchestration_terminations(
        &self,
        request: Request<SkipGracefulOrchestrationTerminationsRequest>,
    ) -> Answered<SkipGracefulOrchestrationTerminationsResponse> {
        self.answer(
            Rpc::SkipGracefulOrchestrationTerminations,
            skip_graceful::call(self, request),
        )
        .await
    }

    async fn get_work_items(
        &self,
        request: Request<GetWorkItemsRequest>,
    ) -> Answered<Self::GetWorkItemsStream> {
        self.answer(Rpc::GetWorkItems, get_work_items::call(self, request))
            .await
    }

    async fn complete_activity_task(
        &self,
        request: Request<ActivityResponse>,
    ) -> Answered<CompleteTaskResponse> {
        self.answer(
            Rpc::CompleteActivityTask,
            complete_activity_task::call(self, request),
        )
        .await
    }

    async fn complete_orchestrator_task(
        &self,
        request: Request<OrchestratorResponse>,
    ) -> Answered<CompleteTaskResponse> {
        self.answer(
            Rpc::CompleteOrchestratorTask,
            complete_orchestrator_task::call(self, request),
        )
        .await
    }

    async fn complete_entity_task(
        &self,
        request: Request<EntityBatchResult>,
    ) -> Answered<CompleteTaskResponse> {
        self.answer(
            Rpc::CompleteEntityTask,
            complete_entity_task::call(self, request),
        )
        .await
    }

    async fn abandon_task_activity_work_item(
        &self,
        request: Request<AbandonActivityTaskRequest>,
    ) -> Answered<AbandonActivityTaskResponse> {
        self.answer(Rpc::AbandonTaskActivityWorkItem, async {
            abandon::call(
                self,
                request.metadata(),
                WorkKind::Activity,
                &request.get_ref().completion_token,
                request.get_ref(),
            )
            .await?;
            Ok(AbandonActivityTaskResponse {})
        })
        .await
    }

    async fn abandon_task_orchestrator_work_item(
        &self,
        request: Request<AbandonOrchestrationTaskRequest>,
    ) -> Answered<AbandonOrchestrationTaskResponse> {
        self.answer(Rpc::AbandonTaskOrchestratorWorkItem, async {
            abandon::call(
                self,
                request.metadata(),
                WorkKind::Orchestration,
                &request.get_ref().completion_token,
                request.get_ref(),
            )
            .await?;
            Ok(AbandonOrchestrationTaskResponse {})
        })
        .await
    }

    async fn abandon_task_entity_work_item(
        &self,
        request: Request<AbandonEntityTaskRequest>,
    ) -> Answered<AbandonEntityTaskResponse> {
        self.answer(Rpc::AbandonTaskEntityWorkItem, async {
            abandon::call(
                self,
                request.metadata(),
                WorkKind::Entity,
                &request.get_ref().completion_token,
                request.get_ref(),
            )
            .await?;
            Ok(AbandonEntityTaskResponse {})
        })
        .await
    }

    async fn signal_entity(
        &self,
        request: Request<SignalEntityRequest>,
    ) -> Answered<SignalEntityResponse> {
        self.answer(Rpc::SignalEntity, signal_entity::call(self, request))
            .await
    }

    async fn get_entity(&self, request: Request<GetEntityRequest>) -> Answered<GetEntityResponse> {
        self.answer(Rpc::GetEntity, get_entity::call(self, request))
            .await
    }

    async fn query_entities(
        &self,
        request: Request<QueryEntitiesRequest>,
    ) -> Answered<QueryEntitiesResponse> {
        self.answer(Rpc::QueryEntities, query_entities::call(self, request))
            .await
    }

    async fn clean_entity_storage(
        &self,
        request: Request<CleanEntityStorageRequest>,
    ) -> Answered<CleanEntityStorageResponse> {
        self.answer(
            Rpc::CleanEntityStorage,
            clean_entity_storage::call(self, &request),
        )
        .await
    }

    async fn create_task_hub(
        &self,
        request: Request<CreateTaskHubRequest>,
    ) -> Answered<CreateTaskHubResponse> {
        self.answer(Rpc::CreateTaskHub, create_task_hub::call(self, request))
            .await
    }

    async fn delete_task_hub(
        &self,
        request: Request<DeleteTaskHubRequest>,
    ) -> Answered<DeleteTaskHubResponse> {
        self.answer(Rpc::DeleteTaskHub, delete_task_hub::call(self, request))
            .await
    }
}

#[cfg(test)]
mod tests;
