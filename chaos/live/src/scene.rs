//! What a fault has to work with.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::{
    command::run,
    dice::Dice,
    lab::{
        Lab, READY_WITHIN,
        network::NodeIndex,
        node::{Node, PEER_PORT},
    },
    workers::Workers,
    workload::Workload,
};

/// How long a way that was cut, or joined, may take to show it.
const PROBES: u32 = 20;
const PROBE_MILLIS: &str = "250";

/// The lab, the workload on it, and chance.
#[derive(Debug)]
pub struct Scene {
    /// What clients do meanwhile.
    pub workload: Workload,
    /// Worker processes.
    pub workers: Workers,
    /// Nodes and network. The last to go: the others write into its directory.
    pub lab: Lab,
    /// The run's choices.
    pub dice: Dice,
    /// Whether rounds are to be short.
    pub brief: bool,
}

/// One round of a fault, as it happened. Times count from the workload's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The nodes that were hit; those of clients connected to others should see little of it.
    pub victims: Vec<NodeIndex>,
    /// When it struck.
    pub began: Duration,
    /// When everything was as before.
    pub healed: Duration,
    /// What happened, in a few words.
    pub what: String,
}

impl Scene {
    /// Time since the workload began.
    pub fn now(&self) -> Duration {
        self.workload.shared.began.elapsed()
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.lab.nodes.len()
    }

    /// A node.
    pub fn node(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.lab.nodes[index]
    }

    /// The node that leads one of the partitions, any of them.
    ///
    /// # Errors
    /// If no node says that it leads anything.
    pub async fn leader(&mut self) -> Result<NodeIndex> {
        let leaders: Vec<NodeIndex> = self.lab.leaders().await.into_values().collect();
        ensure!(
            !leaders.is_empty(),
            "no node says that it leads a partition"
        );
        Ok(self.dice.pick(&leaders))
    }

    /// Any node.
    pub fn any(&mut self) -> NodeIndex {
        self.dice.index(self.lab.nodes.len())
    }

    /// Every node but this one.
    pub fn others(&self, than: NodeIndex) -> Vec<NodeIndex> {
        (0..self.count()).filter(|node| *node != than).collect()
    }

    /// Lets time pass: so many milliseconds, or about a fifth of them where rounds are to be short.
    pub async fn linger(&mut self, millis: RangeInclusive<u64>) -> Duration {
        let mut time = self.dice.millis(millis);
        if self.brief {
            time /= 5;
        }
        sleep(time).await;
        time
    }

    /// Starts a node again and waits until it is ready.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn restart(&mut self, index: NodeIndex) -> Result<()> {
        let node = self.node(index);
        node.start()?;
        node.ready(READY_WITHIN).await
    }

    /// A round that struck at `began`, hit these nodes, and is over now.
    pub fn over(&self, began: Duration, victims: Vec<NodeIndex>, what: impl Into<String>) -> Round {
        Round {
            victims,
            began,
            healed: self.now(),
            what: what.into(),
        }
    }

    /// Cuts what `from` sends to `to`, and sees that it is.
    ///
    /// # Errors
    /// If it cannot be cut.
    pub async fn cut(&self, from: NodeIndex, to: NodeIndex) -> Result<()> {
        self.lab.network.cut(from, to)?;
        self.probe_until(from, to, false).await
    }

    /// Joins it again, and sees that it is once the other direction is too.
    ///
    /// # Errors
    /// If it cannot be joined.
    pub fn join(&self, from: NodeIndex, to: NodeIndex) -> Result<()> {
        self.lab.network.join(from, to)
    }

    /// Waits until `from` reaches `to`, or does not.
    ///
    /// # Errors
    /// If that does not come about.
    pub async fn probe_until(&self, from: NodeIndex, to: NodeIndex, reaches: bool) -> Result<()> {
        for _ in 0..PROBES {
            if self.reaches(from, to)? == reaches {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("n{from} to n{to}: expected to reach it: {reaches}");
    }

    /// Whether `from` can open a connection to the peers' port of `to`.
    fn reaches(&self, from: NodeIndex, to: NodeIndex) -> Result<bool> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("a path that is no text")?;
        let address = format!("{}:{PEER_PORT}", self.lab.network.address(to));
        let mut command = self.lab.network.enter(from);
        command.extend([program, "probe", &address, "--millis", PROBE_MILLIS].map(str::to_owned));
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let said = run(words[0], &words[1..])?;
        Ok(said.trim() == "reached")
    }

    /// Empties the data directory of a node that does not run.
    ///
    /// # Errors
    /// If it cannot be emptied.
    pub fn wipe(&mut self, index: NodeIndex) -> Result<()> {
        let data = self.node(index).data();
        remove(&data)
    }
}

/// Removes a directory with everything in it.
pub fn remove(directory: &Path) -> Result<()> {
    std::fs::remove_dir_all(directory).with_context(|| directory.display().to_string())
}
