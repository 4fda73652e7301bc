//! One turn of an orchestration: all that happened to an execution, old and new.

use longhaul_proto::sidecar::{ExecutionStartedEvent, HistoryEvent, history_event::EventType};
use prost_types::Timestamp;

/// What an orchestrator decides from.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The instance's id.
    pub instance_id: &'a str,
    /// Events of committed turns.
    pub past: &'a [HistoryEvent],
    /// Events that this turn is about.
    pub new: &'a [HistoryEvent],
}

impl<'a> Turn<'a> {
    /// Every event of this execution, in order.
    pub fn events(&self) -> impl Iterator<Item = &'a EventType> + use<'a> {
        self.past
            .iter()
            .chain(self.new)
            .filter_map(|event| event.event_type.as_ref())
    }

    /// How this execution was started. Absent only if the server sends an incomplete history.
    pub fn started(&self) -> Option<&'a ExecutionStartedEvent> {
        self.events().find_map(|event| match event {
            EventType::ExecutionStarted(started) => Some(started),
            _ => None,
        })
    }

    /// The input of this execution.
    pub fn input(&self) -> Option<&'a str> {
        self.started()?.input.as_deref()
    }

    /// The orchestration's own time: that of the turn, the same however often it is delivered.
    pub fn now(&self) -> Option<Timestamp> {
        self.new
            .iter()
            .chain(self.past.iter().rev())
            .find_map(|event| match event.event_type {
                Some(EventType::OrchestratorStarted(_)) => event.timestamp,
                _ => None,
            })
    }

    /// Whether the instance is to decide nothing until it is resumed.
    pub fn is_suspended(&self) -> bool {
        self.events().fold(false, |suspended, event| match event {
            EventType::ExecutionSuspended(_) => true,
            EventType::ExecutionResumed(_) => false,
            _ => suspended,
        })
    }

    /// The requested output, if termination was requested.
    pub fn termination(&self) -> Option<Option<&'a str>> {
        self.events().find_map(|event| match event {
            EventType::ExecutionTerminated(terminated) => Some(terminated.input.as_deref()),
            _ => None,
        })
    }
}
