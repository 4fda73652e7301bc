//! The end of a run: troubles are over, everything has to come to rest, and every replica has to be the same.

use std::time::Duration;

use longhaul_partition::Partition;
use longhaul_types::PartitionId;

use super::simulation::Simulation;
use crate::clients;
use crate::moment::{Ending, Mishap, Moment};
use crate::orchestrations::child_id;
use crate::plan::{CHILDREN_MAX, Story};
use crate::world::World;

/// Simulated time after the last trouble in which everything must have ended.
const PATIENCE: Duration = Duration::from_secs(240);

/// Simulated time in which everything that is at rest can be read, and replicas become the same.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

/// Ready work may lie there for so long without anything being handed out.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether all is at rest.
const LOOK: Duration = Duration::from_millis(100);

impl Simulation {
    /// Answers the digests of the partitions' states.
    pub(super) fn come_to_rest(&mut self) -> Vec<u128> {
        let ended = self.until(PATIENCE, Self::is_at_rest);
        if !ended && self.world.violation().is_none() {
            let open = self.stories.open(&self.world);
            let (rest, moves) = (self.rest(), &self.moves);
            let text = format!("{rest:?}, moves: {moves:?}, stories that have not ended: {open:?}");
            self.world.broken("everything comes to rest", text);
        }
        self.read_everything();
        self.world.note(self.rest());
        let before = self.compare_replicas();
        if !self.plan.last_blackout {
            return before;
        }
        self.world.note(Moment::Mishap(Mishap::Blackout));
        for number in 0..self.hosts.len() {
            self.end(number, Ending::PowerLost);
        }
        self.until(LAST_PATIENCE, Self::is_at_rest);
        self.read_everything();
        let after = self.compare_replicas();
        if self.world.violation().is_none() {
            self.world.note(Moment::Survived {
                before,
                after: after.clone(),
            });
        }
        after
    }

    /// Goes on until something is the case, for no longer than that; answers whether it is.
    fn until(&mut self, patience: Duration, is: impl Fn(&Self) -> bool) -> bool {
        let ends = self.now + patience;
        let mut idle = Idle::default();
        let mut look = self.now;
        while self.world.violation().is_none() && self.now < ends {
            self.step();
            if self.now < look {
                continue;
            }
            look = self.now + LOOK;
            if is(self) {
                return true;
            }
            idle.look(self);
        }
        false
    }

    /// The replica that leads a partition, and its host.
    pub(super) fn leader_of(&self, id: PartitionId) -> Option<(usize, Partition)> {
        let replicas = self
            .processes()
            .filter_map(|(number, process)| Some((number, process.partitions().hosted(id)?)));
        let mut leaders = replicas.filter(|(_, partition)| partition.figures().leads);
        leaders.next()
    }

    fn is_at_rest(&self) -> bool {
        let stories = self.world.plan().stories.len();
        let told = (0..stories).all(|story| self.stories.progress(story).done);
        let up = self.processes().count() == self.hosts.len();
        let rest = self.rest();
        told && up
            && self.moves.is_empty()
            && self
                .shared
                .partitions()
                .iter()
                .all(|id| self.leader_of(*id).is_some())
            && matches!(
                rest,
                Moment::Rest {
                    queued: 0,
                    out: 0,
                    outboxes: 0
                }
            )
            && self.replicas_are_level()
    }

    fn rest(&self) -> Moment {
        let (mut queued, mut out, mut outboxes) = (0, 0, 0);
        for (_, process) in self.processes() {
            out += process.router.sessions().out();
            for partition in process.partitions().all_hosted() {
                let figures = partition.figures();
                queued += figures.queued;
                outboxes += figures.outboxes;
            }
        }
        Moment::Rest {
            queued,
            out,
            outboxes,
        }
    }

    /// Every replica there should be is there, and has got as far as the others.
    fn replicas_are_level(&self) -> bool {
        self.shared.partitions().iter().all(|id| {
            let replicas = self.replicas_of(*id);
            let level = replicas.windows(2).all(|pair| pair[0].1 == pair[1].1);
            level && replicas.len() == self.plan.replicas
        })
    }

