//! How far the clients have come with their stories, over all processes of the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_types::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::plan::Story;
use crate::world::World;

/// How far a story has come; what a client knows when the node is back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The start was acknowledged.
    pub(crate) started: bool,
    /// Not before this time, once chosen.
    pub(crate) not_before: Option<Timestamp>,
    /// Calls that were begun and not answered count as made.
    pub(crate) steps: u64,
    /// The current step was begun.
    pub(crate) tried: bool,
    /// The last thing to do was acknowledged.
    pub(crate) closed: bool,
    /// Nothing is left to be done.
    pub(crate) done: bool,
}

/// How far all stories have come. Outlives the processes.
#[derive(Clone, Default)]
pub(crate) struct Stories(Arc<Inner>);

#[derive(Default)]
struct Inner {
    progress: Mutex<BTreeMap<usize, Progress>>,
    ended: Notify,
}

impl Stories {
    pub(crate) fn progress(&self, number: usize) -> Progress {
        self.0
            .progress
            .lock()
            .get(&number)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn save(&self, number: usize, progress: &Progress) {
        self.0.progress.lock().insert(number, progress.clone());
        if progress.done {
            self.0.ended.notify_one();
        }
    }

    pub(crate) async fn all_done(&self, count: usize) {
        while !(0..count).all(|number| self.progress(number).done) {
            self.0.ended.notified().await;
        }
    }

    /// Those that have not ended.
    pub(crate) fn open(&self, world: &World) -> Vec<(Story, Progress)> {
        let stories = world.plan().stories.iter().enumerate();
        stories
            .map(|(number, story)| (story.clone(), self.progress(number)))
            .filter(|(_, progress)| !progress.done)
            .collect()
    }
}
