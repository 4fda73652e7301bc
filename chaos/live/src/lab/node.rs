//! One node: its configuration, its process, and what it says of itself.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{disk::Disk, http, network::NodeIndex, process::Process};
use crate::command::run;

/// Where nodes serve SDKs.
pub const GRPC_PORT: u16 = 8080;
/// Where nodes talk to each other.
pub const PEER_PORT: u16 = 7070;

const LOOK_EVERY: Duration = Duration::from_millis(20);
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
const LOG_LINES_SHOWN: usize = 15;

/// What makes a node one of several.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Into how many partitions instances are divided.
    pub partitions: u32,
    /// The first nodes, if there are several: names and addresses.
    pub peers: Vec<(String, Ipv4Addr)>,
}

/// A node and its process, if it runs.
#[derive(Debug)]
pub struct Node {
    index: NodeIndex,
    address: Ipv4Addr,
    enter: Vec<String>,
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
    // After the process, which has files open there.
    disk: Disk,
}

impl Node {
    /// A node that does not run yet, with its files below `directory`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn prepare(
        index: NodeIndex,
        address: Ipv4Addr,
        enter: Vec<String>,
        binary: &Path,
        directory: &Path,
        disk: Disk,
        membership: &Membership,
    ) -> Result<Self> {
        let node = Self {
            index,
            address,
            enter,
            binary: binary.to_owned(),
            config: directory.join(format!("n{index}.toml")),
            log: directory.join(format!("n{index}.log")),
            process: None,
            disk,
        };
        fs::write(&node.config, node.configuration(membership))?;
        Ok(node)
    }

    /// Its name in the cluster.
    pub fn name(&self) -> String {
        name(self.index)
    }

    /// Its address, for every port.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where it serves SDKs.
    pub fn grpc(&self) -> SocketAddr {
        (self.address, GRPC_PORT).into()
    }

    /// Its file system.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts its process, without waiting for it.
    ///
    /// # Errors
    /// If it runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("{} runs already", self.name());
        }
        let config = self.config.to_str().context("a path that is no text")?;
        let binary = self.binary.to_str().context("a path that is no text")?;
        let server = [binary, "server", "--config", config].map(str::to_owned);
        let command = [self.enter.as_slice(), &server].concat();
        self.process = Some(Process::start(&self.name(), &command, &self.log)?);
        Ok(())
    }

    /// The running process.
    ///
    /// # Errors
    /// If it was not started, or was killed.
    pub fn process(&mut self) -> Result<&mut Process> {
        let name = name(self.index);
        self.process
            .as_mut()
            .with_context(|| format!("{name} does not run"))
    }

    /// Kills it.
    ///
    /// # Errors
    /// If it had ended before.
    pub fn kill(&mut self) -> Result<()> {
        let name = self.name();
        let process = self.process.take();
        process
            .with_context(|| format!("{name} does not run"))?
            .kill()
            .with_context(|| self.log_tail())
    }

    /// Ends it, whether or not it has ended by itself.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn end(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        match process.ended() {
            Some(_) => Ok(()),
            None => process.kill(),
        }
    }

    /// Takes the power of its disk, and kills it; it must be stopped.
    ///
    /// # Errors
    /// If that cannot be done, or it was not stopped.
    pub fn lose_power(&mut self) -> Result<()> {
        let name = self.name();
        let process = self.process.take();
        let process = process.with_context(|| format!("{name} does not run"))?;
        ensure!(process.is_paused()?, "{name} is not stopped");
        self.disk.lose_power(|| process.kill())
    }

    /// Forgets a process that has ended by itself.
    pub fn forget(&mut self) {
        self.process = None;
    }

    /// Waits until the node says that it is ready.
    ///
    /// # Errors
    /// If it ends before, or is not in time.
    pub async fn ready(&mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.process()?.ended() {
                self.process = None;
                bail!("{} ended with {status}: {}", self.name(), self.log_tail());
            }
            let answer = http::get(self.address, "/readyz", ANSWERS_WITHIN).await;
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let name = self.name();
                bail!(
                    "{name} is not ready after {within:?}: {answer:?}: {}",
                    self.log_tail()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The partitions that it leads, by its own account; none if it does not answer.
    pub async fn led(&self) -> BTreeSet<u32> {
        let answer = http::get(self.address, "/metrics", ANSWERS_WITHIN).await;
        answer.map_or_else(|_| BTreeSet::new(), |(_, page)| led_partitions(&page))
    }

    /// What it says of the whole cluster, as JSON.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn cluster_status(&self) -> Result<String> {
        let binary = self.binary.to_str().context("a path that is no text")?;
        let endpoint = format!("http://{}", self.grpc());
        let words = ["cluster", "status", "-o", "json", "--endpoint", &endpoint];
        run(binary, &words)
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("{} says:\n{}", self.name(), tail.join("\n"))
    }

    fn configuration(&self, membership: &Membership) -> String {
        let data = self.data();
        let (address, name) = (self.address, self.name());
        let mut text = format!(
            "[node]\ndata_dir = {data:?}\n\n[listen]\ngrpc = \"{address}:{GRPC_PORT}\"\ndashboard = \"off\"\nmetrics = \"{address}:{}\"\n",
            http::PORT
        );
        let cluster = format!("\n[cluster]\npartitions = {}\n", membership.partitions);
        if membership.peers.is_empty() {
            return text + &cluster;
        }
        let peers: Vec<String> = membership
            .peers
            .iter()
            .map(|(name, address)| format!("\"{name}={address}:{PEER_PORT}\""))
            .collect();
        writeln!(text, "peers = \"{address}:{PEER_PORT}\"").expect("a string takes all");
        text += &cluster;
        write!(
            text,
            "name = \"{name}\"\npeers = [{}]\nadvertise = \"{address}:{PEER_PORT}\"\nplaintext = true\n",
            peers.join(", ")
        )
        .expect("a string takes all");
        text
    }
}

/// The name of a node in the cluster.
pub fn name(index: NodeIndex) -> String {
    format!("n{}", index + 1)
}

/// Which partitions a page of metrics says that its node leads.
fn led_partitions(page: &str) -> BTreeSet<u32> {
    let lines = page.lines().filter_map(|line| {
        let labels = line.strip_prefix("longhaul_partition_leader{")?;
        let (labels, value) = labels.split_once("} ")?;
        let partition = labels.split_once("partition=\"")?.1.split('"').next()?;
        (value.trim() == "1").then(|| partition.parse().ok())?
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leadership_is_read_from_metrics() {
        let page = "# TYPE longhaul_partition_leader gauge\n\
            longhaul_partition_leader{partition=\"0\"} 1\n\
            longhaul_partition_leader{partition=\"1\"} 0\n\
            longhaul_partition_leader{hub=\"a\",partition=\"12\"} 1\n\
            longhaul_partition_pending_timers{partition=\"2\"} 1\n";
        assert_eq!(led_partitions(page), [0, 12].into());
    }
}
