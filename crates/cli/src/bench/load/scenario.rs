//! What one orchestration is and how a client takes it from start to end.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use futures::{FutureExt, future::BoxFuture};
use longhaul_client::{CallError, Client, Detail, request_id};
use longhaul_proto::sidecar::{
    CreateInstanceRequest, OrchestrationState, OrchestrationStatus, SignalEntityRequest,
};
use tokio::time::timeout;

use super::{
    entities::{Counters, Settled},
    tally::Failure,
};
use crate::bench::orchestrators::{self, Plan, counter};

const EVENT: &str = "go";
const COUNT_DEFAULT: usize = 5;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::bench) enum Scenario {
    /// Only the call `Hello`, no orchestration
    Hello,
    /// Five activities, one after the other
    Hello5,
    /// N activities, one after the other
    Sequence,
    /// N activities at once
    Fanout,
    /// N children at once, each with one activity
    Suborch,
    /// N timers, one after the other
    Timers,
    /// N external events, raised by the client
    Events,
    /// Only the call `SignalEntity`, no orchestration; checks afterwards that each was applied once
    EntitySignals,
    /// N calls of an entity, one after the other; checks afterwards that each was applied once
    EntityCalls,
}

impl Scenario {
    pub(in crate::bench) fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Hello5 => "hello5",
            Self::Sequence => "sequence",
            Self::Fanout => "fanout",
            Self::Suborch => "suborch",
            Self::Timers => "timers",
            Self::Events => "events",
            Self::EntitySignals => "entity-signals",
            Self::EntityCalls => "entity-calls",
        }
    }

    /// What is counted: one, and several.
    pub(super) fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Hello => ("call", "calls"),
            Self::EntitySignals => ("signal", "signals"),
            _ => ("orchestration", "orchestrations"),
        }
    }

    pub(super) fn needs_worker(self) -> bool {
        self != Self::Hello
    }

    /// How many steps, given what was asked for.
    pub(super) fn count(self, asked: Option<usize>) -> usize {
        match self {
            Self::Hello => 0,
            Self::Hello5 => 5,
            Self::EntitySignals => 1,
            Self::Sequence
            | Self::Fanout
            | Self::Suborch
            | Self::Timers
            | Self::Events
            | Self::EntityCalls => asked.unwrap_or(COUNT_DEFAULT),
        }
    }

    /// How many of `count` steps are under way at a time.
    pub(super) fn steps_at_once(self, count: usize) -> usize {
        match self {
            Self::Fanout | Self::Suborch => count,
            _ => 1,
        }
    }

    /// How many entities `concurrency` runners use, given what was asked for. None for a scenario without any.
    pub(super) fn entities(self, asked: Option<NonZeroUsize>, concurrency: NonZeroUsize) -> usize {
        match self {
            Self::EntitySignals => asked.map_or(1, NonZeroUsize::get),
            Self::EntityCalls => asked.unwrap_or(concurrency).get(),
            _ => 0,
        }
    }

    fn orchestrator(self) -> Option<&'static str> {
        match self {
            Self::Hello | Self::EntitySignals => None,
            Self::Hello5 | Self::Sequence => Some(orchestrators::SEQUENCE),
            Self::Fanout => Some(orchestrators::FANOUT),
            Self::Suborch => Some(orchestrators::CHILDREN),
            Self::Timers => Some(orchestrators::TIMERS),
            Self::Events => Some(orchestrators::EVENTS),
            Self::EntityCalls => Some(orchestrators::ENTITY_CALLS),
        }
    }

    fn events_to_raise(self, count: usize) -> usize {
        match self {
            Self::Events => count,
            _ => 0,
        }
    }
}

/// One scenario against one server; its runners share it.
pub(in crate::bench) struct Run {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    scenario: Scenario,
    plan: Plan<'static>,
    output: String,
    timeout: Duration,
    /// Sets the instances of this run apart from those of every other run.
    prefix: String,
    started: AtomicU64,
    counters: Option<Counters>,
}

impl Run {
    /// `entities` is how many are signaled or called; `timeout` is for one orchestration, call or signal.
    pub(in crate::bench) fn new(
        client: Client,
        scenario: Scenario,
        plan: Plan<'static>,
        entities: usize,
        timeout: Duration,
    ) -> Self {
        let prefix = run_prefix(scenario.name());
        let shared = Shared {
            client,
            scenario,
            output: plan.count.to_string(),
            plan,
            timeout,
            counters: (entities > 0).then(|| Counters::new(&prefix, entities)),
            prefix,
            started: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The operation that a runner repeats.
    pub(in crate::bench) fn runner(
        &self,
    ) -> impl Fn() -> BoxFuture<'static, Result<(), Failure>> + use<> {
        let shared = Arc::clone(&self.shared);
        move || {
            let shared = Arc::clone(&shared);
            async move {
                timeout(shared.timeout, shared.once())
                    .await
                    .unwrap_or_else(|_| Err(failure("timeout")))
            }
            .boxed()
        }
    }

    /// Compares the entities, if there are any, with what was asked of them, once they have caught up.
    pub(super) async fn settle_entities(&self) -> anyhow::Result<Option<Settled>> {
        let shared = &self.shared;
        match &shared.counters {
            None => Ok(None),
            Some(counters) => Ok(Some(counters.settle(&shared.client, shared.timeout).await?)),
        }
    }
}

impl Shared {
    async fn once(&self) -> Result<(), Failure> {
        let nth = self.started.fetch_add(1, Ordering::Relaxed);
        match (self.scenario.orchestrator(), &self.counters) {
            (Some(name), counters) => self.orchestrate(name, nth, counters.as_ref()).await,
            (None, Some(counters)) => self.signal(nth, counters).await,
            (None, None) => self.client.hello().await.map_err(called),
        }
    }

    async fn signal(&self, nth: u64, counters: &Counters) -> Result<(), Failure> {
        let request = SignalEntityRequest {
            instance_id: counters.id_of(nth).to_owned(),
            name: counter::ADD.to_owned(),
            input: Some(counter::ONE.to_owned()),
            request_id: request_id(&self.prefix, nth),
            ..SignalEntityRequest::default()
        };
        counters.asked(1);
        self.client.signal_entity(request).await.map_err(called)?;
        counters.acknowledged(1);
        Ok(())
    }

    async fn orchestrate(
        &self,
        name: &str,
        nth: u64,
        counters: Option<&Counters>,
    ) -> Result<(), Failure> {
        let plan = match counters {
            None => self.plan.clone(),
            Some(counters) => {
                counters.asked(self.plan.count);
                Plan {
                    entity: counters.id_of(nth).into(),
                    ..self.plan.clone()
                }
            }
        };
        let instance_id = format!("{}-{nth}", self.prefix);
        let request = CreateInstanceRequest {
            instance_id: instance_id.clone(),
            name: name.to_owned(),
            input: Some(plan.to_json()),
            ..CreateInstanceRequest::default()
        };
        self.client.start(request).await.map_err(called)?;
        for _ in 0..self.scenario.events_to_raise(self.plan.count) {
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
        self.check(state.ok_or_else(|| failure("instance vanished"))?)?;
        if let Some(counters) = counters {
            counters.acknowledged(self.plan.count);
        }
        Ok(())
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

/// A failure of that kind.
pub(in crate::bench) fn failure(kind: &str) -> Failure {
    Failure {
        kind: kind.to_owned(),
    }
}

/// A failed call as a failure.
pub(in crate::bench) fn called(error: CallError) -> Failure {
    Failure {
        kind: format!("{}: {:?}", error.rpc, error.code),
    }
}
