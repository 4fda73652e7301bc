//! `longhaul dev --nodes N`: a cluster on one machine, each node a process of its own that can be ended alone.
//!
//! ```text
//! longhaul-data/
//!   node-1.toml   the configuration of the first node, as it runs
//!   node-1/       its data directory           … and so on
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::config::{Config, Label, Loaded, Peer};
use crate::listen::{ListenAddress, OptionalAddress};
use crate::shutdown::StopSignals;

/// Between the ports of one node and those of the next.
const PORT_STEP: u16 = 10;
/// Between two looks whether a node serves.
const READY_POLL: Duration = Duration::from_millis(50);
/// After so long, a node that was asked to end is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Runs the nodes until a signal comes, and then ends them.
///
/// # Errors
/// Whatever keeps the nodes from being started.
pub(crate) fn run(loaded: &Loaded, nodes: u16) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut signals = StopSignals::listen()?;
        let dir = loaded.config.node.data_dir.clone();
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let configs = configs(&loaded.config, nodes, &free_ports(&loaded.config, nodes).await?);
        let mut running = Vec::new();
        for config in &configs {
            running.push(Node::spawn(&dir, config)?);
        }
        let mut ends: FuturesUnordered<_> = running.iter_mut().map(Node::ended).collect();
        let ready = futures::future::join_all(configs.iter().map(serves));
        tokio::select! {
            _ = ready => say(&banner(&dir, &configs)),
            signal = signals.next() => {
                tracing::debug!(signal, "stopped while starting");
                drop(ends);
                return stop(running).await;
            }
            Some((name, status)) = ends.next() => {
                drop(ends);
                stop(running).await?;
                anyhow::bail!("{name} ended before it served: {status}");
            }
        }
        loop {
            tokio::select! {
                _ = signals.next() => break,
                Some((name, status)) = ends.next() => say(&format!(
                    "{name} has ended: {status}; the others go on. It starts again with\n  longhaul server --config {}\n",
                    file_of(&dir, &name).display()
                )),
            }
        }
        drop(ends);
        stop(running).await
    })
}

/// One process.
struct Node {
    name: String,
    child: Child,
    ended: bool,
}

