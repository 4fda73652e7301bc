//! Replicated imperatives. A Raft entry carries a [`Batch`] of them.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{ExecutionId, InstanceId, PartitionId, Timestamp};

use crate::entity::CriticalSection;
use crate::instance::{InboxMessage, Status};
use crate::key::InstanceKey;
use crate::message::{Creation, Message};
use crate::requests::RequestId;

/// What one log entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The leader's time. The engine never lets a partition's time go back.
    pub at: Timestamp,
    /// Node and start of the proposer, to find the waiting callers again; (0, 0) if nobody waits.
    pub proposer: u64,
    /// The proposer's number for the batch.
    pub number: u64,
    /// Applied in order.
    pub commands: Vec<Command>,
}

/// One imperative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A client starts an instance.
    CreateInstance(Box<CreateInstance>),
    /// A client raises an event: an encoded EventRaised `HistoryEvent`.
    RaiseEvent {
        /// Whom it is for.
        key: InstanceKey,
        /// The event.
        event: Bytes,
    },
    /// A client suspends an instance.
    Suspend {
        /// Which.
        key: InstanceKey,
        /// Why.
        reason: Option<Bytes>,
    },
    /// A client resumes an instance.
    Resume {
        /// Which.
        key: InstanceKey,
        /// Why.
        reason: Option<Bytes>,
    },
    /// A client ends an instance.
    Terminate {
        /// Which.
        key: InstanceKey,
        /// Its output.
        output: Option<Bytes>,
        /// Its children end too.
        recurse: bool,
    },
    /// A worker finished a turn.
    CompleteTurn(Box<CompleteTurn>),
    /// A worker finished an activity: an encoded TaskCompleted or TaskFailed `HistoryEvent`.
    CompleteActivity {
        /// The instance that scheduled it.
        key: InstanceKey,
        /// The execution that scheduled it.
        execution: ExecutionId,
        /// Its number in the instance.
        seq: u64,
        /// The result.
        event: Bytes,
    },
    /// A failed instance goes on from where it failed.
    Rewind {
        /// Which.
        key: InstanceKey,
        /// Id of the new execution.
        execution: ExecutionId,
        /// Why.
        reason: Option<Bytes>,
    },
    /// An ended instance starts again under its id, with the input of its last generation.
    Restart {
        /// Which.
        key: InstanceKey,
        /// Id of the new execution.
        execution: ExecutionId,
    },
    /// A client ends an instance without asking its orchestrator.
    ForceTerminate {
        /// Which.
        key: InstanceKey,
        /// Why; also its output.
        reason: Option<Bytes>,
    },
    /// Ended instances, and entities, are deleted.
    Purge {
        /// Which.
        targets: Vec<PurgeTarget>,
    },
    /// Everything under these keys is deleted, whatever it is doing: their task hub is gone.
    Remove {
        /// Which.
        keys: Vec<InstanceKey>,
    },
    /// A client signals an entity.
    SignalEntity {
        /// Which.
        key: InstanceKey,
        /// Recognises a repeated request.
        request_id: Arc<str>,
        /// Encoded EntityOperationSignaled `HistoryEvent`.
        event: Bytes,
        /// Not before this time.
        due: Option<Timestamp>,
    },
    /// A worker finished operations of an entity.
    CompleteBatch(Box<CompleteBatch>),
    /// Operations that were scheduled are due.
    ReleaseOperations(Vec<DueOperation>),
    /// Records of entities in which nothing is left may go.
    ExpireEntities(Vec<InstanceKey>),
    /// Timers are due.
    FireTimers(Vec<DueTimer>),
    /// Messages from another partition, numbered without a gap from `first`.
    Deliver {
        /// The sending partition.
        source: PartitionId,
        /// Number of the first message.
        first: u64,
        /// The messages.
        messages: Vec<Message>,
    },
    /// A client's command that may be proposed several times, and takes effect once: a repetition answers
    /// [`crate::Reply::Done`].
    Once {
        /// The same each time.
        request: RequestId,
        /// No `Once` itself.
        command: Box<Command>,
    },
    /// Another partition has everything up to `through`.
    AckOutbox {
        /// The receiving partition.
        target: PartitionId,
        /// Number of the last message it has.
        through: u64,
    },
}

/// A timer the leader found due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimer {
    /// The instance.
    pub key: InstanceKey,
    /// The execution that made it.
    pub execution: ExecutionId,
    /// Its number in the instance.
    pub seq: u64,
}

