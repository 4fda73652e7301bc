//! What goes wrong, and when it is over.

use std::time::Duration;

use longhaul_types::{NodeId, PartitionId};

use super::host::Pause;
use super::plan::{ClusterPlan, Trouble};
use super::simulation::Simulation;
use crate::dice::Dice;
use crate::moment::{Ending, Mishap, Moment};
use crate::sabotage::Sabotage;

/// The troubles of a run.
pub(super) struct Troubles {
    kinds: Vec<Trouble>,
    between: u64,
    dice: Dice,
    next: Duration,
    /// What ends at a time.
    passing: Vec<(Duration, Vec<(NodeId, NodeId)>)>,
    /// A node has lost everything.
    wiped: bool,
}

impl Troubles {
    pub(super) fn new(plan: &ClusterPlan, dice: &mut Dice) -> Self {
        Self {
            kinds: plan.troubles.clone(),
            between: plan.between,
            dice: Dice::new(dice.roll(), "troubles"),
            next: Duration::from_millis(500),
            passing: vec![],
            wiped: false,
        }
    }

    /// Lets happen what is due.
    pub(super) fn happen(&mut self, simulation: &mut Simulation) {
        let now = simulation.now;
        let (over, passing) = std::mem::take(&mut self.passing)
            .into_iter()
            .partition(|(ends, _)| *ends <= now);
        self.passing = passing;
        for (_, ways) in over {
            mend(simulation, &ways);
        }
        if now < self.next {
            return;
        }
        self.next = now + self.dice.millis(50, self.between);
        let kind = self.dice.pick(&self.kinds);
        self.strike(kind, simulation);
    }

    /// Ends everything; nodes that are down start.
    pub(super) fn end(&mut self, simulation: &mut Simulation) {
        for (_, ways) in std::mem::take(&mut self.passing) {
            mend(simulation, &ways);
        }
        simulation.shared.net().heal();
        for number in 0..simulation.hosts.len() {
            simulation.resume(number);
            let host = &mut simulation.hosts[number];
            host.starts = host.starts.map(|starts| starts.min(simulation.now));
            // What it was told may still happen to it.
            let broken = host.running.as_ref().is_some_and(|it| it.excused);
            if broken {
                simulation.end(number, Ending::PowerLost);
                simulation.hosts[number].starts = Some(simulation.now);
            }
        }
        simulation.world.heal();
    }

    fn strike(&mut self, kind: Trouble, simulation: &mut Simulation) {
        match kind {
            Trouble::Crash => self.crash(simulation),
            Trouble::Blackout => {
                simulation.world.note(Moment::Mishap(Mishap::Blackout));
                for number in 0..simulation.hosts.len() {
                    simulation.end(number, Ending::PowerLost);
                }
            }
            Trouble::Pause => self.pause(simulation),
            Trouble::Isolation => self.isolate(simulation),
            Trouble::Cut => self.cut(simulation),
            Trouble::Breaks => {
                let percent = self.dice.pick(&[10, 50, 100]);
                simulation.world.note(Moment::Mishap(Mishap::LinksBroken));
                simulation.shared.net().break_some(percent);
            }
            Trouble::SlowNode => {
                let node = self.node(simulation);
                let millis = self.dice.pick(&[0, 5, 30, 120]);
                let slow = Mishap::Slow(node.0, millis);
                simulation.world.note(Moment::Mishap(slow));
                simulation.shared.net().slow_down(node, millis);
            }
            Trouble::BrokenDisk => self.break_disk(simulation),
            Trouble::Clock => self.set_clock(simulation),
            Trouble::Transfer => self.transfer(simulation),
            Trouble::Move => self.move_replica(simulation),
            Trouble::Wipe => self.wipe(simulation),
        }
    }

    fn crash(&mut self, simulation: &mut Simulation) {
        let number = self.host(simulation);
        match self.dice.below(4) {
            0 => {
                if let Some(running) = &mut simulation.hosts[number].running
                    && running.paused.is_none()
                {
                    running.stop();
                }
            }
            1 => simulation.end(number, Ending::Killed),
            _ => simulation.end(number, Ending::PowerLost),
        }
    }

    fn pause(&mut self, simulation: &mut Simulation) {
        let number = self.host(simulation);
        let since = simulation.now;
        let until = since + self.dice.millis(50, 3_000);
        let host = &mut simulation.hosts[number];
        if let Some(running) = &mut host.running
            && running.paused.is_none()
        {
            running.paused = Some(Pause { since, until });
            simulation.shared.net().set_silent(host.node, true);
            let paused = Mishap::Paused(host.node.0);
            simulation.world.note(Moment::Mishap(paused));
        }
    }

    fn isolate(&mut self, simulation: &mut Simulation) {
        let node = self.node(simulation);
        let others = simulation.hosts.iter().map(|host| host.node);
        let ways = others
            .filter(|other| *other != node)
            .flat_map(|other| [(node, other), (other, node)])
            .collect();
        self.cut_for_a_while(simulation, ways);
    }

