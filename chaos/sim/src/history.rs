//! Reads history events with the generated types of the public contract, as a worker does; the engine, which writes
//! them by hand, has no part in it.

use bytes::Bytes;
use longhaul_proto::sidecar::{HistoryEvent, history_event::EventType};
use longhaul_types::Timestamp;
use prost::Message;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The action's id, or -1 for what came from outside.
    pub id: i32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// As it was encoded.
    pub raw: Bytes,
}

/// What an event says, as far as the simulation cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A turn began.
    TurnStarted,
    /// The execution began.
    Started {
        /// The orchestration.
        name: String,
        /// Its input.
        input: String,
        /// Its instance id.
        instance: String,
    },
    /// The execution ended.
    Ended {
        /// As on the wire.
        status: i32,
        /// The output.
        output: String,
    },
    /// Somebody wants it ended.
    Terminated {
        /// With this output.
        output: String,
    },
    /// Suspended.
    Suspended,
    /// Resumed.
    Resumed,
    /// An activity was scheduled.
    TaskScheduled {
        /// Its input.
        input: String,
    },
    /// An activity ended.
    TaskEnded {
        /// Which.
        task: i32,
        /// With what; `None` if it failed.
        result: Option<String>,
    },
    /// A child was started.
    ChildCreated {
        /// Its id.
        instance: String,
    },
    /// A child ended.
    ChildEnded {
        /// Which.
        task: i32,
        /// With what; `None` if it failed.
        result: Option<String>,
    },
    /// A timer was made.
    TimerCreated {
        /// Due then.
        fire_at: Timestamp,
    },
    /// A timer fired.
    TimerFired {
        /// Which.
        timer: i32,
        /// Was due then.
        fire_at: Timestamp,
    },
    /// An event was sent to another instance.
    EventSent {
        /// To whom.
        target: String,
        /// What.
        payload: String,
    },
    /// An event arrived.
    EventRaised {
        /// What.
        payload: String,
    },
    /// An operation of an entity was asked for; or, in a batch, is to be run.
    Operation(Operation),
    /// An operation has an answer.
    OperationAnswered {
        /// Which request.
        request: String,
        /// With what; `None` if it failed.
        result: Option<String>,
    },
    /// Entities were to be locked.
    LockRequested {
        /// For this critical section.
        section: String,
    },
    /// All entities of a critical section are locked.
    LockGranted {
        /// Which section.
        section: String,
    },
    /// An entity was left.
    UnlockSent {
        /// Which.
        target: String,
    },
    /// A failed execution was made to go on.
    Rewound,
    /// Something the simulation never asks for.
    Unexpected,
}

/// An operation of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Names the request.
    pub request: String,
    /// Which operation.
    pub name: String,
    /// Its input.
    pub input: String,
    /// Not before this time.
    pub scheduled: Option<Timestamp>,
    /// The entity.
    pub target: String,
    /// The instance that waits for the result; nobody for a signal.
    pub caller: Option<String>,
}

impl Operation {
    /// What the operation is about: `sender/number`, its name in the ledgers.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.input.split('|').next().unwrap_or_default()
    }

    /// Whether an orchestrator that asks for `other` asks for this again. Times are its own of each turn.
    #[must_use]
    pub fn is_same_request(&self, other: &Self) -> bool {
        let Self {
            request,
            name,
            input,
            target,
            caller,
            ..
        } = other;
        let own = (&self.request, &self.name, &self.input, &self.target);
        own == (request, name, input, target) && self.caller == *caller
    }
}

/// Decodes one event.
///
/// # Errors
/// What cannot be decoded.
pub fn decode(raw: Bytes) -> Result<Entry, String> {
    let event = HistoryEvent::decode(raw.clone()).map_err(|error| format!("an event: {error}"))?;
    let at = timestamp(event.timestamp.as_ref());
    Ok(Entry {
        id: event.event_id,
        at,
        what: event.event_type.map_or(What::Unexpected, what),
        raw,
    })
}

