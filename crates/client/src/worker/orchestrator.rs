//! What an orchestrator is, and what every orchestrator does alike.

use std::panic::{AssertUnwindSafe, catch_unwind};

use longhaul_proto::sidecar::OrchestratorAction;

use super::{actions, progress::Progress, turn::Turn};

/// Decides the next actions of an orchestration from its history alone.
///
/// Must be deterministic: no clock (but [`Turn::now`]), no randomness, no state. It is called again for every turn and
/// must not decide what the history already shows as decided. Suspension and termination are handled before it is asked.
pub trait Orchestrator: Send + Sync + 'static {
    /// The actions to take now; none means to wait.
    fn turn(&self, turn: &Turn<'_>) -> Vec<OrchestratorAction>;
}

impl<F> Orchestrator for F
where
    F: Fn(&Turn<'_>) -> Vec<OrchestratorAction> + Send + Sync + 'static,
{
    fn turn(&self, turn: &Turn<'_>) -> Vec<OrchestratorAction> {
        self(turn)
    }
}

/// The answer to one turn: terminates if asked to, waits while suspended, and fails instead of panicking.
pub(super) fn decide(orchestrator: &dyn Orchestrator, turn: &Turn<'_>) -> Vec<OrchestratorAction> {
    if let Some(output) = turn.termination() {
        let id = Progress::of(turn).next_action_id();
        return vec![actions::terminate(id, output.map(str::to_owned))];
    }
    if turn.is_suspended() {
        return Vec::new();
    }
    catch_unwind(AssertUnwindSafe(|| orchestrator.turn(turn))).unwrap_or_else(|_| {
        let id = Progress::of(turn).next_action_id();
        vec![actions::fail(
            id,
            actions::failure("Panic", "the orchestrator panicked"),
        )]
    })
}

#[cfg(test)]
mod tests;
