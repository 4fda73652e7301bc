//! What clients and workers do while faults happen, through the protocol of the SDKs.
//!
//! ```text
//! drivers ─ start an orchestration, read it elsewhere, see it grow, wait for its end, and again
//! pulses  ─ raise one event after the other; their acknowledgements tell when the nodes serve
//! signals ─ add to entities                 all ──► Seen ──► record::Record, with what the nodes say in the end
//! ```

pub mod calls;
pub mod drivers;
pub mod gather;
pub mod ledger;
pub mod orchestrators;
pub mod pulses;
pub mod shapes;
pub mod signals;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use longhaul_client::Code;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    record::{Raised, Sighting, Signal},
    service::Service,
};
use calls::{Caller, Insisted, SharedErrors};
use pulses::Pulse;
use shapes::Shape;

/// How much there is of each.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Orchestrations at a time.
    pub drivers: usize,
    /// Counters that get events.
    pub pulses: usize,
    /// Entities.
    pub accounts: usize,
}

/// Everything that one workload has in common.
#[derive(Debug)]
pub struct Shared {
    /// What its instances' ids begin with.
    pub prefix: String,
    /// The seed of its choices.
    pub seed: u64,
    /// How much of it there is.
    pub size: Size,
    /// How long whatever it began may take once all faults are over.
    pub ends_within: Duration,
    /// Refusals that the faults explain.
    pub tolerates: &'static [Code],
    /// What all times count from.
    pub began: Instant,
    /// The nodes.
    pub service: Arc<Service>,
    /// What clients met.
    pub errors: SharedErrors,
    /// What clients saw.
    pub seen: Mutex<Seen>,
    /// When orchestrations were seen to have completed.
    pub completions: Pulse,
    /// Begin nothing new.
    pub stop: CancellationToken,
}

/// What clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Acknowledged starts.
    pub started: Vec<Started>,
    /// Attempts to raise events.
    pub raised: Vec<Raised>,
    /// Acknowledged signals.
    pub signals: Vec<Signal>,
    /// Histories on their way.
    pub sightings: Vec<Sighting>,
    /// Reads that missed something.
    pub stale_reads: Vec<String>,
    /// Answers that nothing explains.
    pub refusals: Vec<String>,
    /// What is still under way.
    pub unfinished: Vec<String>,
}

/// An acknowledged start.
#[derive(Debug, Clone)]
pub struct Started {
    /// The instance.
    pub id: String,
    /// What it is to do.
    pub shape: Shape,
    /// The execution id that was asked for.
    pub execution_id: String,
}

impl Shared {
    /// The id of an entity.
    pub fn account(&self, nth: usize) -> String {
        format!("@{}@{}-{nth}", shapes::ACCOUNT, self.prefix)
    }

    /// A client that prefers a node.
    ///
    /// # Errors
    /// If it cannot connect.
    pub async fn caller(&self, preferred: usize) -> Result<Caller> {
        Caller::connect(&self.service, preferred, &self.errors, self.tolerates).await
    }

    fn note(&self, what: &str, failure: &Insisted) {
        let mut seen = self.seen.lock();
        match failure {
            Insisted::Refused(code, why) => seen.refusals.push(format!("{what}: {code:?}: {why}")),
            Insisted::Unanswered(why) => seen.unfinished.push(format!("{what}: {why}")),
        }
    }
}

/// A workload under way.
#[derive(Debug)]
pub struct Workload {
    /// What its parts share.
    pub shared: Arc<Shared>,
    /// When events were acknowledged.
    pub pulses: Vec<Arc<Pulse>>,
    jobs: Vec<(String, JoinHandle<()>)>,
}

impl Workload {
    /// Starts all of it.
    ///
    /// # Errors
    /// If a client cannot connect.
    pub async fn start(shared: Shared) -> Result<Self> {
        let shared = Arc::new(shared);
        let mut workload = Self {
            shared: Arc::clone(&shared),
            pulses: Vec::new(),
            jobs: Vec::new(),
        };
        for nth in 0..shared.size.drivers {
            let clients = [shared.caller(nth).await?, shared.caller(nth + 1).await?];
            workload.run(
                format!("driver {nth}"),
                drivers::drive(Arc::clone(&shared), nth, clients),
            );
        }
        for nth in 0..shared.size.pulses {
            let pulse = Arc::<Pulse>::default();
            workload.pulses.push(Arc::clone(&pulse));
            let client = shared.caller(nth).await?;
            workload.run(
                format!("pulse {nth}"),
                pulses::beat(Arc::clone(&shared), nth, client, pulse),
            );
        }
        let client = shared.caller(0).await?;
        workload.run(
            "signals".to_owned(),
            signals::send(Arc::clone(&shared), client),
        );
        Ok(workload)
    }

    fn run(&mut self, name: String, job: impl Future<Output = ()> + Send + 'static) {
        self.jobs.push((name, tokio::spawn(job)));
    }

    /// How much was acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.pulses.iter().map(|pulse| pulse.count()).sum()
    }

    /// Begins nothing new and waits until all that was begun has ended; what does not is noted.
    pub async fn finish(&mut self) {
        self.shared.stop.cancel();
        let deadline = tokio::time::Instant::now() + self.shared.ends_within;
        for (name, mut job) in self.jobs.drain(..) {
            match tokio::time::timeout_at(deadline, &mut job).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    let mut seen = self.shared.seen.lock();
                    seen.unfinished.push(format!("{name}: {failure}"));
                }
                Err(_) => {
                    job.abort();
                    self.shared.seen.lock().unfinished.push(name);
                }
            }
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        for (_, job) in &self.jobs {
            job.abort();
        }
    }
}
