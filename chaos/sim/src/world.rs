//! What is outside the nodes: their machines, and the witness that takes down everything that happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use longhaul_replication::Leadership;
use longhaul_types::{HubId, PartitionId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;
use xxhash_rust::xxh3::Xxh3;

use crate::clock::SimClock;
use crate::disk::Disk;
use crate::invariants::{self, Invariant};
use crate::moment::{Ending, Mishap, Moment};
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::workers::Locked;

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
    /// What nodes run on, in order of their ids.
    machines: Mutex<Vec<Machine>>,
    /// The clients' clock.
    clock: SimClock,
    witness: Mutex<Witness>,
    /// Woken when an invariant is broken.
    broken: Notify,
    numbers: AtomicU64,
    /// Faults are over.
    healed: AtomicBool,
    /// What is on its way between nodes.
    lockers: Mutex<Vec<Locked>>,
    reigns: Mutex<BTreeMap<PartitionId, Reign>>,
}

/// One process of one of several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// The node.
    pub node: u64,
    /// Counts its processes.
    pub life: u32,
}

/// Who leads a partition.
struct Reign {
    term: u64,
    process: ProcessId,
}

/// What a node keeps when its processes die. Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    /// Its disk.
    pub disk: Disk,
    /// Its clock.
    pub clock: SimClock,
    opened: Arc<AtomicBool>,
}

impl Machine {
    /// One whose disk is empty.
    #[must_use]
    pub fn new(clock: SimClock) -> Self {
        Self {
            disk: Disk::default(),
            clock,
            opened: Arc::default(),
        }
    }

    /// Whether the log was ever opened, so that it must be there from then on.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// Says that the log was opened.
    pub fn note_opened(&self) {
        self.opened.store(true, Ordering::Relaxed);
    }
}

struct Witness {
    invariants: Vec<Box<dyn Invariant>>,
    digest: Xxh3,
    echo: bool,
    moments: u64,
    /// Moments that readers may or may not have seen the like of.
    changes: u64,
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
    /// A world of one node in which nothing has happened; `echo` prints the trace.
    #[must_use]
    pub fn new(plan: Plan, sabotage: Sabotage, echo: bool) -> Self {
        let clock = SimClock::new(plan.drift_ppm);
        let world = Self::without_machines(plan, sabotage, echo, clock.clone());
        world.add_machine(Machine::new(clock));
        world
    }

    /// A world without nodes; clients go by this clock.
    #[must_use]
    pub fn without_machines(plan: Plan, sabotage: Sabotage, echo: bool, clock: SimClock) -> Self {
        let witness = Witness {
            invariants: invariants::all(&plan),
            digest: Xxh3::new(),
            echo,
            moments: 0,
            changes: 0,
            counts: BTreeMap::new(),
            violation: None,
        };
        Self(Arc::new(Inner {
            plan,
            sabotage,
            machines: Mutex::default(),
            clock,
            witness: Mutex::new(witness),
            broken: Notify::new(),
            numbers: AtomicU64::new(0),
            healed: AtomicBool::new(false),
            lockers: Mutex::default(),
            reigns: Mutex::default(),
        }))
    }

    /// Sets up another machine, for the next node; answers which one it is.
    pub fn add_machine(&self, machine: Machine) -> usize {
        let mut machines = self.0.machines.lock();
        machines.push(machine);
        machines.len() - 1
    }

    /// A machine.
    #[must_use]
    pub fn machine(&self, number: usize) -> Machine {
        self.0.machines.lock()[number].clone()
    }

