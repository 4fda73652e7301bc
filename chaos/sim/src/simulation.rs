//! One run: processes that live and die over one disk, then a last one in which everything must come to rest.
//!
//! ```text
//!   life 0 ─✗─ life 1 ─✗─ … ─✗─ last life: faults end ─► all stories end ─► at rest ─✗─ the same state again, twice
//!          power lost, killed, stopped, disk failed
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::{Builder, RngSeed, Runtime, UnhandledPanic};
use tokio::time::{Instant, timeout};

use crate::clients::{self, Client};
use crate::dice::Dice;
use crate::idleness;
use crate::moment::{Ending, Moment};
use crate::node::{Faults, Node};
use crate::orchestrations::child_id;
use crate::plan::{CHILDREN_MAX, Plan, Story};
use crate::sabotage::Sabotage;
use crate::stories::Stories;
use crate::workers::{Desk, Worker};
use crate::world::{Violation, World};

/// Simulated time after the last fault in which everything must have ended.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Simulated time in which a process must be up.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// Digest of everything that happened.
    pub trace: u128,
    /// How much that was.
    pub moments: u64,
    /// Digest of each partition's state at the end.
    pub states: Vec<u128>,
    /// Digest of the disk at the end.
    pub disk: u128,
    /// How often each kind of thing has happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs the plan of a seed; `echo` prints the trace.
#[must_use]
pub fn run(seed: u64, sabotage: Sabotage, echo: bool) -> Outcome {
    let mut simulation = Simulation {
        world: World::new(Plan::of(seed), sabotage, echo),
        dice: Dice::new(seed, "simulation"),
        stories: Stories::default(),
        life: 0,
    };
    if echo {
        eprintln!("{:#?}", simulation.world.plan());
    }
    let states = simulation.run();
    let world = simulation.world;
    let (trace, moments) = world.trace();
    Outcome {
        violation: world.violation(),
        trace,
        moments,
        states,
        disk: world.disk().digest(),
        counts: world.counts(),
    }
}

struct Simulation {
    world: World,
    dice: Dice,
    stories: Stories,
    life: u32,
}

impl Simulation {
    /// Answers the digests of the partitions' states at the end.
    fn run(&mut self) -> Vec<u128> {
        while self.life < self.world.plan().lives && self.world.violation().is_none() {
            self.short_life();
        }
        let before = self.last_life();
        let after = self.afterlife();
        self.compare(before, after.clone());
        let again = self.afterlife();
        self.compare(after, again.clone());
        again
    }

    fn compare(&self, before: Vec<u128>, after: Vec<u128>) {
        if self.world.violation().is_none() {
            self.world.note(Moment::Survived { before, after });
        }
    }

    /// A process that ends before its time.
    fn short_life(&mut self) {
        let until = self.dice.millis(1, 6_000);
        let fate = match self.dice.below(10) {
            0..3 => Fate::DiskStops(self.dice.below(500)),
            3 => Fate::SyncFails(self.dice.between(1, 60)),
            4 => Fate::Ends(Ending::Stopped),
            5 | 6 => Fate::Ends(Ending::Killed),
            _ => Fate::Ends(Ending::PowerLost),
        };
        let life = Life::begin(self);
        let ending = life.runtime.block_on(life.live_until(until, fate));
        self.leave(life, ending);
    }

    /// A process in which everything must come to rest. Then the power goes.
    fn last_life(&mut self) -> Vec<u128> {
        if self.world.violation().is_some() {
            return vec![];
        }
        let life = Life::begin(self);
        let states = life.runtime.block_on(life.watched(life.come_to_rest()));
        self.leave(life, Ending::PowerLost);
        states.unwrap_or_default()
    }

    /// A process that finds everything as it was, and ends as it should.
    fn afterlife(&mut self) -> Vec<u128> {
        if self.world.violation().is_some() {
            return vec![];
        }
        let life = Life::begin(self);
        let states = life.runtime.block_on(life.watched(life.find_everything()));
        self.leave(life, Ending::Stopped);
        states.unwrap_or_default()
    }

