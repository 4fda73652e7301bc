//! What both sides speak of: the values that clients, workers and operators send and see. No rules, no formats.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

/// Id of an instance, an entity, an execution, a request or a critical section.
pub(crate) type Id = String;

/// Text that may be absent; absent and empty are different.
pub(crate) type Text = Option<String>;

pub(crate) type Tags = BTreeMap<String, String>;

/// Status of an instance as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Pending,
    Running,
    Suspended,
    Completed,
    Failed,
    Canceled,
    Terminated,
}

impl Status {
    pub(crate) fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Suspended)
    }
}

/// Why something failed. The words of the server are its own; that it was the server that spoke is what counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    ByWorker(String),
    /// Never worth a retry.
    ByServer,
}

/// One event of a history, or on its way into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The action's id, -1 for everything that came from outside.
    pub(crate) id: i32,
    /// When it was decided, or when the turn began. When a message arrived is left open.
    pub(crate) at: Option<Timestamp>,
    pub(crate) what: What,
}

impl Event {
    /// A message from outside.
    pub(crate) fn inbound(what: What) -> Self {
        Self {
            id: -1,
            at: None,
            what,
        }
    }

    /// What an action of the orchestrator brought about.
    pub(crate) fn decided(id: i32, at: Timestamp, what: What) -> Self {
        Self {
            id,
            at: Some(at),
            what,
        }
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    OrchestratorStarted,
    ExecutionStarted(Started),
    ExecutionSuspended(Text),
    ExecutionResumed(Text),
    ExecutionTerminated {
        input: Text,
        recurse: bool,
    },
    ExecutionRewound(Text),
    ExecutionCompleted {
        status: Status,
        result: Text,
        failure: Option<Failure>,
    },
    TaskScheduled {
        name: String,
        input: Text,
    },
    TaskCompleted {
        of: i32,
        result: Text,
    },
    TaskFailed {
        of: i32,
        failure: Failure,
    },
    TimerCreated {
        due: Timestamp,
    },
    TimerFired {
        of: i32,
        due: Timestamp,
    },
    ChildCreated {
        instance: Id,
        name: String,
        version: Text,
        input: Text,
        tags: Tags,
    },
    ChildCompleted {
        of: i32,
        result: Text,
    },
    ChildFailed {
        of: i32,
        failure: Failure,
    },
    EventSent {
        to: Id,
        name: String,
        input: Text,
    },
    EventRaised {
        name: String,
        input: Text,
    },
    Operation(Request),
    OperationCompleted {
        request: Id,
        output: Text,
    },
    OperationFailed {
        request: Id,
        failure: Failure,
    },
    LockRequested {
        section: Id,
        lock_set: Vec<Id>,
    },
    LockGranted {
        section: Id,
    },
    UnlockSent {
        section: Id,
        target: Id,
    },
}

/// The first event of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) name: String,
    pub(crate) version: Text,
    pub(crate) input: Text,
    pub(crate) instance: Id,
    pub(crate) execution: Id,
    pub(crate) parent: Option<Parent>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// The parent as its child is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) instance: Id,
    pub(crate) execution: Id,
    pub(crate) task: i32,
    pub(crate) name: String,
    pub(crate) version: Text,
}

/// A request for an operation of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: Id,
    pub(crate) operation: String,
    pub(crate) input: Text,
    pub(crate) due: Option<Timestamp>,
    pub(crate) target: Id,
    /// The instance and the execution that wait for the result; nobody for a signal.
    pub(crate) caller: Option<(Id, Id)>,
}

/// Everything a client says to start an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewInstance {
    pub(crate) name: String,
    pub(crate) version: Text,
    pub(crate) input: Text,
    pub(crate) start: Option<Timestamp>,
    pub(crate) tags: Tags,
    /// Recognises the repetition of this very request.
    pub(crate) request: Option<u64>,
}

/// What may happen to an instance that has the id already.
#[derive(Clone, Debug)]
pub(crate) enum Reuse {
    /// The client sent no policy.
    Unsaid,
    Replaces(Vec<Status>),
}

/// Answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    NotFound,
    AlreadyExists(Status),
    /// A live instance would be replaced by a policy that keeps terminated ones.
    Contradiction,
    /// A completion that nobody waits for; answered with OK on the wire.
    Stale,
    NotEnded(Status),
    NotFailed(Status),
    Refused,
    Purged {
        count: u32,
        live: u32,
    },
}

/// An instance as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceView {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) version: Text,
    pub(crate) execution: Id,
    pub(crate) status: Status,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) completed: Option<Timestamp>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) input: Text,
    pub(crate) output: Text,
    pub(crate) failure: Option<Failure>,
    pub(crate) custom_status: Text,
    pub(crate) tags: Tags,
    pub(crate) parent: Option<Id>,
}

/// An entity as a client sees it that also asks for those without a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityView {
    pub(crate) id: Id,
    pub(crate) state: Text,
    /// Only of one that has a state.
    pub(crate) modified: Option<Timestamp>,
    /// Operations that no batch has committed yet.
    pub(crate) waiting: usize,
    pub(crate) locked_by: Option<Id>,
}

/// One action of a turn.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) id: i32,
    pub(crate) deed: Deed,
}

/// What an orchestrator can decide.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Schedule {
        name: String,
        input: Text,
    },
    Timer {
        due: Timestamp,
    },
    Child {
        /// Empty lets the server choose.
        instance: Id,
        name: String,
        input: Text,
        tags: Tags,
    },
    Send {
        to: Id,
        name: String,
        input: Text,
    },
    Terminate {
        to: Id,
        output: Text,
        recurse: bool,
    },
    Operation {
        call: bool,
        id: Id,
        operation: String,
        input: Text,
        due: Option<Timestamp>,
        target: Id,
    },
    Lock {
        section: Id,
        lock_set: Vec<Id>,
    },
    Unlock {
        section: Id,
        target: Id,
    },
    Complete {
        status: Status,
        result: Text,
        failure: Option<String>,
    },
    ContinueAsNew {
        input: Text,
        version: Text,
        /// Names and inputs of external events.
        carried: Vec<(String, Text)>,
    },
}

/// A worker's answer to a turn.
#[derive(Clone, Debug)]
pub(crate) struct TurnAnswer {
    pub(crate) acts: Vec<Act>,
    pub(crate) custom_status: Text,
    /// Only the first so many messages were taken; absent is all of them.
    pub(crate) processed: Option<u32>,
}

/// How an activity or an operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Finish {
    Succeeded(Text),
    Failed(String),
}

/// A worker's answer to a batch of operations.
#[derive(Clone, Debug)]
pub(crate) struct BatchAnswer {
    /// Of the first operations, in order.
    pub(crate) results: Vec<Finish>,
    /// Absent deletes the entity.
    pub(crate) state: Text,
    pub(crate) sent: Vec<Sent>,
}

/// What an operation can send.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Signal {
        target: Id,
        operation: String,
        input: Text,
        due: Option<Timestamp>,
    },
    Start {
        instance: Id,
        name: String,
        input: Text,
        start: Option<Timestamp>,
    },
}
