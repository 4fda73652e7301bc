//! Workers' answers on their way to the leader that holds the delivery.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use longhaul_partition::Partition;
use longhaul_types::HubId;

use crate::errors::Failure;

/// What a worker says about an item it was given, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerAnswer {
    /// The task hub of the call.
    pub hub: HubId,
    /// Which call.
    pub kind: AnswerKind,
    /// Its encoded message.
    pub message: Bytes,
}

/// The calls by which workers answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// `CompleteOrchestratorTask`, whole or a part.
    Turn,
    /// `CompleteActivityTask`.
    Activity,
    /// `CompleteEntityTask`.
    Batch,
    /// `AbandonTaskOrchestratorWorkItem`.
    AbandonTurn,
    /// `AbandonTaskActivityWorkItem`.
    AbandonActivity,
    /// `AbandonTaskEntityWorkItem`.
    AbandonBatch,
}

/// Judges answers for which this node holds the delivery, or held it.
pub trait Judge: Send + Sync + 'static {
    /// Commits the answer, or drops it if it is not wanted any more.
    fn judge(
        &self,
        partition: Partition,
        answer: WorkerAnswer,
    ) -> BoxFuture<'static, Result<(), longhaul_partition::ProposeError>>;
}

/// The judge of this node, who comes after the router.
#[derive(Clone, Default)]
pub(crate) struct LateJudge(Arc<OnceLock<Arc<dyn Judge>>>);

impl LateJudge {
    /// The first one stays.
    pub(crate) fn appoint(&self, judge: Arc<dyn Judge>) {
        // Whoever comes later judges no differently.
        drop(self.0.set(judge));
    }

    pub(crate) async fn judge(
        &self,
        partition: Partition,
        answer: WorkerAnswer,
    ) -> Result<(), Failure> {
        match self.0.get() {
            Some(judge) => Ok(judge.judge(partition, answer).await?),
            None => Err(Failure::NotNow("the node is starting".into())),
        }
    }
}
