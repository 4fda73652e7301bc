//! Keeps a work-item stream open and hands its items to jobs, as many at a time as there are slots.

use std::{sync::Arc, time::Duration};

use longhaul_proto::sidecar::{
    GetWorkItemsRequest, WorkItem, WorkerCapability, work_item::Request,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{History, Slots, answer::Answerer, backoff::Backoff, totals::add_one};
use crate::{call_error::CallError, client::WorkItemStream};

/// Servers send a health ping at least every 30 s; a stream silent for longer than this is dead.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Serves until `stop`, then waits for the jobs under way.
pub(super) async fn serve(answerer: Arc<Answerer>, slots: Slots, stop: CancellationToken) {
    let jobs = Jobs::new(answerer, slots);
    let mut backoff = Backoff::new();
    while !stop.is_cancelled() {
        // However it ended, the remedy is the same: open it again, later each time nothing came of it.
        if let Err(failure) = jobs.serve_stream(&mut backoff, &stop).await {
            tracing::debug!(%failure, "work-item stream ended");
        }
        stop.run_until_cancelled(tokio::time::sleep(backoff.next()))
            .await;
    }
    jobs.finish().await;
}

struct Jobs {
    answerer: Arc<Answerer>,
    request: GetWorkItemsRequest,
    /// A server sends no more than the limits it was told; this holds for any server.
    slots: Arc<Semaphore>,
    running: TaskTracker,
}

impl Jobs {
    fn new(answerer: Arc<Answerer>, slots: Slots) -> Self {
        let capabilities = match answerer.history {
            History::Inline => Vec::new(),
            History::Streamed | History::Unneeded => {
                vec![WorkerCapability::HistoryStreaming.into()]
            }
        };
        let limit = |slots: u32| i32::try_from(slots).unwrap_or(i32::MAX);
        let request = GetWorkItemsRequest {
            max_concurrent_orchestration_work_items: limit(slots.orchestrations.get()),
            max_concurrent_activity_work_items: limit(slots.activities.get()),
            max_concurrent_entity_work_items: limit(slots.entities.get()),
            capabilities,
            work_item_filters: Some(answerer.registry.filters()),
        };
        let slots: u64 = [slots.orchestrations, slots.activities, slots.entities]
            .map(|slots| u64::from(slots.get()))
            .iter()
            .sum();
        let slots = usize::try_from(slots)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        Self {
            answerer,
            request,
            slots: Arc::new(Semaphore::new(slots)),
            running: TaskTracker::new(),
        }
    }

    async fn serve_stream(
        &self,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) -> Result<(), CallError> {
        let opened = stop
            .run_until_cancelled(self.answerer.client.work_items(self.request.clone()))
            .await;
        let Some(mut stream) = opened.transpose()? else {
            return Ok(());
        };
        add_one(&self.answerer.totals.streams);
        while let Some(item) = stop.run_until_cancelled(next(&mut stream)).await {
            let Some(item) = item? else { return Ok(()) };
            backoff.reset();
            if !matches!(item.request, Some(Request::HealthPing(_))) {
                self.begin(item).await;
            }
        }
        // Work items belong to their stream: it must outlive the jobs, or their answers count for nothing.
        self.finish().await;
        Ok(())
    }

    async fn begin(&self, item: WorkItem) {
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the slots are never closed");
        let answerer = Arc::clone(&self.answerer);
        self.running.spawn(async move {
            answerer.answer(item).await;
            drop(slot);
        });
    }

    async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

/// The next item; a stream that fell silent counts as ended.
async fn next(stream: &mut WorkItemStream) -> Result<Option<WorkItem>, CallError> {
    timeout(SILENCE_MAX, stream.next())
        .await
        .unwrap_or(Ok(None))
}

#[cfg(test)]
mod tests;
