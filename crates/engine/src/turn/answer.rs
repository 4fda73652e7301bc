//! A worker's answer to a turn, as the edge has understood it.

use bytes::Bytes;
use longhaul_types::Timestamp;

use crate::instance::{Status, Tags};

/// A worker's answer to a turn.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What it decided, in order.
    pub actions: Vec<Decided>,
    /// Custom status; absent means none.
    pub custom_status: Option<Bytes>,
    /// Encoded `OrchestrationTraceContext`.
    pub trace: Option<Bytes>,
    /// Only the first so many inbox messages count as consumed; absent means all that were handed out. An
    /// ExecutionStarted is always consumed.
    pub events_processed: Option<u32>,
}

/// One action with its id.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Action id; becomes the event id of its history event.
    pub id: i32,
    /// What to do.
    pub action: Action,
}

/// What a worker can decide. Opaque parts are encoded bytes.
#[derive(Clone, Debug)]
pub enum Action {
    /// Schedule an activity.
    ScheduleTask {
        /// Name.
        name: String,
        /// Version.
        version: Option<String>,
        /// Input.
        input: Option<Bytes>,
        /// Tags.
        tags: Tags,
        /// Encoded `TraceContext`.
        trace: Option<Bytes>,
    },
    /// Make a timer.
    CreateTimer {
        /// When it fires.
        fire_at: Timestamp,
    },
    /// Start a child.
    CreateChild {
        /// Its id; empty lets the server choose.
        instance: String,
        /// Name.
        name: String,
        /// Version.
        version: Option<String>,
        /// Input.
        input: Option<Bytes>,
        /// Tags laid over the parent's.
        tags: Tags,
        /// Encoded `TraceContext`.
        trace: Option<Bytes>,
    },
    /// Raise an event at another instance.
    SendEvent {
        /// Its id.
        instance: String,
        /// Event name.
        name: String,
        /// Payload.
        data: Option<Bytes>,
    },
    /// Run an operation of an entity.
    EntityOperation(OperationRequest),
    /// Enter a critical section.
    LockEntities {
        /// Its id.
        section: String,
        /// Entities as the worker named them, each of them valid.
        lock_set: Vec<String>,
        /// As sent.
        position: i32,
        /// The sender as the worker named itself.
        parent: Option<Bytes>,
    },
    /// Leave a critical section, one entity at a time.
    UnlockEntity {
        /// Its id; empty if the worker does not say.
        section: String,
        /// The sender as the worker named itself.
        parent: Option<Bytes>,
        /// The entity.
        target: String,
    },
    /// End another instance.
    Terminate {
        /// Its id.
        instance: String,
        /// Its output.
        reason: Option<Bytes>,
        /// Its children end too.
        recurse: bool,
    },
    /// End this execution for good.
    Complete {
        /// How.
        status: Status,
        /// Result.
        result: Option<Bytes>,
        /// Encoded `TaskFailureDetails`.
        failure: Option<Bytes>,
    },
    /// Go on as a new generation.
    ContinueAsNew {
        /// New input.
        input: Option<Bytes>,
        /// New version, if it changes.
        version: Option<String>,
        /// Encoded events to carry over; event id already -1.
        carryover: Vec<Bytes>,
    },
    /// Something this server cannot do: the orchestration fails with this text instead of waiting for ever.
    Refused(String),
}

/// An operation that an orchestration asks of an entity.
#[derive(Clone, Debug)]
pub struct OperationRequest {
    /// Whether the orchestration waits for the result.
    pub call: bool,
    /// The entity.
    pub target: String,
    /// Id of the request.
    pub request_id: String,
    /// Operation.
    pub operation: String,
    /// Input.
    pub input: Option<Bytes>,
    /// Not before this time.
    pub scheduled: Option<Timestamp>,
}

impl Action {
    pub(super) fn ends_execution(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::ContinueAsNew { .. })
    }
}
