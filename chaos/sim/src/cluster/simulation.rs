//! One run: nodes that live and die while troubles last, then a time in which everything must come to rest.

use std::time::Duration;

use longhaul_types::NodeId;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::host::{self, Host, State};
use super::moves::Move;
use super::network::Net;
use super::panics;
use super::plan::{ClusterPlan, Trouble};
use super::process::Process;
use super::shared::Shared;
use super::troubles::Troubles;
use crate::Outcome;
use crate::clients::Client;
use crate::clock::{SimClock, TrueTime};
use crate::dice::Dice;
use crate::moment::{Ending, Mishap, Moment};
use crate::sabotage::Sabotage;
use crate::stories::Stories;
use crate::workers::Worker;
use crate::world::{Machine, ProcessId, World};

/// How often hosts, links and clients are looked after.
const ROUND: Duration = Duration::from_millis(20);

/// A client leaves a node that has stood still for so long.
const CLIENT_PATIENCE: Duration = Duration::from_millis(400);

/// Runs the plan of a seed; `echo` prints the trace.
#[must_use]
pub fn run(seed: u64, sabotage: Sabotage, echo: bool) -> Outcome {
    let (plan, work) = ClusterPlan::of(seed);
    if echo {
        eprintln!("{plan:#?}\n{work:#?}");
    }
    let time = TrueTime::default();
    let clock = SimClock::following(time.clone(), 0);
    let world = World::without_machines(work, sabotage, echo, clock);
    panics::watch();
    let states = Simulation::new(world.clone(), plan, time).run();
    let (trace, moments) = world.trace();
    let mut disk = xxhash_rust::xxh3::Xxh3::new();
    for machine in world.machines() {
        disk.update(&machine.disk.digest().to_le_bytes());
    }
    Outcome {
        violation: world.violation(),
        trace,
        moments,
        states,
        disk: disk.digest128(),
        counts: world.counts(),
    }
}

/// Whether replicas are moved in the run of a seed, so that they have to be sent whole.
#[must_use]
pub fn moves_replicas(seed: u64) -> bool {
    let (plan, _) = ClusterPlan::of(seed);
    let moves = |trouble: &Trouble| matches!(trouble, Trouble::Move | Trouble::Wipe);
    plan.troubles.iter().any(moves)
}

pub(super) struct Simulation {
    pub(super) world: World,
    pub(super) shared: Shared,
    pub(super) plan: ClusterPlan,
    pub(super) dice: Dice,
    pub(super) stories: Stories,
    pub(super) hosts: Vec<Host>,
    pub(super) now: Duration,
    pub(super) moves: Vec<Move>,
    clients: Vec<Option<Attached>>,
    time: TrueTime,
    network: Runtime,
    network_began: Instant,
    round: Duration,
}

/// A client and the node it talks to.
struct Attached {
    host: usize,
    /// The node and its life.
    process: (NodeId, u32),
    job: JoinHandle<()>,
    /// It leaves then.
    leaves: Duration,
}

impl Simulation {
    fn new(world: World, plan: ClusterPlan, time: TrueTime) -> Self {
        let mut dice = Dice::new(plan.seed, "cluster simulation");
        let network = host::runtime(dice.roll());
        let network_began = network.block_on(async { Instant::now() });
        let net_dice = Dice::new(dice.roll(), "network");
        let net = Net::new(network.handle().clone(), net_dice, plan.latency);
        let nodes: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
        let shared = Shared::new(world.clone(), plan.clone(), net, &nodes);
        let stories = world.plan().stories.len();
        let mut simulation = Self {
            world,
            shared,
            dice,
            stories: Stories::default(),
            hosts: vec![],
            now: Duration::ZERO,
            moves: vec![],
            clients: (0..stories).map(|_| None).collect(),
            time,
            network,
            network_began,
            round: Duration::ZERO,
            plan,
        };
        for node in nodes {
            let starts = simulation.dice.millis(0, 300);
            simulation.add_host(node, starts);
        }
        simulation
    }

    fn add_host(&mut self, node: NodeId, starts: Duration) {
        let host = self.new_host(node, starts);
        self.hosts.push(host);
    }

    /// A machine for a node, switched on then.
    pub(super) fn new_host(&mut self, node: NodeId, starts: Duration) -> Host {
        let drift = self.dice.pick(&[0, 0, 200, -200, 20_000]);
        let clock = SimClock::following(self.time.clone(), drift);
        let machine = self.world.add_machine(Machine::new(clock));
        Host::new(node, machine, starts)
    }

    /// Answers the digests of the partitions' states at the end.
    fn run(&mut self) -> Vec<u128> {
        let mut troubles = Troubles::new(&self.plan, &mut self.dice);
        while self.now < self.plan.troubled && self.world.violation().is_none() {
            self.step();
            troubles.happen(self);
        }
        troubles.end(self);
        self.come_to_rest()
    }

    /// Goes on for a moment.
    pub(super) fn step(&mut self) {
        self.now += self.plan.tick;
        self.time.advance(self.plan.tick);
        let until = self.network_began + self.now;
        host::run_until(&self.network, until);
        let first = self.dice.below(self.hosts.len() as u64);
        let (behind, ahead) = self
            .hosts
            .split_at(usize::try_from(first).expect("an index"));
        for host in ahead.iter().chain(behind) {
            if let Some(running) = &host.running {
                running.run_until(self.now);
            }
        }
        if self.now >= self.round {
            self.round = self.now + ROUND;
            self.look_after_everything();
        }
    }