    fn leave(&mut self, life: Life, ending: Ending) {
        drop(life);
        self.world.note(Moment::Down(ending));
        self.world.disk().left(ending, self.dice.roll());
        self.life += 1;
    }
}

/// What is in store for a process.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It ends like this when its time has come.
    Ends(Ending),
    /// The disk stops after so many changes, perhaps in the middle of something.
    DiskStops(u64),
    /// The disk fails to sync, the nth time.
    SyncFails(u64),
}

impl Fate {
    fn is_a_broken_disk(self) -> bool {
        matches!(self, Self::DiskStops(_) | Self::SyncFails(_))
    }
}

/// One process, and those who talk to it.
struct Life {
    world: World,
    stories: Stories,
    number: u32,
    dice: Dice,
    faults: Faults,
    runtime: Runtime,
    down: Duration,
}

impl Life {
    fn begin(simulation: &mut Simulation) -> Self {
        let dice = &mut simulation.dice;
        let down = dice.millis(0, 3_000);
        let own_dice = Dice::new(dice.roll(), "life");
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&dice.roll().to_le_bytes()))
            .unhandled_panic(UnhandledPanic::ShutdownRuntime)
            .build()
            .expect("a runtime without threads");
        Self {
            world: simulation.world.clone(),
            stories: simulation.stories.clone(),
            number: simulation.life,
            dice: own_dice,
            faults: Faults::default(),
            runtime,
            down,
        }
    }

    async fn live_until(&self, until: Duration, fate: Fate) -> Ending {
        let world = &self.world;
        world.clock().boot(self.down);
        match fate {
            Fate::DiskStops(after) => world.disk().files.halt_after(after),
            Fate::SyncFails(nth) => world.disk().files.fail_sync(nth),
            Fate::Ends(_) => {}
        }
        let excused = fate.is_a_broken_disk();
        let living = async {
            let node = self.start().await?;
            self.populate(&node);
            self.set_clock_now_and_then(until).await;
            let stopping = timeout(PATIENCE, node.stop()).await;
            stopping.map_err(|_| "it does not stop".to_owned())
        };
        let dies = async {
            match fate {
                Fate::Ends(Ending::Stopped) => std::future::pending().await,
                _ => tokio::time::sleep(until).await,
            }
        };
        let mut ending = Ending::PowerLost;
        tokio::select! {
            biased;
            () = world.until_broken() => {}
            reason = self.faults.first() => world.note(Moment::Fault { reason, excused }),
            () = dies => if let Fate::Ends(as_planned) = fate {
                ending = as_planned;
            },
            lived = living => match lived {
                Ok(()) => ending = Ending::Stopped,
                Err(reason) => world.note(Moment::Refused { reason, excused }),
            },
        }
        world.clock().halt();
        ending
    }

    /// Lives without faults.
    async fn watched<T>(&self, living: impl Future<Output = Result<T, String>>) -> Option<T> {
        self.world.clock().boot(self.down);
        let lived = tokio::select! {
            biased;
            () = self.world.until_broken() => None,
            reason = self.faults.first() => {
                self.world.note(Moment::Fault { reason, excused: false });
                None
            }
            lived = living => match lived {
                Ok(lived) => Some(lived),
                Err(reason) => {
                    self.world.note(Moment::Refused { reason, excused: false });
                    None
                }
            },
        };
        self.world.clock().halt();
        lived
    }

    async fn start(&self) -> Result<Node, String> {
        let starting = Node::start(&self.world, self.number, &self.faults);
        let started = timeout(START_PATIENCE, starting).await;
        let node = started.map_err(|_| "it does not come up".to_owned())??;
        self.world.note(Moment::Up { life: self.number });
        Ok(node)
    }

    fn populate(&self, node: &Node) {
        let mut dice = self.dice.clone();
        for _ in 0..dice.between(1, 4) {
            let worker = Worker {
                world: self.world.clone(),
                router: node.router.clone(),
                desk: Desk {
                    world: self.world.clone(),
                    process: None,
                    partitions: node.partitions().clone(),
                },
                dice: Dice::new(dice.roll(), "worker"),
            };
            tokio::spawn(worker.live());
        }
        for (number, story) in self.world.plan().stories.iter().enumerate() {
            if self.stories.progress(number).done {
                continue;
            }
            let client = Client {
                world: self.world.clone(),
                router: node.router.clone(),
                dice: Dice::new(dice.roll(), "client"),
                story: story.clone(),
                number,
                stories: self.stories.clone(),
            };
            tokio::spawn(client.live());
        }
    }

    async fn set_clock_now_and_then(&self, until: Duration) {
        let mut dice = Dice::new(self.dice.clone().roll(), "clock");
        let ends = Instant::now() + until;
        loop {
            let next = Instant::now() + dice.millis(200, 4_000);
            tokio::time::sleep_until(next.min(ends)).await;
            if next >= ends {
                return;
            }
            let by = i64::try_from(dice.below(8_000)).expect("small") - 5_000;
            self.world.clock().set_by(i128::from(by) * 1_000_000);
            self.world.note(Moment::ClockSet(by));
        }
    }

    async fn come_to_rest(&self) -> Result<Vec<u128>, String> {
        self.world.heal();
        let node = self.start().await?;
        self.populate(&node);
        tokio::spawn(idleness::watch(
            self.world.clone(),
            node.partitions().clone(),
        ));
        let stories = self.world.plan().stories.len();
        if timeout(PATIENCE, self.stories.all_done(stories))
            .await
            .is_err()
        {
            let open = self.stories.open(&self.world);
            let text = format!("these stories have not ended: {open:?}");
            self.world.broken("everything comes to rest", text);
            return Ok(vec![]);
        }
        // Children of whoever was ended, and what clients no longer wait for, come to rest as well.
        let rested = async {
            while !is_at_rest(&node) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        // Judged with what is found then.
        let _ = timeout(PATIENCE, rested).await;
        self.look_at_everything(&node).await;
        self.world.note(rest(&node));
        clients::list(&self.world, &node.router).await;
        clients::age(&self.world, &node.router).await;
        clients::list(&self.world, &node.router).await;
        states(&node)
    }

    async fn find_everything(&self) -> Result<Vec<u128>, String> {
        let node = self.start().await?;
        self.look_at_everything(&node).await;
        let states = states(&node)?;
        let stopping = timeout(PATIENCE, node.stop()).await;
        stopping.map_err(|_| "it does not stop".to_owned())?;
        Ok(states)
    }

    async fn look_at_everything(&self, node: &Node) {
        let plan = self.world.plan();
        let look = async |instance: &str| {
            clients::look(&self.world, &node.router, instance).await;
        };
        for story in plan.stories.iter().filter(|it| it.starts_its_instance()) {
            look(&story.instance).await;
            for child in 0..CHILDREN_MAX {
                look(&child_id(&story.instance, child)).await;
            }
        }
        for born in plan.stories.iter().flat_map(Story::born) {
            look(born).await;
        }
        for entity in &plan.entities {
            clients::look_at_entity(&self.world, &node.router, entity).await;
        }
    }
}

fn rest(node: &Node) -> Moment {
    let mut queued = 0;
    let mut outboxes = 0;
    for partition in node.partitions().iter() {
        let figures = partition.figures();
        queued += figures.queued;
        outboxes += figures.outboxes;
    }
    Moment::Rest {
        queued,
        out: node.partitions().sessions().out(),
        outboxes,
    }
}

fn is_at_rest(node: &Node) -> bool {
    let quiet = node.partitions().iter().all(|partition| {
        let figures = partition.figures();
        figures.queued == 0 && figures.outboxes == 0
    });
    quiet && node.partitions().sessions().out() == 0
}

fn states(node: &Node) -> Result<Vec<u128>, String> {
    let digests = node.partitions().iter().map(|it| it.state_digest());
    digests
        .collect::<Result<_, _>>()
        .map_err(|fault| fault.to_string())
}
