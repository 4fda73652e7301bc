//! An instance as a client sees it.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::instance::{Instance, Status, Tags};
use crate::key::InstanceKey;

/// What `OrchestrationState` is made of; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// The instance.
    pub key: InstanceKey,
    /// Name.
    pub name: Arc<str>,
    /// Version.
    pub version: Option<Arc<str>>,
    /// The current execution.
    pub execution: ExecutionId,
    /// Status, queued suspensions included.
    pub status: Status,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Not before this time.
    pub scheduled_start: Option<Timestamp>,
    /// Input of the current generation.
    pub input: Option<Bytes>,
    /// Result.
    pub output: Option<Bytes>,
    /// Encoded `TaskFailureDetails`.
    pub failure: Option<Bytes>,
    /// Custom status.
    pub custom_status: Option<Bytes>,
    /// Tags.
    pub tags: Option<Arc<Tags>>,
    /// The parent's id.
    pub parent: Option<InstanceId>,
}

impl InstanceView {
    /// Bytes of its input, output, failure and custom status.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let payloads = [
            &self.input,
            &self.output,
            &self.failure,
            &self.custom_status,
        ];
        payloads.into_iter().flatten().map(|it| it.len()).sum()
    }

    /// Of the instance that has `key`.
    #[must_use]
    pub fn of(key: &InstanceKey, instance: &Instance) -> Self {
        Self {
            key: key.clone(),
            name: instance.name.clone(),
            version: instance.version.clone(),
            execution: instance.execution.clone(),
            status: instance.effective_status(),
            created_at: instance.created_at,
            updated_at: instance.updated_at,
            completed_at: instance.completed_at,
            scheduled_start: instance.scheduled_start,
            input: instance.input.clone(),
            output: instance.output.clone(),
            failure: instance.failure.clone(),
            custom_status: instance.custom_status.clone(),
            tags: instance.tags.clone(),
            parent: instance
                .parent
                .as_ref()
                .map(|parent| parent.instance.clone()),
        }
    }
}