impl Node {
    fn spawn(dir: &Path, config: &Config) -> anyhow::Result<Self> {
        let name = config.cluster.name.0.clone().unwrap_or_default();
        let file = file_of(dir, &name);
        std::fs::write(&file, Loaded::of(config.clone()).show(false))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(std::env::current_exe().context("where am I?")?);
        command
            .args(["server", "--with-parent", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            // Ctrl-C is for the process in front; it asks the nodes to end.
            .process_group(0)
            .kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            let ours = variable.to_str().is_some_and(crate::config::is_ours);
            if ours {
                command.env_remove(variable);
            }
        }
        let child = command.spawn().context("cannot start a node")?;
        Ok(Self {
            name,
            child,
            ended: false,
        })
    }

    async fn ended(&mut self) -> (String, String) {
        let status = self.child.wait().await;
        self.ended = true;
        (self.name.clone(), told(status))
    }
}

fn told(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Asks every node to end, and waits until all have.
async fn stop(running: Vec<Node>) -> anyhow::Result<ExitCode> {
    let stops = running
        .into_iter()
        .filter(|node| !node.ended)
        .map(|mut node| async move {
            let pid = node
                .child
                .id()
                .and_then(|id| Pid::from_raw(id.cast_signed()));
            if let Some(pid) = pid {
                // One that has just ended needs no signal.
                let _ = kill_process(pid, Signal::TERM);
            }
            if tokio::time::timeout(STOP_MAX, node.child.wait())
                .await
                .is_err()
            {
                node.child.kill().await?;
            }
            std::io::Result::Ok(())
        });
    futures::future::try_join_all(stops).await?;
    Ok(ExitCode::SUCCESS)
}

/// A port for other nodes each. With a configured port they keep theirs; otherwise any that are free will do.
async fn free_ports(config: &Config, nodes: u16) -> anyhow::Result<Vec<[u16; 3]>> {
    let (grpc, dashboard) = (config.listen.grpc.port, config.listen.dashboard.as_ref());
    let dashboard = dashboard.map_or(0, |address| address.port);
    if grpc != 0 {
        let of = |nth: u16| {
            let step = nth * PORT_STEP;
            let dashboard = if dashboard == 0 { 0 } else { dashboard + step };
            [grpc + step, grpc + 1 + step, dashboard]
        };
        let last = u32::from(grpc.max(dashboard)) + u32::from(nodes * PORT_STEP);
        anyhow::ensure!(
            last <= u32::from(u16::MAX),
            "there are no ports above {grpc} for {nodes} nodes"
        );
        return Ok((0..nodes).map(of).collect());
    }
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..nodes {
        let mut of = [0; 3];
        for port in &mut of {
            // Held until all are known, so that none is given twice.
            let socket = TcpListener::bind(("127.0.0.1", 0)).await?;
            *port = socket.local_addr()?.port();
            held.push(socket);
        }
        ports.push(of);
    }
    Ok(ports)
}

fn configs(config: &Config, nodes: u16, ports: &[[u16; 3]]) -> Vec<Config> {
    let name = |nth: usize| format!("node-{}", nth + 1);
    let peers = ports.iter().enumerate().map(|(nth, [_, port, _])| Peer {
        name: name(nth),
        address: ListenAddress {
            host: "127.0.0.1".to_owned(),
            port: *port,
        },
    });
    let peers: Vec<Peer> = peers.collect();
    let one = |(nth, [grpc, _, dashboard]): (usize, &[u16; 3])| {
        let mut one = config.clone();
        one.node.data_dir = absolute(&config.node.data_dir).join(name(nth));
        one.cluster.name = Label(Some(name(nth)));
        one.cluster.peers.clone_from(&peers);
        one.cluster.replicas = if nodes < 3 { 1 } else { 3 };
        one.listen.grpc.port = *grpc;
        one.listen.dashboard = OptionalAddress::On(ListenAddress {
            host: config.listen.grpc.host.clone(),
            port: *dashboard,
        });
        one
    };
    ports.iter().enumerate().map(one).collect()
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

fn file_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.toml"))
}

/// Returns once the node of this configuration serves.
async fn serves(config: &Config) {
    let Some(address) = config.listen.dashboard.as_ref() else {
        return;
    };
    while !is_ready(address.port).await.unwrap_or(false) {
        tokio::time::sleep(READY_POLL).await;
    }
}

async fn is_ready(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("localhost", port)).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}

fn banner(dir: &Path, configs: &[Config]) -> String {
    let mut text = format!(
        "\nLonghaul {}, {} nodes\n\n  Data               {}\n",
        env!("CARGO_PKG_VERSION"),
        configs.len(),
        absolute(dir).display()
    );
    for config in configs {
        let name = config.cluster.name.0.as_deref().unwrap_or_default();
        let (grpc, dashboard) = (&config.listen.grpc, config.listen.dashboard.as_ref());
        let hub = config
            .hubs
            .create
            .first()
            .map_or("default", |hub| hub.as_str());
        let _ = writeln!(
            text,
            "  {name:<19}Endpoint=http://{}:{};TaskHub={hub};Authentication=None",
            grpc.client_host(),
            grpc.port,
        );
        if let Some(dashboard) = dashboard {
            let _ = writeln!(
                text,
                "  {:<19}http://{}:{}",
                "",
                dashboard.client_host(),
                dashboard.port
            );
        }
    }
    text.push_str("  Stop               Ctrl-C\n\n");
    text
}

fn say(text: &str) {
    // Whoever started us may not be listening.
    let mut stdout = std::io::stdout();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_own_place_and_knows_the_others() {
        let config = Config::dev();
        let ports = [[8080, 8081, 8082], [8090, 8091, 8092], [8100, 8101, 8102]];
        let configs = configs(&config, 3, &ports);
        for (nth, one) in configs.iter().enumerate() {
            assert_eq!(one.cluster.peers, configs[0].cluster.peers);
            assert_eq!(one.cluster.replicas, 3);
            let listed = &one.cluster.peers[nth];
            assert_eq!(Some(&listed.name), one.cluster.name.0.as_ref());
            assert!(one.node.data_dir.ends_with(&listed.name));
            Loaded::of(one.clone()).validate().expect("valid");
        }
        let text = banner(Path::new("data"), &configs);
        for part in [
            "3 nodes",
            "http://localhost:8090;TaskHub=default",
            "node-3",
            "http://localhost:8102",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[tokio::test]
    async fn ports_are_a_step_apart_or_any() {
        let mut config = Config::dev();
        let ports = free_ports(&config, 2).await.expect("known");
        assert_eq!(ports, [[8080, 8081, 8082], [8090, 8091, 8092]]);
        config.listen.grpc.port = 0;
        let ports = free_ports(&config, 2).await.expect("free").concat();
        let distinct = std::collections::BTreeSet::from_iter(&ports);
        assert!(distinct.len() == 6 && !ports.contains(&0), "{ports:?}");
        config.listen.grpc.port = 65_530;
        free_ports(&config, 2).await.expect_err("none left");
    }
}
