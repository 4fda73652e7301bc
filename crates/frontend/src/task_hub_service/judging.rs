//! Workers' answers are judged by the node that holds the delivery: this one, or the one that leads the partition.
//!
//! ```text
//!   worker ─► call ─┬─ led here ──────────────────────────────────────────► judge ─► Partition
//!                   └─ led elsewhere ─► Home::answer ═► that node's Judge ──┘
//! ```

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_partition::{Clock, LeaseId, Partition, Partitions, ProposeError, WorkKind};
use longhaul_proto::sidecar::{
    AbandonActivityTaskRequest, AbandonEntityTaskRequest, AbandonOrchestrationTaskRequest,
    ActivityResponse, EntityBatchResult, OrchestratorResponse,
};
use longhaul_routing::{AnswerKind, Home, Judge, WorkerAnswer};
use longhaul_types::HubId;
use prost::Message;
use tonic::Status;

use super::{abandon, complete_activity_task, complete_entity_task, complete_orchestrator_task};
use crate::limits::Limits;
use crate::status::{self, Repeat};

/// What it takes to judge.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) partitions: Partitions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
}

impl Bench {
    fn delivery(&self, hub: HubId, kind: WorkKind, token: &str) -> Option<LeaseId> {
        let (_, delivery) = self.partitions.open_token(hub, kind, token)?;
        Some(delivery)
    }

    /// Judges what another node has looked at already. A token that is none of ours is fine: nothing was ever out under it.
    async fn forwarded(
        self,
        partition: Partition,
        answer: WorkerAnswer,
    ) -> Result<(), ProposeError> {
        let WorkerAnswer { hub, kind, message } = answer;
        match kind {
            AnswerKind::Turn => {
                let response: OrchestratorResponse = decode(message)?;
                let token = response.completion_token.as_str();
                let delivery = self.delivery(hub, WorkKind::Orchestration, token);
                if delivery.is_some() || token.is_empty() {
                    complete_orchestrator_task::judge(&self, &partition, hub, delivery, response)
                        .await?;
                }
            }
            AnswerKind::Activity => {
                let response: ActivityResponse = decode(message)?;
                let token = response.completion_token.as_str();
                let delivery = self.delivery(hub, WorkKind::Activity, token);
                if delivery.is_some() || token.is_empty() {
                    complete_activity_task::judge(&self, &partition, hub, delivery, response)
                        .await?;
                }
            }
            AnswerKind::Batch => {
                let result: EntityBatchResult = decode(message)?;
                let token = result.completion_token.as_str();
                if let Some(delivery) = self.delivery(hub, WorkKind::Entity, token) {
                    complete_entity_task::judge(&self, &partition, delivery, result).await?;
                }
            }
            AnswerKind::AbandonTurn => {
                let request: AbandonOrchestrationTaskRequest = decode(message)?;
                let token = request.completion_token.as_str();
                if let Some(delivery) = self.delivery(hub, WorkKind::Orchestration, token) {
                    abandon::judge(&partition, delivery).await?;
                }
            }
            AnswerKind::AbandonActivity => {
                let request: AbandonActivityTaskRequest = decode(message)?;
                let token = request.completion_token.as_str();
                if let Some(delivery) = self.delivery(hub, WorkKind::Activity, token) {
                    abandon::judge(&partition, delivery).await?;
                }
            }
            AnswerKind::AbandonBatch => {
                let request: AbandonEntityTaskRequest = decode(message)?;
                let token = request.completion_token.as_str();
                if let Some(delivery) = self.delivery(hub, WorkKind::Entity, token) {
                    abandon::judge(&partition, delivery).await?;
                }
            }
        }
        Ok(())
    }
}

impl Judge for Bench {
    fn judge(
        &self,
        partition: Partition,
        answer: WorkerAnswer,
    ) -> BoxFuture<'static, Result<(), ProposeError>> {
        self.clone().forwarded(partition, answer).boxed()
    }
}

fn decode<M: Message + Default>(message: Bytes) -> Result<M, ProposeError> {
    M::decode(message).map_err(|error| {
        tracing::error!(%error, "a worker's answer that another node forwarded cannot be read");
        ProposeError::Unknown("the answer cannot be read by the partition's leader")
    })
}

/// Whether an answer is for the replica here to judge: the item is out from here, or this replica leads for certain, and
/// the item is not out at all. Otherwise another leader may have handed it out.
pub(super) async fn is_ours(partition: &Partition, out_from_here: bool) -> bool {
    out_from_here || partition.confirm().await.is_ok()
}

/// Has the leader judge an answer.
pub(super) async fn forward(
    home: &Home,
    hub: HubId,
    kind: AnswerKind,
    message: &impl Message,
) -> Result<(), Status> {
    let answer = WorkerAnswer {
        hub,
        kind,
        message: message.encode_to_vec().into(),
    };
    let judged = home.answer(answer).await;
    judged.map_err(|error| status::of_propose_error(&error, Repeat::Harmless))
}

/// What the worker is told about an answer to an item that was out from here. With leadership its delivery has gone, too:
/// then the answer is not wanted any more, and taken without effect.
pub(super) fn told(judged: Result<(), ProposeError>) -> Result<(), Status> {
    match judged {
        Ok(()) | Err(ProposeError::NotLeader { .. }) => Ok(()),
        Err(error) => Err(status::of_propose_error(&error.into(), Repeat::Harmless)),
    }
}
