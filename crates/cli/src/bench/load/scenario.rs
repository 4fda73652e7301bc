//! What one orchestration is and how a client takes it from start to end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use longhaul_client::{CallError, Client, Detail};
use longhaul_proto::sidecar::{CreateInstanceRequest, OrchestrationState, OrchestrationStatus};
use tokio::time::timeout;

use super::tally::Failure;
use crate::bench::orchestrators::{self, Plan};

const EVENT: &str = "go";
const COUNT_DEFAULT: usize = 5;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::bench) enum Scenario {
    /// Only the call `Hello`, no orchestration
    Hello,
    /// Five activities, one after the other
    Hello5,
    /// N activities at once
    Fanout,
    /// N children at once, each with one activity
    Suborch,
    /// N timers, one after the other
    Timers,
    /// N external events, raised by the client
    Events,
}

impl Scenario {
    pub(in crate::bench) fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Hello5 => "hello5",
            Self::Fanout => "fanout",
            Self::Suborch => "suborch",
            Self::Timers => "timers",
            Self::Events => "events",
        }
    }

    pub(super) fn needs_worker(self) -> bool {
        self.orchestrator().is_some()
    }

    /// How many steps, given what was asked for.
    pub(super) fn count(self, asked: Option<usize>) -> usize {
        match self {
            Self::Hello => 0,
            Self::Hello5 => 5,
            Self::Fanout | Self::Suborch | Self::Timers | Self::Events => {
                asked.unwrap_or(COUNT_DEFAULT)
            }
        }
    }

    fn orchestrator(self) -> Option<&'static str> {
        match self {
            Self::Hello => None,
            Self::Hello5 => Some(orchestrators::SEQUENCE),
            Self::Fanout => Some(orchestrators::FANOUT),
            Self::Suborch => Some(orchestrators::CHILDREN),
            Self::Timers => Some(orchestrators::TIMERS),
            Self::Events => Some(orchestrators::EVENTS),
        }
    }

    fn events_to_raise(self, count: usize) -> usize {
        match self {
            Self::Events => count,
            Self::Hello | Self::Hello5 | Self::Fanout | Self::Suborch | Self::Timers => 0,
        }
    }
}

/// One scenario against one server; its runners share it.
pub(super) struct Run {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    scenario: Scenario,
    count: usize,
    input: String,
    output: String,
    timeout: Duration,
    /// Sets the instances of this run apart from those of every other run.
    prefix: String,
    started: AtomicU64,
}

impl Run {
    pub(super) fn new(
        client: Client,
        scenario: Scenario,
        plan: Plan<'_>,
        timeout: Duration,
    ) -> Self {
        let shared = Shared {
            client,
            scenario,
            count: plan.count,
            input: plan.to_json(),
            output: plan.count.to_string(),
            timeout,
            prefix: run_prefix(scenario.name()),
            started: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The operation that a runner repeats.
    pub(super) fn runner(
        &self,
    ) -> impl Fn() -> futures::future::BoxFuture<'static, Result<(), Failure>> + use<> {
        let shared = Arc::clone(&self.shared);
        move || {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let limit = shared.timeout;
                timeout(limit, shared.once())
                    .await
                    .unwrap_or_else(|_| Err(failure("timeout")))
            })
        }
    }
}

impl Shared {
    async fn once(&self) -> Result<(), Failure> {
        let Some(name) = self.scenario.orchestrator() else {
            return self.client.hello().await.map_err(called);
        };
        let nth = self.started.fetch_add(1, Ordering::Relaxed);
        let instance_id = format!("{}-{nth}", self.prefix);
        let request = CreateInstanceRequest {
            instance_id: instance_id.clone(),
            name: name.to_owned(),
            input: Some(self.input.clone()),
            ..CreateInstanceRequest::default()
        };
        self.client.start(request).await.map_err(called)?;
        for _ in 0..self.scenario.events_to_raise(self.count) {
            self.client
                .raise_event(&instance_id, EVENT, None)
                .await
                .map_err(called)?;
        }
        let state = self
            .client
            .wait_for_completion(&instance_id, Detail::Payloads)
            .await
            .map_err(called)?;
        self.check(state.ok_or_else(|| failure("instance vanished"))?)
    }

    fn check(&self, state: OrchestrationState) -> Result<(), Failure> {
        match state.orchestration_status() {
            OrchestrationStatus::Completed if state.output.as_deref() == Some(&*self.output) => {
                Ok(())
            }
            OrchestrationStatus::Completed => Err(failure("wrong output")),
            other => Err(failure(other.as_str_name())),
        }
    }
}

/// Unlike that of any other run: by time and process.
pub(in crate::bench) fn run_prefix(name: &str) -> String {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "{name}-{:x}-{:x}",
        since_epoch.as_millis(),
        std::process::id()
    )
}

fn failure(kind: &str) -> Failure {
    Failure {
        kind: kind.to_owned(),
    }
}

fn called(error: CallError) -> Failure {
    Failure {
        kind: format!("{}: {:?}", error.rpc, error.code),
    }
}