    /// The node of each replica, and how far it has got.
    fn replicas_of(&self, id: PartitionId) -> Vec<(u64, u64, Partition)> {
        self.processes()
            .filter_map(|(number, process)| {
                let partition = process.partitions().hosted(id)?;
                let applied = partition.group().progress().applied.unwrap_or(0);
                Some((self.hosts[number].node.0, applied, partition))
            })
            .collect()
    }

    /// Answers the digest of each partition.
    fn compare_replicas(&mut self) -> Vec<u128> {
        self.until(LAST_PATIENCE, Self::replicas_are_level);
        let mut digests = vec![];
        for id in self.shared.partitions() {
            if self.world.violation().is_some() {
                break;
            }
            let replicas: Result<Vec<_>, _> = self
                .replicas_of(id)
                .into_iter()
                .map(|(node, applied, partition)| {
                    Ok::<_, longhaul_engine::TableFault>((node, applied, partition.state_digest()?))
                })
                .collect();
            match replicas {
                Ok(replicas) => {
                    digests.extend(replicas.first().map(|(_, _, digest)| *digest));
                    self.world.note(Moment::Replicas {
                        partition: id.0,
                        replicas,
                    });
                }
                Err(fault) => self.world.broken("replicas are equal", fault.to_string()),
            }
        }
        digests
    }

    /// Reads everything there is, from any node.
    fn read_everything(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        let Some((number, process)) = self.some_process() else {
            return;
        };
        let (world, router) = (self.world.clone(), process.router.clone());
        let running = self.hosts[number].running.as_ref().expect("it is up");
        let reading = running.spawn(async move {
            for instance in instances(&world) {
                while !clients::look(&world, &router, &instance).await {
                    tokio::time::sleep(LOOK).await;
                }
            }
            for entity in &world.plan().entities {
                while !clients::look_at_entity(&world, &router, entity)
                    .await
                    .certain
                {
                    tokio::time::sleep(LOOK).await;
                }
            }
            clients::list(&world, &router).await;
        });
        let ends = self.now + LAST_PATIENCE;
        while !reading.is_finished() && self.now < ends && self.world.violation().is_none() {
            self.step();
        }
        if !reading.is_finished() && self.world.violation().is_none() {
            let text = "reading takes too long".to_owned();
            self.world.broken("everything comes to rest", text);
        }
    }

    fn some_process(&mut self) -> Option<(usize, super::process::Process)> {
        let mut up: Vec<_> = self.processes().collect();
        if up.is_empty() {
            return None;
        }
        let chosen = self.dice.below(up.len() as u64);
        Some(up.swap_remove(usize::try_from(chosen).expect("an index")))
    }
}

/// Everything that may have been started.
fn instances(world: &World) -> Vec<String> {
    let stories = &world.plan().stories;
    let mut all = vec![];
    for story in stories.iter().filter(|it| it.starts_its_instance()) {
        all.push(story.instance.clone());
        all.extend((0..CHILDREN_MAX).map(|child| child_id(&story.instance, child)));
    }
    all.extend(stories.iter().flat_map(Story::born).map(str::to_owned));
    all
}

/// Notices work that is ready and that nobody is handed although workers are idle.
#[derive(Default)]
struct Idle {
    handed_out: u64,
    since: Option<Duration>,
}

impl Idle {
    fn look(&mut self, simulation: &Simulation) {
        let queued = match simulation.rest() {
            Moment::Rest { queued, .. } => queued,
            _ => 0,
        };
        let before = std::mem::replace(&mut self.handed_out, simulation.world.handed_out());
        if queued == 0 || before != self.handed_out {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert(simulation.now);
        if simulation.now - since > IDLE_MAX {
            let text = format!("{queued} items are ready, and none is handed out");
            simulation
                .world
                .broken("ready work is handed out at once", text);
        }
    }
}