    fn look_after_everything(&mut self) {
        if let Some(panicked) = panics::seen() {
            self.world.broken("nothing panics", panicked);
        }
        self.shared.net().break_stalled(self.now);
        for number in 0..self.hosts.len() {
            self.look_after(number);
        }
        for story in 0..self.clients.len() {
            self.attach(story);
        }
        self.go_on_with_moves();
    }

    fn look_after(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(running) = &mut host.running else {
            if host.starts.is_some_and(|starts| starts <= self.now) {
                self.start(number);
            }
            return;
        };
        if running.paused.is_some_and(|pause| pause.until <= self.now) {
            self.resume(number);
            return;
        }
        let excused = running.excused;
        match running.state() {
            State::Well => {}
            State::Stopped => self.end(number, Ending::Stopped),
            State::Faulty(reason) => {
                self.world.note(Moment::Fault { reason, excused });
                self.end(number, Ending::PowerLost);
            }
            State::Refused(reason) => {
                self.world.note(Moment::Refused { reason, excused });
                self.end(number, Ending::PowerLost);
            }
        }
    }

    fn start(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let node = host.node;
        // Whoever comes back does not know the links of whoever was there before.
        self.shared.net().break_links_of(node);
        self.shared.net().set_silent(node, false);
        host.start(&self.shared, self.now, &mut self.dice);
        let process = ProcessId {
            node: node.0,
            life: host.life(),
        };
        self.world.note(Moment::Mishap(Mishap::Starts(process)));
        let workers = match self.dice.below(4) {
            0 if self.hosts.len() > 1 && number > 0 => 0,
            _ => self.dice.between(1, 2),
        };
        for _ in 0..workers {
            self.employ(number);
        }
    }

    /// A worker that lives as long as the process.
    fn employ(&mut self, number: usize) {
        let running = self.hosts[number].running.as_ref().expect("just started");
        let (world, dice) = (self.world.clone(), Dice::new(self.dice.roll(), "worker"));
        let booting = running.booting();
        drop(running.spawn(async move {
            if let Some(process) = booting.await {
                let worker = Worker {
                    world,
                    router: process.router.clone(),
                    desk: process.desk.clone(),
                    dice,
                };
                drop(process);
                worker.live().await;
            }
        }));
    }

    /// Ends a process, as such things end.
    pub(super) fn end(&mut self, number: usize, ending: Ending) {
        let host = &mut self.hosts[number];
        if host.running.is_none() {
            return;
        }
        match ending {
            // Nobody is told.
            Ending::PowerLost => self.shared.net().set_silent(host.node, true),
            Ending::Stopped | Ending::Killed => self.shared.net().break_links_of(host.node),
        }
        host.end();
        let machine = self.world.machine(host.machine());
        machine.disk.left(ending, self.dice.roll());
        let down = self.dice.millis(0, 2_500);
        self.hosts[number].starts = Some(self.now + down);
        let node = self.hosts[number].node.0;
        self.world.note(Moment::Mishap(Mishap::Ends(node, ending)));
    }

    pub(super) fn resume(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        if let Some(running) = &mut host.running
            && running.paused.is_some()
        {
            self.world
                .note(Moment::Mishap(Mishap::Resumed(host.node.0)));
            self.shared.net().set_silent(host.node, false);
            running.resume(self.now);
        }
    }

    /// Sees to it that somebody goes on with a story.
    fn attach(&mut self, story: usize) {
        if let Some(attached) = &self.clients[story] {
            let host = &self.hosts[attached.host];
            let there = (host.node, host.life()) == attached.process && host.running.is_some();
            let stands_still = host.stands_still_since(self.now) > CLIENT_PATIENCE;
            let restless = attached.leaves <= self.now && !self.world.healed();
            if there && !stands_still && !restless {
                return;
            }
            attached.job.abort();
            self.clients[story] = None;
            if there {
                self.world
                    .note(Moment::Mishap(Mishap::ClientMoved(story as u64)));
            }
        }
        if self.stories.progress(story).done {
            return;
        }
        let up: Vec<(usize, Process)> = self.processes().collect();
        if up.is_empty() {
            return;
        }
        let chosen = usize::try_from(self.dice.below(up.len() as u64)).expect("an index");
        let (host, process) = &up[chosen];
        let client = Client {
            world: self.world.clone(),
            router: process.router.clone(),
            dice: Dice::new(self.dice.roll(), "client"),
            story: self.world.plan().stories[story].clone(),
            number: story,
            stories: self.stories.clone(),
        };
        let leaves = self.now + self.dice.millis(500, 8_000);
        let running = self.hosts[*host].running.as_ref().expect("it is up");
        self.clients[story] = Some(Attached {
            host: *host,
            process: (self.hosts[*host].node, self.hosts[*host].life()),
            job: running.spawn(client.live()),
            leaves,
        });
    }

    /// The process of a node, if it is up, and its host.
    pub(super) fn process_of(&self, node: NodeId) -> Option<(usize, Process)> {
        let mut up = self.processes();
        up.find(|(number, _)| self.hosts[*number].node == node)
    }

    /// The processes that are up.
    pub(super) fn processes(&self) -> impl Iterator<Item = (usize, Process)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(number, host)| Some((number, host.process()?)))
    }
}
