//! A worker that does not know when it is done: each activity is run and answered three times, twice at once and once
//! more later, each time with the result of another run. One of them may count.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use longhaul_client::{Client, Code};
use longhaul_proto::sidecar::{
    ActivityFilter, ActivityRequest, ActivityResponse, GetWorkItemsRequest, WorkItemFilters,
    work_item::Request,
};
use tokio::time::sleep;

use crate::{
    record::Effect,
    workload::{
        ledger::Ledger,
        shapes::{Done, EFFECT},
    },
};

const AT_A_TIME: i32 = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(300);

/// What the process prints for each activity that it answered more than once.
pub const ANSWERED_AGAIN: &str = "answered again";
/// What it prints if an answer was refused.
pub const REFUSED: &str = "an answer was refused";

/// Works without end.
///
/// # Errors
/// If a work item is not one of ours.
pub async fn work(client: Client, name: &str, ledger: &Arc<Ledger>) -> Result<()> {
    let filter = ActivityFilter {
        name: EFFECT.to_owned(),
        ..ActivityFilter::default()
    };
    let request = GetWorkItemsRequest {
        max_concurrent_activity_work_items: AT_A_TIME,
        work_item_filters: Some(WorkItemFilters {
            activities: vec![filter],
            ..WorkItemFilters::default()
        }),
        ..GetWorkItemsRequest::default()
    };
    loop {
        if let Ok(mut stream) = client.work_items(request.clone()).await {
            while let Ok(Some(item)) = stream.next().await {
                let Some(Request::ActivityRequest(activity)) = item.request else {
                    continue;
                };
                let runs = Runs::of(activity, item.completion_token, name, ledger)?;
                tokio::spawn(runs.answer(client.clone()));
            }
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Three runs of one activity.
struct Runs([ActivityResponse; 3]);

impl Runs {
    fn of(
        activity: ActivityRequest,
        completion_token: String,
        worker: &str,
        ledger: &Ledger,
    ) -> Result<Self> {
        let number: u64 = serde_json::from_str(activity.input.as_deref().context("no input")?)?;
        let instance = activity.orchestration_instance.context("no instance")?;
        Ok(Self([(); 3].map(|()| {
            let nonce = ledger.next_nonce();
            ledger.append(&Effect {
                instance_id: instance.instance_id.clone(),
                task_id: activity.task_id,
                number,
                nonce: nonce.clone(),
                worker: worker.to_owned(),
            });
            let done = Done { number, nonce };
            ActivityResponse {
                instance_id: instance.instance_id.clone(),
                task_id: activity.task_id,
                result: Some(serde_json::to_string(&done).expect("plain data")),
                completion_token: completion_token.clone(),
                ..ActivityResponse::default()
            }
        })))
    }

    async fn answer(self, client: Client) {
        let [first, second, later] = self.0;
        let (first, second) = tokio::join!(send(&client, first), send(&client, second));
        sleep(LATER).await;
        let answers = [first, second, send(&client, later).await];
        if answers.into_iter().all(|taken| taken) {
            println!("{ANSWERED_AGAIN}");
        }
    }
}

/// Whether it was answered with OK, which it is even if it is not the first.
async fn send(client: &Client, response: ActivityResponse) -> bool {
    match client.complete_activity(response).await {
        Ok(()) => true,
        // Nodes come and go; the activity is delivered again.
        Err(failure) if failure.is_transient() || failure.code == Code::Cancelled => false,
        Err(failure) => {
            println!("{REFUSED}: {failure}");
            false
        }
    }
}
