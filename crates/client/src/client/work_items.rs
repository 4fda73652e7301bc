//! Calls of a worker: receive work items and answer them.

use longhaul_proto::sidecar::{
    AbandonActivityTaskRequest, AbandonEntityTaskRequest, AbandonOrchestrationTaskRequest,
    ActivityResponse, EntityBatchResult, GetWorkItemsRequest, HistoryEvent, OrchestratorResponse,
    StreamInstanceHistoryRequest, WorkItem,
};
use tonic::Streaming;

use super::Client;
use crate::call_error::CallError;

impl Client {
    /// Opens a stream of work items. Whatever was delivered on it and not answered is delivered anew when it ends.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown task hub.
    pub async fn work_items(
        &self,
        request: GetWorkItemsRequest,
    ) -> Result<WorkItemStream, CallError> {
        let (mut stub, request) = self.call(request);
        let reply = stub
            .get_work_items(request)
            .await
            .map_err(|status| CallError::new("GetWorkItems", status))?;
        Ok(WorkItemStream(reply.into_inner()))
    }

    /// Answers an orchestration work item. A stale token is no error.
    ///
    /// # Errors
    /// As any call; a repeat is harmless.
    pub async fn complete_orchestration(
        &self,
        response: OrchestratorResponse,
    ) -> Result<(), CallError> {
        let (mut stub, request) = self.call(response);
        stub.complete_orchestrator_task(request)
            .await
            .map_err(|status| CallError::new("CompleteOrchestratorTask", status))?;
        Ok(())
    }

    /// Answers an activity work item. A stale token is no error.
    ///
    /// # Errors
    /// As any call; a repeat is harmless.
    pub async fn complete_activity(&self, response: ActivityResponse) -> Result<(), CallError> {
        let (mut stub, request) = self.call(response);
        stub.complete_activity_task(request)
            .await
            .map_err(|status| CallError::new("CompleteActivityTask", status))?;
        Ok(())
    }

    /// Answers an entity work item. A stale token is no error.
    ///
    /// # Errors
    /// As any call; a repeat is harmless.
    pub async fn complete_entity(&self, result: EntityBatchResult) -> Result<(), CallError> {
        let (mut stub, request) = self.call(result);
        stub.complete_entity_task(request)
            .await
            .map_err(|status| CallError::new("CompleteEntityTask", status))?;
        Ok(())
    }

    /// Gives an orchestration work item back, to be delivered again later.
    ///
    /// # Errors
    /// As any call.
    pub async fn abandon_orchestration(&self, completion_token: String) -> Result<(), CallError> {
        let (mut stub, request) = self.call(AbandonOrchestrationTaskRequest { completion_token });
        stub.abandon_task_orchestrator_work_item(request)
            .await
            .map_err(|status| CallError::new("AbandonTaskOrchestratorWorkItem", status))?;
        Ok(())
    }

    /// Gives an activity work item back, to be delivered again later.
    ///
    /// # Errors
    /// As any call.
    pub async fn abandon_activity(&self, completion_token: String) -> Result<(), CallError> {
        let (mut stub, request) = self.call(AbandonActivityTaskRequest { completion_token });
        stub.abandon_task_activity_work_item(request)
            .await
            .map_err(|status| CallError::new("AbandonTaskActivityWorkItem", status))?;
        Ok(())
    }

    /// Gives an entity work item back, to be delivered again later.
    ///
    /// # Errors
    /// As any call.
    pub async fn abandon_entity(&self, completion_token: String) -> Result<(), CallError> {
        let (mut stub, request) = self.call(AbandonEntityTaskRequest { completion_token });
        stub.abandon_task_entity_work_item(request)
            .await
            .map_err(|status| CallError::new("AbandonTaskEntityWorkItem", status))?;
        Ok(())
    }

    /// The past events of an orchestration work item that came without them.
    ///
    /// # Errors
    /// `NOT_FOUND` if the instance is gone.
    pub async fn work_item_history(
        &self,
        instance_id: &str,
        execution_id: Option<String>,
    ) -> Result<Vec<HistoryEvent>, CallError> {
        let failed = |status| CallError::new("StreamInstanceHistory", status);
        let (mut stub, request) = self.call(StreamInstanceHistoryRequest {
            instance_id: instance_id.to_owned(),
            execution_id,
            for_work_item_processing: true,
        });
        let mut chunks = stub
            .stream_instance_history(request)
            .await
            .map_err(failed)?
            .into_inner();
        let mut history = Vec::new();
        while let Some(chunk) = chunks.message().await.map_err(failed)? {
            history.extend(chunk.events);
        }
        Ok(history)
    }
}

/// The work items of one `GetWorkItems` call.
#[derive(Debug)]
pub struct WorkItemStream(Streaming<WorkItem>);

impl WorkItemStream {
    /// The next work item or health ping; `None` when the server ends the stream.
    ///
    /// # Errors
    /// The status the stream ended with.
    pub async fn next(&mut self) -> Result<Option<WorkItem>, CallError> {
        self.0
            .message()
            .await
            .map_err(|status| CallError::new("GetWorkItems", status))
    }
}