/// Decodes framed events: each is field 3 of a message, as in a work item.
///
/// # Errors
/// What cannot be decoded.
pub fn decode_framed(framed: &[Bytes]) -> Result<Vec<Entry>, String> {
    /// Just enough of `OrchestratorRequest`.
    #[derive(Message)]
    struct Past {
        #[prost(bytes = "bytes", repeated, tag = "3")]
        events: Vec<Bytes>,
    }
    let mut entries = Vec::new();
    for run in framed {
        let past = Past::decode(run.clone()).map_err(|error| format!("a history run: {error}"))?;
        for event in past.events {
            entries.push(decode(event)?);
        }
    }
    Ok(entries)
}

fn what(event: EventType) -> What {
    match event {
        EventType::OrchestratorStarted(_) => What::TurnStarted,
        EventType::ExecutionStarted(it) => What::Started {
            name: it.name,
            input: it.input.unwrap_or_default(),
            instance: it
                .orchestration_instance
                .map(|instance| instance.instance_id)
                .unwrap_or_default(),
        },
        EventType::ExecutionCompleted(it) => What::Ended {
            status: it.orchestration_status,
            output: it.result.unwrap_or_default(),
        },
        EventType::ExecutionTerminated(it) => What::Terminated {
            output: it.input.unwrap_or_default(),
        },
        EventType::ExecutionSuspended(_) => What::Suspended,
        EventType::ExecutionResumed(_) => What::Resumed,
        EventType::TaskScheduled(it) => What::TaskScheduled {
            input: it.input.unwrap_or_default(),
        },
        EventType::TaskCompleted(it) => What::TaskEnded {
            task: it.task_scheduled_id,
            result: Some(it.result.unwrap_or_default()),
        },
        EventType::TaskFailed(it) => What::TaskEnded {
            task: it.task_scheduled_id,
            result: None,
        },
        EventType::SubOrchestrationInstanceCreated(it) => What::ChildCreated {
            instance: it.instance_id,
        },
        EventType::SubOrchestrationInstanceCompleted(it) => What::ChildEnded {
            task: it.task_scheduled_id,
            result: Some(it.result.unwrap_or_default()),
        },
        EventType::SubOrchestrationInstanceFailed(it) => What::ChildEnded {
            task: it.task_scheduled_id,
            result: None,
        },
        EventType::TimerCreated(it) => What::TimerCreated {
            fire_at: timestamp(it.fire_at.as_ref()),
        },
        EventType::TimerFired(it) => What::TimerFired {
            timer: it.timer_id,
            fire_at: timestamp(it.fire_at.as_ref()),
        },
        EventType::EventSent(it) => What::EventSent {
            target: it.instance_id,
            payload: it.input.unwrap_or_default(),
        },
        EventType::EventRaised(it) => What::EventRaised {
            payload: it.input.unwrap_or_default(),
        },
        EventType::EntityOperationSignaled(it) => What::Operation(Operation {
            request: it.request_id,
            name: it.operation,
            input: it.input.unwrap_or_default(),
            scheduled: it.scheduled_time.as_ref().map(|at| timestamp(Some(at))),
            target: it.target_instance_id.unwrap_or_default(),
            caller: None,
        }),
        EventType::EntityOperationCalled(it) => What::Operation(Operation {
            request: it.request_id,
            name: it.operation,
            input: it.input.unwrap_or_default(),
            scheduled: it.scheduled_time.as_ref().map(|at| timestamp(Some(at))),
            target: it.target_instance_id.unwrap_or_default(),
            caller: Some(it.parent_instance_id.unwrap_or_default()),
        }),
        EventType::EntityOperationCompleted(it) => What::OperationAnswered {
            request: it.request_id,
            result: Some(it.output.unwrap_or_default()),
        },
        EventType::EntityOperationFailed(it) => What::OperationAnswered {
            request: it.request_id,
            result: None,
        },
        EventType::EntityLockRequested(it) => What::LockRequested {
            section: it.critical_section_id,
        },
        EventType::EntityLockGranted(it) => What::LockGranted {
            section: it.critical_section_id,
        },
        EventType::EntityUnlockSent(it) => What::UnlockSent {
            target: it.target_instance_id.unwrap_or_default(),
        },
        EventType::ExecutionRewound(_) => What::Rewound,
        _ => What::Unexpected,
    }
}

fn timestamp(wire: Option<&prost_types::Timestamp>) -> Timestamp {
    wire.map_or(Timestamp::EPOCH, |it| Timestamp {
        seconds: it.seconds,
        nanos: u32::try_from(it.nanos).expect("nanoseconds count forwards"),
    })
}
