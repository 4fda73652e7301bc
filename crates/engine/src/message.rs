//! Messages from one instance to another, in this partition or another one.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, Timestamp};

use crate::instance::{ParentLink, Tags};
use crate::key::InstanceKey;

/// A message on its way to an instance.
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
    /// Start a child.
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
