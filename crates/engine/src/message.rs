//! Messages between instances and entities, in this partition or another one.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::entity::{Caller, CriticalSection, LockRequest, Operation};
use crate::instance::{ParentLink, Tags};
use crate::key::InstanceKey;

/// A message on its way to an instance or an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whom it is for.
    pub target: InstanceKey,
    /// What it says.
    pub body: MessageBody,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageBody {
    /// Start a child, or an orchestration that nobody waits for.
    Start(Box<Creation>),
    /// An external event raised by another orchestration: an encoded EventRaised `HistoryEvent`.
    Event(Bytes),
    /// A child ended.
    ChildEnded {
        /// The parent's execution that started it.
        execution: ExecutionId,
        /// The parent's number for the child.
        seq: u64,
        /// The child's result.
        end: ChildEnd,
    },
    /// End the target.
    Terminate {
        /// Output of the ended instance.
        output: Option<Bytes>,
        /// Its children end too.
        recurse: bool,
        /// Only if it still is this child of the sender: (parent, execution, number).
        only_child_of: Option<(InstanceId, ExecutionId, u64)>,
    },
    /// The parent was rewound and waits for this child again.
    Rewind(Box<RewindChild>),
    /// An operation for an entity.
    Operation {
        /// The operation.
        operation: Operation,
        /// The orchestration that sent it.
        sender: Option<Caller>,
        /// Not before this time.
        due: Option<Timestamp>,
    },
    /// A critical section has come to this entity.
    Lock(LockRequest),
    /// An entity is to be released.
    Unlock {
        /// The critical section; any if empty.
        section: Arc<str>,
        /// Only if it is this one's.
        owner: Caller,
    },
    /// The result of an operation: an encoded EntityOperationCompleted or EntityOperationFailed `HistoryEvent`.
    Answer {
        /// The execution that called.
        execution: ExecutionId,
        /// The event.
        event: Bytes,
    },
    /// Every entity of the section is locked.
    LockGranted(Arc<CriticalSection>),
}

/// What a rewound parent tells a child that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewindChild {
    /// Why.
    pub reason: Option<Bytes>,
    /// The child as it was created: what to start if it is gone. Names the parent's new execution; its execution id is
    /// the one the child runs under if it begins again.
    pub creation: Creation,
    /// The parent's execution that failed: a live child of another one is somebody else's.
    pub previous: ExecutionId,
    /// Whether the parent had seen it fail. If not, an end that the parent missed is told once more, unless it is a failure,
    /// which is rewound.
    pub failed: bool,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// With a result.
    Completed(Option<Bytes>),
    /// With encoded `TaskFailureDetails`.
    Failed(Bytes),
}

/// Everything needed to create an instance. Ids and times were chosen by the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The first execution's id.
    pub execution: ExecutionId,
    /// Name; not empty.
    pub name: Arc<str>,
    /// Version.
    pub version: Option<Arc<str>>,
    /// Input.
    pub input: Option<Bytes>,
    /// No turn before this time; absent for now.
    pub scheduled_start: Option<Timestamp>,
    /// Tags.
    pub tags: Option<Arc<Tags>>,
    /// Who waits for the result.
    pub parent: Option<Arc<ParentLink>>,
    /// Encoded `TraceContext`.
    pub parent_trace: Option<Bytes>,
    /// See [`crate::Instance::request_fingerprint`].
    pub request_fingerprint: u64,
}
