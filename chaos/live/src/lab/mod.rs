//! Everything that a run makes on the machine: network, disks, nodes. All of it goes when the lab is dropped.

pub mod disk;
pub mod http;
mod leftovers;
mod members;
pub mod network;
pub mod node;
pub mod process;
pub mod run_id;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use disk::Disk;
use members::Cluster;
use network::{Network, NodeIndex};
use node::{Membership, Node};
use run_id::RunId;

/// How long nodes may take to form a cluster, or to come back.
pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long it may take until replicas are where they should be again.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `longhaul` binary.
    pub binary: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// Into how many partitions instances are divided.
    pub partitions: u32,
    /// Only addresses of the loopback interface and directories, even where more is allowed.
    pub plain: bool,
}

/// Nodes with a network between them.
#[derive(Debug)]
pub struct Lab {
    /// The nodes, by index.
    pub nodes: Vec<Node>,
    /// What is between them.
    pub network: Network,
    id: RunId,
    directory: Directory,
}

/// A directory that goes with its owner.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(failure) = fs::remove_dir_all(&self.0) {
            eprintln!("left behind: {}: {failure}", self.0.display());
        }
    }
}

impl Lab {
    /// Builds it; no node runs yet.
    ///
    /// # Errors
    /// If not even loopback addresses and directories can be had.
    pub fn build(plan: &Plan) -> Result<Self> {
        let parent = std::env::temp_dir();
        leftovers::remove(&parent);
        let (id, directory) = RunId::claim(&parent)?;
        let directory = Directory(directory);
        leftovers::own(&directory.0)?;
        let network = network(id, plan);
        let membership = Membership {
            partitions: plan.partitions,
            peers: if plan.nodes == 1 {
                vec![]
            } else {
                (0..plan.nodes)
                    .map(|index| (node::name(index), network.address(index)))
                    .collect()
            },
        };
        let mut nodes = Vec::with_capacity(plan.nodes);
        for index in 0..plan.nodes {
            let disk = disk(id, index, &directory.0, plan.plain)?;
            nodes.push(Node::prepare(
                index,
                network.address(index),
                network.enter(index),
                &plan.binary,
                &directory.0,
                disk,
                &membership,
            )?);
        }
        Ok(Self {
            nodes,
            network,
            id,
            directory,
        })
    }

    /// The run's number.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// Starts all nodes and waits until they are ready.
    ///
    /// # Errors
    /// If one is not in time.
    pub async fn start_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.start()?;
        }
        self.all_ready().await
    }

    /// Waits until all nodes are ready.
    ///
    /// # Errors
    /// If one is not in time.
    pub async fn all_ready(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.ready(READY_WITHIN).await?;
        }
        Ok(())
    }

    /// Who leads each partition, by the nodes' own account.
    pub async fn leaders(&self) -> BTreeMap<u32, NodeIndex> {
        let mut leaders = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let led = node.led().await;
            leaders.extend(led.into_iter().map(|partition| (partition, index)));
        }
        leaders
    }

    /// Waits until every partition has its replicas on the nodes that there are, and nobody who was emptied counts any
    /// more; then, any minority may be lost.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn settled(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let Some(unsettled) = self.unsettled() else {
                return Ok(());
            };
            ensure!(
                Instant::now() < deadline,
                "after {SETTLED_WITHIN:?}: {unsettled}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What is not yet as it should be, as the first node says.
    fn unsettled(&self) -> Option<String> {
        let printed = self.nodes.first()?.cluster_status();
        let cluster = printed.and_then(|printed| Cluster::parse(&printed));
        match cluster {
            Ok(cluster) => cluster.unsettled(self.nodes.len()),
            Err(failure) => Some(format!("{failure:#}")),
        }
    }

    /// Copies all logs to a directory that stays.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn keep_logs(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to).with_context(|| to.display().to_string())?;
        for file in fs::read_dir(&self.directory.0)? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Processes before the disks and namespaces that they are in, and those before the directory.
        self.nodes.clear();
    }
}

fn network(id: RunId, plan: &Plan) -> Network {
    if plan.plain {
        return Network::loopback(id, plan.nodes);
    }
    Network::namespaces(id, plan.nodes).unwrap_or_else(|why| {
        println!("no namespaces, so nothing between nodes can be cut: {why:#}");
        Network::loopback(id, plan.nodes)
    })
}

fn disk(id: RunId, index: NodeIndex, directory: &Path, plain: bool) -> Result<Disk> {
    let place = directory.join(format!("n{index}"));
    if plain {
        return Disk::directory(place);
    }
    let [in_memory, on_disk] = disk::images(id, index, directory);
    let has_memory = in_memory.parent().is_some_and(Path::is_dir);
    let image = if has_memory { in_memory } else { on_disk };
    match Disk::image(place.clone(), image) {
        Ok(disk) => Ok(disk),
        Err(why) => {
            println!("no disk of its own for node {index}, so it cannot fail: {why:#}");
            Disk::directory(place)
        }
    }
}