/// What to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeTarget {
    /// An instance or an entity.
    pub key: InstanceKey,
    /// Only the instance that ended at this time: it may have started again since it was found.
    pub completed_at: Option<Timestamp>,
}

/// A scheduled operation the leader found due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueOperation {
    /// The entity.
    pub key: InstanceKey,
    /// Its number in the entity.
    pub seq: u64,
}

/// The outcome of a batch of operations: the new state, the answers, and messages to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteBatch {
    /// The entity.
    pub key: InstanceKey,
    /// [`crate::Entity::batches`] when the batch was dispatched: the fence against stale completions.
    pub batch: u64,
    /// What becomes of the state.
    pub state: StateChange,
    /// For each operation that was done, in order: the encoded EntityOperationCompleted or EntityOperationFailed
    /// `HistoryEvent` for its caller, empty for a signal.
    pub answers: Vec<Bytes>,
    /// What the operations sent.
    pub messages: Vec<Message>,
}

/// What becomes of an entity's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// Nothing: the operations could not be run.
    Keep,
    /// It is replaced; absent deletes it.
    Set(Option<Bytes>),
}

/// A client starts an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateInstance {
    /// Its key.
    pub key: InstanceKey,
    /// Everything else.
    pub creation: Creation,
    /// What may happen to an instance that has the id already.
    pub reuse: ReusePolicy,
}

/// What may happen to an instance that has the id already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReusePolicy {
    /// No policy was sent: an ended instance is replaced, a live one is not.
    Default,
    /// Instances in exactly these states are replaced.
    Replace(Vec<Status>),
}

/// The outcome of a turn as facts to append and messages to send, whoever computed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteTurn {
    /// The instance.
    pub key: InstanceKey,
    /// Execution the turn was of.
    pub execution: ExecutionId,
    /// [`crate::Instance::turns`] when the turn was dispatched: the fence against stale completions.
    pub turn: u64,
    /// How many messages from the front of the inbox the turn consumed.
    pub consumed: u32,
    /// Timestamp of the turn's OrchestratorStarted.
    pub started_at: Timestamp,
    /// Framed history events decided by the worker (see [`crate::history`]).
    pub facts: Bytes,
    /// How many events `facts` holds.
    pub fact_count: u32,
    /// Custom status; absent means none.
    pub custom_status: Option<Bytes>,
    /// Encoded `OrchestrationTraceContext`.
    pub trace: Option<Bytes>,
    /// Activities to schedule.
    pub activities: Vec<ActivityDraft>,
    /// Timers to make.
    pub timers: Vec<TimerDraft>,
    /// Children to start, in action order among `messages`.
    pub messages: Vec<Outgoing>,
    /// Messages to the instance itself that the turn brought about, such as a refused child.
    pub own_inbox: Vec<InboxMessage>,
    /// How the execution ended, if it did.
    pub ending: Option<Ending>,
}

/// An activity to schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityDraft {
    /// Action id.
    pub task_id: i32,
    /// Name.
    pub name: Arc<str>,
    /// Version for filters.
    pub version: Option<Arc<str>>,
    /// Where its unframed TaskScheduled event is in [`CompleteTurn::facts`]: offset.
    pub event_offset: u32,
    /// And length in bytes.
    pub event_len: u32,
}

/// A timer to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerDraft {
    /// Action id.
    pub timer_id: i32,
    /// When it fires.
    pub fire_at: Timestamp,
}

/// Something to send once the turn is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Start a child; its [`crate::instance::ParentLink::seq`] is filled in when applied.
    Child {
        /// The child's key.
        key: InstanceKey,
        /// Action id.
        task_id: i32,
        /// The child.
        creation: Box<Creation>,
    },
    /// Lock entities; the section is noted in the instance.
    Lock(Arc<CriticalSection>),
    /// Release one entity; what was noted is corrected.
    Unlock {
        /// The critical section; any that holds the entity if empty.
        section: Arc<str>,
        /// The entity.
        entity: InstanceId,
    },
    /// A message that needs nothing filled in.
    Message(Message),
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// For good.
    Terminal {
        /// One of the terminal states.
        status: Status,
        /// Result.
        output: Option<Bytes>,
        /// Encoded `TaskFailureDetails`.
        failure: Option<Bytes>,
    },
    /// As a new generation.
    ContinuedAsNew {
        /// Id of the new execution.
        execution: ExecutionId,
        /// New version, if it changes.
        version: Option<Arc<str>>,
        /// New input.
        input: Option<Bytes>,
        /// Encoded events carried over, in order.
        carryover: Vec<Bytes>,
    },
}
