//! How far an execution has come, counted from its history.

use longhaul_proto::sidecar::{TaskFailureDetails, history_event::EventType};

use super::turn::Turn;

/// Counts over an execution's history; enough for orchestrators that start things and wait for them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress<'a> {
    /// The highest action id in use; 0 if nothing was decided yet.
    pub last_action_id: i32,
    /// Activities decided.
    pub activities_scheduled: usize,
    /// Activities that succeeded.
    pub activities_completed: usize,
    /// Children decided.
    pub children_created: usize,
    /// Children that succeeded.
    pub children_completed: usize,
    /// Timers decided.
    pub timers_created: usize,
    /// Timers that fired.
    pub timers_fired: usize,
    /// External events received.
    pub events_raised: usize,
    /// Entity operations called.
    pub entity_calls_made: usize,
    /// Entity operations that succeeded.
    pub entity_calls_completed: usize,
    /// The result of the activity, child or entity operation that succeeded last.
    pub last_result: Option<&'a str>,
    /// The first failure of an activity, a child or an entity operation.
    pub first_failure: Option<&'a TaskFailureDetails>,
}

impl<'a> Progress<'a> {
    /// Counts what `turn` shows.
    pub fn of(turn: &Turn<'a>) -> Self {
        let mut progress = Self {
            last_action_id: turn
                .past
                .iter()
                .chain(turn.new)
                .map(|event| event.event_id)
                .max()
                .unwrap_or(0)
                .max(0),
            ..Self::default()
        };
        turn.events().for_each(|event| progress.count(event));
        progress
    }

    /// The id for the next action.
    pub fn next_action_id(&self) -> i32 {
        self.last_action_id + 1
    }

    fn count(&mut self, event: &'a EventType) {
        match event {
            EventType::TaskScheduled(_) => self.activities_scheduled += 1,
            EventType::TaskCompleted(completed) => {
                self.activities_completed += 1;
                self.last_result = completed.result.as_deref();
            }
            EventType::TaskFailed(failed) => self.fail(failed.failure_details.as_ref()),
            EventType::SubOrchestrationInstanceCreated(_) => self.children_created += 1,
            EventType::SubOrchestrationInstanceCompleted(completed) => {
                self.children_completed += 1;
                self.last_result = completed.result.as_deref();
            }
            EventType::SubOrchestrationInstanceFailed(failed) => {
                self.fail(failed.failure_details.as_ref())
            }
            EventType::TimerCreated(_) => self.timers_created += 1,
            EventType::TimerFired(_) => self.timers_fired += 1,
            EventType::EventRaised(_) => self.events_raised += 1,
            EventType::EntityOperationCalled(_) => self.entity_calls_made += 1,
            EventType::EntityOperationCompleted(completed) => {
                self.entity_calls_completed += 1;
                self.last_result = completed.output.as_deref();
            }
            EventType::EntityOperationFailed(failed) => self.fail(failed.failure_details.as_ref()),
            _ => {}
        }
    }

    fn fail(&mut self, failure: Option<&'a TaskFailureDetails>) {
        self.first_failure = self.first_failure.or(failure);
    }
}
