//! Runs orchestrators, activities and entities written in Rust against a server.
//!
//! An [`Orchestrator`] here is a pure function from an instance's history to the next actions, not a coroutine: it looks
//! at everything that happened ([`Turn`], [`Progress`]) and says what is still to be decided ([`actions`]). Nothing is
//! cached between turns, so a redelivered work item, a restart or another worker makes no difference.
//!
//! ```text
//! GetWorkItems ──► slots (bounded) ──► one job per work item ──► Complete…Task, retried; abandoned when hopeless
//!      ▲ reopened with backoff whenever it ends
//! ```

pub mod actions;
mod activity;
mod answer;
mod backoff;
mod entity;
mod orchestrator;
mod progress;
mod registry;
mod stream;
mod totals;
mod turn;

use std::{num::NonZeroU32, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use activity::{Activity, ActivityCall};
pub use entity::{Entity, Operated, Operation};
pub use orchestrator::Orchestrator;
pub use progress::Progress;
pub use registry::Registry;
pub use totals::Totals;
pub use turn::Turn;

use crate::client::Client;

/// How many work items of each kind the server may have outstanding at this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Orchestration work items.
    pub orchestrations: NonZeroU32,
    /// Activity work items.
    pub activities: NonZeroU32,
    /// Entity work items.
    pub entities: NonZeroU32,
}

impl Slots {
    /// As many of each kind.
    pub fn of_each(count: NonZeroU32) -> Self {
        Self {
            orchestrations: count,
            activities: count,
            entities: count,
        }
    }
}

/// How orchestrators get to know what happened in earlier turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It is in every work item, however long it is.
    Inline,
    /// A long one is read from the server, apart from the work item.
    Streamed,
    /// A long one is not read at all: the worker's only orchestrator decides from what is new.
    ///
    /// Without its history, a work item does not even say which orchestrator it is for, so a registry with several of
    /// them leaves such a work item unanswered.
    Unneeded,
}

/// A running worker. Dropping it ends the work-item stream; [`Worker::stop`] also waits for jobs under way.
#[derive(Debug)]
pub struct Worker {
    stop: CancellationToken,
    totals: Arc<totals::Counters>,
    reader: JoinHandle<()>,
}

impl Worker {
    /// Starts to serve what `registry` holds over the client's connections.
    pub fn start(client: Client, registry: Registry, slots: Slots, history: History) -> Self {
        let stop = CancellationToken::new();
        let totals = Arc::<totals::Counters>::default();
        let server = answer::Answerer {
            client,
            registry,
            history,
            totals: Arc::clone(&totals),
        };
        let reader = tokio::spawn(stream::serve(Arc::new(server), slots, stop.clone()));
        Self {
            stop,
            totals,
            reader,
        }
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        self.totals.read()
    }

    /// Stops asking for work items, finishes the jobs under way, and returns what was done.
    pub async fn stop(mut self) -> Totals {
        self.stop.cancel();
        // A reader that panicked has nothing left to wait for.
        let _ = (&mut self.reader).await;
        self.totals.read()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
