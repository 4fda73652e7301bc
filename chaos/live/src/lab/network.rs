//! Where the nodes are, and what gets from one to another.
//!
//! ```text
//!  netns n0 ─ eth0 ═ veth ┐                      clients and workers, which reach
//!  netns n1 ─ eth0 ═ veth ┼─ bridge ─ .254 ────  every node whatever is between nodes
//!  netns n2 ─ eth0 ═ veth ┘
//! ```
//!
//! Nodes know each other's MAC address from the start, so that a way can be cut, and in one direction only, by giving the
//! sender a wrong one: its packets leave and nobody takes them. That needs neither a firewall nor anything of the kernel.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Result, ensure};

use super::run_id::RunId;
use crate::command::{exists, run, undo};

/// Which of the nodes, counted from 0.
pub type NodeIndex = usize;

/// Nobody's.
const NOWHERE: &str = "02:00:00:00:00:01";
const TABLE: &str = "chaos";

/// The network of one run; gone when dropped.
#[derive(Debug)]
pub struct Network {
    id: RunId,
    nodes: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Namespaces,
    Loopback,
}

impl Network {
    /// Namespaces with a bridge between them.
    ///
    /// # Errors
    /// Where that is not allowed; nothing is left behind.
    pub fn namespaces(id: RunId, nodes: usize) -> Result<Self> {
        let network = Self {
            id,
            nodes,
            kind: Kind::Namespaces,
        };
        network.build()?;
        Ok(network)
    }

    /// An address of the loopback interface for each node: nothing can be cut.
    pub fn loopback(id: RunId, nodes: usize) -> Self {
        Self {
            id,
            nodes,
            kind: Kind::Loopback,
        }
    }

    /// What a run left behind: to be dropped, and nothing else.
    pub(super) fn abandoned(id: RunId, nodes: usize) -> Self {
        Self {
            id,
            nodes,
            kind: Kind::Namespaces,
        }
    }

    /// Whether ways can be cut.
    pub fn can_be_cut(&self) -> bool {
        self.kind == Kind::Namespaces
    }

    /// Whether packets can be lost at random.
    pub fn can_be_lossy(&self) -> bool {
        self.can_be_cut() && exists("nft")
    }

    /// Where a node listens. In a range that is set aside for such uses (RFC 2544).
    pub fn address(&self, node: NodeIndex) -> Ipv4Addr {
        let (upper, subnet) = self.id.subnet();
        let host = u8::try_from(node + 1).expect("a handful of nodes");
        match self.kind {
            Kind::Namespaces => Ipv4Addr::new(198, 18 + u8::from(upper), subnet, host),
            Kind::Loopback => Ipv4Addr::new(127, 64 + u8::from(upper), subnet, host),
        }
    }

    /// What to put before a command so that it runs where the node does.
    ///
    /// Not `ip netns exec`, which also gives it mounts of its own: they would keep a disk in use that another node's loss of
    /// power unmounts.
    pub fn enter(&self, node: NodeIndex) -> Vec<String> {
        match self.kind {
            Kind::Namespaces => {
                let namespace = format!("--net=/run/netns/{}", self.namespace(node));
                vec!["nsenter".to_owned(), namespace, "--".to_owned()]
            }
            Kind::Loopback => vec![],
        }
    }

    /// From now on nothing that `from` sends to `to` arrives.
    ///
    /// # Errors
    /// If that cannot be arranged, or does not show.
    pub fn cut(&self, from: NodeIndex, to: NodeIndex) -> Result<()> {
        self.point(from, to, NOWHERE)
    }

    /// Undoes [`Network::cut`].
    ///
    /// # Errors
    /// If that cannot be arranged.
    pub fn join(&self, from: NodeIndex, to: NodeIndex) -> Result<()> {
        self.point(from, to, &self.mac(to))
    }

    /// So many percent, from 1 to 99, of what arrives at the node from other nodes are lost.
    ///
    /// # Errors
    /// If that cannot be arranged.
    pub fn lose(&self, node: NodeIndex, percent: u64) -> Result<()> {
        let namespace = self.namespace(node);
        let others = (0..self.nodes).filter(|other| *other != node);
        let others: Vec<String> = others
            .map(|other| self.address(other).to_string())
            .collect();
        let rules = format!(
            "table ip {TABLE} {{\n chain arriving {{\n type filter hook input priority 0;\n \
             ip saddr {{ {} }} numgen random mod 100 < {percent} drop\n }}\n }}",
            others.join(", ")
        );
        run("ip", &["netns", "exec", &namespace, "nft", &rules])?;
        Ok(())
    }

