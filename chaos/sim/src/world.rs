//! What is outside the node: the disk, the clock, and the witness that takes down everything that happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use longhaul_types::HubId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use xxhash_rust::xxh3::Xxh3;

use crate::clock::SimClock;
use crate::disk::Disk;
use crate::invariants::{self, Invariant};
use crate::moment::Moment;
use crate::plan::Plan;
use crate::sabotage::Sabotage;

/// The task hub that everything happens in.
pub const HUB: HubId = HubId(1);

const TURN_OUT: &str = "turn handed out";
const ACTIVITY_OUT: &str = "activity handed out";
const BATCH_OUT: &str = "batch handed out";

/// Shared by everybody in a run.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    plan: Plan,
    sabotage: Sabotage,
    disk: Disk,
    clock: SimClock,
    witness: Mutex<Witness>,
    /// Woken when an invariant is broken.
    broken: Notify,
    numbers: AtomicU64,
    /// Faults are over.
    healed: AtomicBool,
    /// The log was opened once.
    opened: AtomicBool,
}

struct Witness {
    invariants: Vec<Box<dyn Invariant>>,
    digest: Xxh3,
    echo: bool,
    moments: u64,
    counts: BTreeMap<&'static str, u64>,
    violation: Option<Violation>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub text: String,
}

impl World {
    /// A world in which nothing has happened; `echo` prints the trace.
    #[must_use]
    pub fn new(plan: Plan, sabotage: Sabotage, echo: bool) -> Self {
        let witness = Witness {
            invariants: invariants::all(&plan),
            digest: Xxh3::new(),
            echo,
            moments: 0,
            counts: BTreeMap::new(),
            violation: None,
        };
        Self(Arc::new(Inner {
            clock: SimClock::new(plan.drift_ppm),
            plan,
            sabotage,
            disk: Disk::default(),
            witness: Mutex::new(witness),
            broken: Notify::new(),
            numbers: AtomicU64::new(0),
            healed: AtomicBool::new(false),
            opened: AtomicBool::new(false),
        }))
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The bug put in on purpose.
    #[must_use]
    pub fn sabotage(&self) -> Sabotage {
        self.0.sabotage
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        &self.0.clock
    }

    /// A number not given out before.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether faults are over.
    #[must_use]
    pub fn healed(&self) -> bool {
        self.0.healed.load(Ordering::Relaxed)
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.0.healed.store(true, Ordering::Relaxed);
        self.note(Moment::Healed);
    }

    /// Whether the log was ever opened, so that it must be there from then on.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.0.opened.load(Ordering::Relaxed)
    }

    /// Says that the log was opened.
    pub fn note_opened(&self) {
        self.0.opened.store(true, Ordering::Relaxed);
    }

    /// Takes down what happened and lets every invariant judge it.
    pub fn note(&self, moment: Moment) {
        let high = self.0.clock.high();
        let elapsed = self.0.clock.elapsed();
        let mut witness = self.0.witness.lock();
        if witness.violation.is_some() {
            return;
        }
        witness.moments += 1;
        let line = format!("{:10.3} {moment}\n", elapsed.as_secs_f64() * 1e3);
        witness.digest.update(line.as_bytes());
        if witness.echo {
            eprint!("{line}");
        }
        if let Some(name) = coverage(&moment) {
            *witness.counts.entry(name).or_default() += 1;
        }
        let broken = witness
            .invariants
            .iter_mut()
            .find_map(|it| Some((it.name(), it.judge(&moment, high).err()?)));
        if let Some((invariant, text)) = broken {
            if witness.echo {
                eprintln!("BROKEN {invariant}: {text}");
            }
            witness.violation = Some(Violation { invariant, text });
            self.0.broken.notify_one();
        }
    }

    /// Reports something that no single moment shows.
    pub fn broken(&self, invariant: &'static str, text: String) {
        let mut witness = self.0.witness.lock();
        witness
            .violation
            .get_or_insert(Violation { invariant, text });
        self.0.broken.notify_one();
    }