    fn cut(&mut self, simulation: &mut Simulation) {
        let one = self.node(simulation);
        let others = simulation.hosts.iter().map(|host| host.node);
        let others: Vec<NodeId> = others.filter(|other| *other != one).collect();
        let other = self.dice.pick(&others);
        let ways = match self.dice.percent(50) {
            true => vec![(one, other)],
            false => vec![(one, other), (other, one)],
        };
        self.cut_for_a_while(simulation, ways);
    }

    fn cut_for_a_while(&mut self, simulation: &mut Simulation, ways: Vec<(NodeId, NodeId)>) {
        for (from, to) in &ways {
            simulation.shared.net().cut(*from, *to);
        }
        let named = ways.iter().map(|(from, to)| (from.0, to.0)).collect();
        simulation.world.note(Moment::Mishap(Mishap::Cut(named)));
        let ends = simulation.now + self.dice.millis(100, 4_000);
        self.passing.push((ends, ways));
    }

    fn break_disk(&mut self, simulation: &mut Simulation) {
        let number = self.host(simulation);
        let host = &mut simulation.hosts[number];
        let Some(running) = &mut host.running else {
            return;
        };
        running.excused = true;
        let files = simulation.world.machine(host.machine()).disk.files;
        match self.dice.percent(50) {
            true => files.halt_after(self.dice.below(200)),
            false => files.fail_sync(self.dice.between(1, 30)),
        }
        let broken = Mishap::DiskBroken(host.node.0);
        simulation.world.note(Moment::Mishap(broken));
    }

    fn set_clock(&mut self, simulation: &mut Simulation) {
        let number = self.host(simulation);
        let host = &simulation.hosts[number];
        let by = i64::try_from(self.dice.below(8_000)).expect("small") - 5_000;
        let machine = simulation.world.machine(host.machine());
        machine.clock.set_by(i128::from(by) * 1_000_000);
        let set = Mishap::ClockSet(host.node.0, by);
        simulation.world.note(Moment::Mishap(set));
    }

    fn transfer(&mut self, simulation: &mut Simulation) {
        let partitions = simulation.shared.partitions();
        let id: PartitionId = self.dice.pick(&partitions);
        let Some((number, partition)) = simulation.leader_of(id) else {
            return;
        };
        let voters: Vec<NodeId> = partition.group().membership().voters.into_iter().collect();
        let to = self.dice.pick(&voters);
        simulation.world.note(Moment::Mishap(Mishap::Transfer {
            partition: id.0,
            to: to.0,
        }));
        simulation.hand_over(number, partition, to);
    }

    fn move_replica(&mut self, simulation: &mut Simulation) {
        let partitions = simulation.shared.partitions();
        let id = self.dice.pick(&partitions);
        let replicas = simulation.shared.replicas(id);
        let nodes = simulation.hosts.iter().map(|host| host.node);
        // Whoever had a replica before knows what it promised then; a replica that comes back would not.
        let new: Vec<NodeId> = nodes.filter(|node| !replicas.ever.contains(node)).collect();
        let moving = simulation.moves.iter().any(|it| it.partition == id);
        if new.is_empty() || moving {
            return;
        }
        let old: Vec<NodeId> = replicas.nodes.into_iter().collect();
        simulation.begin_move(id, self.dice.pick(&old), self.dice.pick(&new));
    }

    /// A node loses everything. What takes its place is another node, which takes over its replicas.
    fn wipe(&mut self, simulation: &mut Simulation) {
        let number = self.host(simulation);
        let node = simulation.hosts[number].node;
        let replicas = simulation.shared.partitions_of(node);
        let began = |id: &PartitionId| simulation.world.leader(*id).is_some();
        // Once: replicas that are all gone are gone.
        if self.wiped || !simulation.moves.is_empty() || !replicas.iter().all(began) {
            return;
        }
        self.wiped = true;
        simulation.end(number, Ending::PowerLost);
        let new = match simulation.world.sabotage() {
            Sabotage::ReusedNodeId => node,
            _ => NodeId(
                simulation
                    .hosts
                    .iter()
                    .map(|host| host.node.0)
                    .max()
                    .unwrap_or(0)
                    + 1,
            ),
        };
        let starts = simulation.now + self.dice.millis(0, 2_000);
        simulation.hosts[number] = simulation.new_host(new, starts);
        simulation.world.note(Moment::Mishap(Mishap::Wiped {
            node: node.0,
            comes_back: new.0,
        }));
        if new == node {
            return;
        }
        simulation.shared.change_members(|members| {
            members.remove(&node);
            members.insert(new);
        });
        for id in replicas {
            simulation.begin_move(id, node, new);
        }
    }

    fn host(&mut self, simulation: &Simulation) -> usize {
        let hosts = simulation.hosts.len() as u64;
        usize::try_from(self.dice.below(hosts)).expect("an index")
    }

    fn node(&mut self, simulation: &Simulation) -> NodeId {
        let number = self.host(simulation);
        simulation.hosts[number].node
    }
}

fn mend(simulation: &Simulation, ways: &[(NodeId, NodeId)]) {
    for (from, to) in ways {
        simulation.shared.net().mend(*from, *to);
    }
    let named = ways.iter().map(|(from, to)| (from.0, to.0)).collect();
    simulation.world.note(Moment::Mishap(Mishap::Mended(named)));
}