    /// Undoes [`Network::lose`].
    ///
    /// # Errors
    /// If that cannot be arranged.
    pub fn lose_no_more(&self, node: NodeIndex) -> Result<()> {
        let namespace = self.namespace(node);
        run(
            "ip",
            &[
                "netns", "exec", &namespace, "nft", "delete", "table", "ip", TABLE,
            ],
        )?;
        Ok(())
    }

    /// Packets that were lost since [`Network::lose`] cannot be told; that the rule is there can.
    ///
    /// # Errors
    /// If it is not.
    pub fn check_lossy(&self, node: NodeIndex) -> Result<()> {
        let namespace = self.namespace(node);
        let rules = run(
            "ip",
            &["netns", "exec", &namespace, "nft", "list", "ruleset"],
        )?;
        ensure!(rules.contains("drop"), "node {node} loses nothing: {rules}");
        Ok(())
    }

    fn point(&self, from: NodeIndex, to: NodeIndex, mac: &str) -> Result<()> {
        ensure!(
            self.can_be_cut(),
            "on the loopback interface nothing can be cut"
        );
        let (namespace, address) = (self.namespace(from), self.address(to).to_string());
        let neighbour = ["neigh", "replace", &address, "lladdr", mac, "dev", "eth0"];
        let args = [&["-n", &namespace], &neighbour[..], &["nud", "permanent"]].concat();
        run("ip", &args)?;
        let listed = run("ip", &["-n", &namespace, "neigh", "show", &address])?;
        ensure!(listed.contains(mac), "{from} to {to}: {listed}");
        Ok(())
    }

    fn build(&self) -> Result<()> {
        let bridge = self.id.prefix();
        let gateway = format!("{}/24", self.gateway());
        run("ip", &["link", "add", &bridge, "type", "bridge"])?;
        run("ip", &["addr", "add", &gateway, "dev", &bridge])?;
        run("ip", &["link", "set", &bridge, "up"])?;
        (0..self.nodes).try_for_each(|node| self.connect(node, &bridge))?;
        for from in 0..self.nodes {
            let others = (0..self.nodes).filter(|to| *to != from);
            others.into_iter().try_for_each(|to| self.join(from, to))?;
        }
        Ok(())
    }

    fn connect(&self, node: NodeIndex, bridge: &str) -> Result<()> {
        let (namespace, outside) = (self.namespace(node), self.outside(node));
        let (mac, address) = (self.mac(node), format!("{}/24", self.address(node)));
        let namespace = namespace.as_str();
        run("ip", &["netns", "add", namespace])?;
        let inside = ["peer", "name", "eth0", "address", &mac, "netns", namespace];
        let pair = ["link", "add", &outside, "type", "veth"];
        run("ip", &[&pair[..], &inside].concat())?;
        run("ip", &["link", "set", &outside, "master", bridge])?;
        run("ip", &["link", "set", &outside, "up"])?;
        run(
            "ip",
            &["-n", namespace, "addr", "add", &address, "dev", "eth0"],
        )?;
        run("ip", &["-n", namespace, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
        Ok(())
    }

    fn gateway(&self) -> Ipv4Addr {
        let [a, b, c, _] = self.address(0).octets();
        Ipv4Addr::new(a, b, c, 254)
    }

    fn namespace(&self, node: NodeIndex) -> String {
        format!("{}-n{node}", self.id.prefix())
    }

    fn outside(&self, node: NodeIndex) -> String {
        format!("{}-v{node}", self.id.prefix())
    }

    fn mac(&self, node: NodeIndex) -> String {
        let (upper, subnet) = self.id.subnet();
        format!(
            "02:6c:68:{:02x}:{subnet:02x}:{:02x}",
            u8::from(upper),
            node + 1
        )
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.kind == Kind::Loopback {
            return;
        }
        // A network whose making failed half-way has only some of it.
        for node in 0..self.nodes {
            let namespace = self.namespace(node);
            if Path::new("/run/netns").join(&namespace).exists() {
                undo("ip", &["netns", "del", &namespace]);
            }
            let outside = self.outside(node);
            if interface_exists(&outside) {
                // It goes with its other end, a moment later; being first is no harm, and being late neither.
                let _ = run("ip", &["link", "del", &outside]);
            }
        }
        if interface_exists(&self.id.prefix()) {
            undo("ip", &["link", "del", &self.id.prefix()]);
        }
    }
}

fn interface_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}