    /// All machines.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        self.0.machines.lock().clone()
    }

    /// A process sees who leads a partition.
    pub(crate) fn observe(&self, process: ProcessId, id: PartitionId, seen: &Leadership) {
        if !seen.is_leader {
            return;
        }
        let reign = Reign {
            term: seen.term,
            process,
        };
        let mut reigns = self.0.reigns.lock();
        let known = reigns.get(&id).map(|it| (it.term, it.process));
        if known.is_some_and(|(term, leader)| {
            term > seen.term || (term == seen.term && leader == process)
        }) {
            return;
        }
        // Of two in one term the first stays: an invariant sees both.
        if known.is_none_or(|(term, _)| term < seen.term) {
            reigns.insert(id, reign);
        }
        drop(reigns);
        self.note(Moment::Leads {
            process,
            partition: id.0,
            term: seen.term,
        });
    }

    /// The process that was the last to lead a partition.
    pub(crate) fn leader(&self, id: PartitionId) -> Option<ProcessId> {
        self.0.reigns.lock().get(&id).map(|it| it.process)
    }

    /// Puts something away; answers a message that stands for it.
    pub(crate) fn fill_locker(&self, content: Locked) -> Bytes {
        let mut lockers = self.0.lockers.lock();
        lockers.push(content);
        Bytes::copy_from_slice(&(lockers.len() as u64 - 1).to_le_bytes())
    }

    /// What a message stands for.
    pub(crate) fn open_locker(&self, message: &[u8]) -> Option<Locked> {
        let number = u64::from_le_bytes(message.try_into().ok()?);
        let number = usize::try_from(number).ok()?;
        self.0.lockers.lock().get(number).cloned()
    }

    /// The latest time that any node's clock has ever shown.
    fn high(&self) -> Timestamp {
        let machines = self.0.machines.lock();
        let highs = machines.iter().map(|machine| machine.clock.high());
        highs.max().unwrap_or(Timestamp::EPOCH)
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

    /// The disk of the only node.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.machine(0).disk
    }

    /// The clients' clock; that of the only node, if there is one.
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

    /// Takes down what happened and lets every invariant judge it.
    pub fn note(&self, moment: Moment) {
        let high = self.high();
        let elapsed = self.0.clock.elapsed();
        let mut witness = self.0.witness.lock();
        if witness.violation.is_some() {
            return;
        }
        witness.moments += 1;
        if matches!(
            moment,
            Moment::TurnOut { .. }
                | Moment::TurnAnswered { .. }
                | Moment::TurnTaken { .. }
                | Moment::BatchOut { .. }
                | Moment::BatchTaken { .. }
        ) {
            witness.changes += 1;
        }
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

    /// Begins a read; answers what [`World::is_certain`] wants to know.
    pub(crate) fn begin_read(&self) -> u64 {
        self.0.witness.lock().changes
    }

    /// Whether a read that has ended shows what is known now. Between several nodes, an answer travels while others are
    /// handed something newer.
    pub(crate) fn is_certain(&self, begun: u64) -> bool {
        self.0.plan.alone || self.0.witness.lock().changes == begun
    }

    /// How often each kind of thing has happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.witness.lock().counts.clone()
    }
}

fn coverage_of_mishap(mishap: &Mishap) -> &'static str {
    match mishap {
        Mishap::Starts(_) => "process started",
        Mishap::Ends(_, Ending::Stopped) => "stopped",
        Mishap::Ends(_, Ending::Killed) => "killed",
        Mishap::Ends(_, Ending::PowerLost) => "power lost",
        Mishap::Blackout => "blackout",
        Mishap::Paused(_) => "paused",
        Mishap::Resumed(_) => "resumed",
        Mishap::Cut(ways) if ways.len() == 1 => "cut one way",
        Mishap::Cut(ways) if ways.len() == 2 => "cut",
        Mishap::Cut(_) => "isolated",
        Mishap::Mended(_) => "mended",
        Mishap::LinksBroken => "links broken",
        Mishap::Slow(..) => "node slow",
        Mishap::DiskBroken(_) => "disk broken",
        Mishap::ClockSet(..) => "clock of a node set",
        Mishap::Transfer { .. } => "leadership transferred",
        Mishap::Moving { .. } => "replica moving",
        Mishap::Moved(_) => "replica moved",
        Mishap::Wiped { .. } => "node wiped",
        Mishap::ClientMoved(_) => "client moved",
    }
}

/// What a moment counts as: a run without faults proves nothing.
fn coverage(moment: &Moment) -> Option<&'static str> {
    use crate::moment::{Answer, EntityView, Request, Setback};
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
        Moment::Setback(Setback::HandedOutLate) => "item handed out late",
        Moment::Mishap(mishap) => return Some(coverage_of_mishap(mishap)),
        Moment::Leads { .. } => "elected",
        Moment::Travelled { .. } => "item taken elsewhere",
        Moment::Installed { .. } => "snapshot installed",
        Moment::Replicas { .. } => "replicas compared",
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
