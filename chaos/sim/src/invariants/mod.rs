//! What must hold, judged from what was seen outside the node; one file per promise. None of it uses the engine's
//! rules: only its names of states.

mod acknowledged_starts;
mod activities;
mod batches;
mod calls;
mod convergence;
mod events;
mod grammar;
mod leaders;
mod operations;
mod outcomes;
mod prefixes;
mod queries;
mod recovery;
mod replicas;
mod retention;
mod sections;
mod timers;
mod turns;

use longhaul_types::Timestamp;

use crate::moment::Moment;
use crate::plan::Plan;

/// A promise.
pub trait Invariant: Send {
    /// What is promised.
    fn name(&self) -> &'static str;

    /// Looks at one happening; `high` is the latest time that the node's clock has ever shown.
    ///
    /// # Errors
    /// How the promise is broken.
    fn judge(&mut self, moment: &Moment, high: Timestamp) -> Result<(), String>;
}

/// Every promise, for a run of this plan.
#[must_use]
pub fn all(plan: &Plan) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(recovery::Recovery),
        Box::new(acknowledged_starts::AcknowledgedStarts::default()),
        Box::new(prefixes::Prefixes::default()),
        Box::new(grammar::Grammar),
        Box::new(turns::Turns::default()),
        Box::new(activities::Activities::default()),
        Box::new(timers::Timers::default()),
        Box::new(events::Events::new(plan)),
        Box::new(outcomes::Outcomes::new(plan)),
        Box::new(batches::Batches::new(plan)),
        Box::new(operations::Operations::new(plan)),
        Box::new(calls::Calls::default()),
        Box::new(sections::Sections::default()),
        Box::new(queries::Queries::default()),
        Box::new(retention::Retention::default()),
        Box::new(leaders::Leaders::default()),
        Box::new(replicas::Replicas),
        Box::new(convergence::Convergence),
    ]
}