    /// The first broken promise.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        self.0.witness.lock().violation.clone()
    }

    /// Waits until a promise is broken.
    pub async fn until_broken(&self) {
        while self.violation().is_none() {
            self.0.broken.notified().await;
        }
    }

    /// Digest of the trace so far, and its length.
    #[must_use]
    pub fn trace(&self) -> (u128, u64) {
        let witness = self.0.witness.lock();
        (witness.digest.digest128(), witness.moments)
    }

    /// Work items handed to workers so far.
    #[must_use]
    pub fn handed_out(&self) -> u64 {
        let witness = self.0.witness.lock();
        let of = |name| witness.counts.get(name).copied().unwrap_or(0);
        of(TURN_OUT) + of(ACTIVITY_OUT) + of(BATCH_OUT)
    }

    /// How often each kind of thing has happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.witness.lock().counts.clone()
    }
}

/// What a moment counts as: a run without faults proves nothing.
fn coverage(moment: &Moment) -> Option<&'static str> {
    use crate::moment::{Answer, Ending, EntityView, Request, Setback};
    Some(match moment {
        Moment::Down(Ending::Stopped) => "stopped",
        Moment::Down(Ending::Killed) => "killed",
        Moment::Down(Ending::PowerLost) => "power lost",
        Moment::Fault { .. } | Moment::Refused { .. } => "disk failed",
        Moment::ClockSet(by) if *by < 0 => "clock set back",
        Moment::ClockSet(_) => "clock set forward",
        Moment::Setback(Setback::StreamLost) => "stream lost",
        Moment::Setback(Setback::Abandoned) => "item abandoned",
        Moment::Setback(Setback::Forgotten) => "item forgotten",
        Moment::Setback(Setback::Repeated) => "answer repeated",
        Moment::Setback(Setback::Stale) => "answer stale",
        Moment::Setback(Setback::NoOutcome) => "answer without outcome",
        Moment::Answered {
            answer: Answer::Unknown,
            ..
        } => "call without outcome",
        Moment::Answered {
            answer: Answer::NotDone,
            ..
        } => "call refused",
        Moment::Answered {
            answer: Answer::Exists(_),
            ..
        } => "start refused",
        Moment::Survived { .. } => "survived",
        Moment::TurnOut { .. } => TURN_OUT,
        Moment::ActivityOut { .. } => ACTIVITY_OUT,
        Moment::TurnTaken { .. } => "turn taken",
        Moment::ActivityTaken { .. } => "activity taken",
        Moment::BatchOut { .. } => BATCH_OUT,
        Moment::BatchTaken { .. } => "batch taken",
        Moment::Setback(Setback::BatchForgotten) => "batch lost",
        Moment::Setback(Setback::BatchInPart) => "batch partly done",
        Moment::Setback(Setback::BatchFailed) => "batch not run",
        Moment::Setback(Setback::BatchStale) => "batch stale",
        Moment::EntitySeen {
            view:
                Some(EntityView {
                    locked_by: Some(_),
                    backlog: 1..,
                    ..
                }),
            ..
        } => "operation waits for a lock",
        Moment::QueryAnswered { complete: true, .. } => "query answered",
        Moment::Aged { deleted: 1.., .. } => "instance aged",
        Moment::Asked {
            request: Request::Signal { again: true, .. },
            ..
        } => "signal repeated",
        Moment::Answered {
            request,
            answer: Answer::Done,
            ..
        } => match request {
            Request::Signal { due: Some(_), .. } => "signal delayed",
            Request::Signal { .. } => "signal acknowledged",
            Request::Force { .. } => "end forced",
            Request::Purge { .. } => "purged",
            Request::Restart { .. } => "restarted",
            Request::Rewind { .. } => "rewound",
            _ => return None,
        },
        _ => return None,
    })
}
