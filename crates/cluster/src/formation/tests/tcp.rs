//! Nodes that find each other over TCP on this machine, in real time, from nothing to a meta group.

use std::sync::Arc;
use std::time::Duration;

use longhaul_peer::{
    AddressBook, ClusterId, GrpcConfig, GrpcLinks, GrpcSetup, Identity, Links, Listen, Port,
    PortSetup, Security, Tcp,
};
use longhaul_types::{HubName, NodeId};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time;

use super::{founding, join};
use crate::catalog::{Addresses, Command, Join, Reply};
use crate::formation::{Begin, Formation, FormationSetup, GrpcWay, Peer, Settled};
use crate::meta::{Me, Meta};
use crate::testing::{Disk, Groups, eventually};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What outlives a node's process.
struct Machine {
    disk: Disk,
    me: Join,
    peers: Vec<Peer>,
    address: String,
}

/// A node's process.
struct Process {
    formation: Formation,
    settled: Settled,
    links: GrpcLinks,
    meta: Option<Meta>,
}

/// Three machines, each of which knows where the others are.
async fn machines() -> Vec<Machine> {
    let mut addresses = Vec::new();
    let mut held = Vec::new();
    for _ in NAMES {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        addresses.push(listener.local_addr().expect("bound").to_string());
        held.push(listener);
    }
    let peers: Vec<Peer> = NAMES
        .iter()
        .zip(&addresses)
        .map(|(name, address)| Peer {
            name: (*name).into(),
            address: address.as_str().into(),
        })
        .collect();
    let machine = |((name, address), directory): ((&&str, &String), u8)| Machine {
        disk: Disk::new(),
        me: Join {
            addresses: Addresses {
                peers: address.as_str().into(),
                clients: "".into(),
            },
            ..join(name, directory)
        },
        peers: peers.clone(),
        address: address.clone(),
    };
    NAMES.iter().zip(&addresses).zip(1..).map(machine).collect()
}

impl Machine {
    /// The process listens, and knows nothing yet.
    async fn open(&self) -> (Port, Formation) {
        let listen = eventually_bound(&self.address).await;
        let port = Port::open(PortSetup {
            config: GrpcConfig::default(),
            security: Security::PlainTextOnLoopback,
            dial: Arc::new(Tcp),
            listen,
        });
        let port = port.expect("a port on this machine");
        let formation = Formation::new(FormationSetup {
            me: self.me.clone(),
            peers: self.peers.clone(),
            known: None,
            begin: Begin::WithPeers,
            founding: founding(self.me.directory[0]),
            record: self.disk.file("formation.bin"),
            sync: true,
            way: Arc::new(GrpcWay(port.calls())),
        });
        (port, formation.expect("nothing wrong is written down"))
    }

    async fn settle(&self) -> Process {
        let (mut port, formation) = self.open().await;
        let settled = port.serve(formation.routes(), formation.settle()).await;
        let settled = settled.expect("nothing is wrong");
        let book = AddressBook::default();
        for (node, address) in formation.whereabouts().borrow().iter() {
            book.set(*node, Some(address.to_string()));
        }
        let setup = GrpcSetup {
            identity: Identity {
                cluster: ClusterId(settled.cluster_id),
                node: settled.node_id,
                incarnation: 1,
                process: settled.node_id.0,
            },
            config: GrpcConfig::default(),
            security: Security::PlainTextOnLoopback,
            addresses: Arc::new(book),
            dial: Arc::new(Tcp),
            listen: port.into_listen(),
        };
        let links = GrpcLinks::start_beside(setup, formation.routes());
        Process {
            formation,
            settled,
            links: links.expect("a port on this machine"),
            meta: None,
        }
    }

    async fn run(&self) -> Process {
        let mut process = self.settle().await;
        let me = Me {
            node: process.settled.node_id,
            described: self.me.clone(),
        };
        let links: Arc<dyn Links> = Arc::new(process.links.clone());
        let first = process.settled.first.clone();
        let meta = self.disk.start(me, first, links, &Groups::default()).await;
        process.formation.admit_by(meta.clone());
        process.meta = Some(meta);
        process
    }
}

/// The port of a process that has just ended is free again soon.
async fn eventually_bound(address: &str) -> Box<dyn Listen> {
    let begun = time::Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Box::new(listener),
            Err(error) => assert!(begun.elapsed() < DEADLINE, "{address}: {error}"),
        }
        // tidy: nobody tells when a port is free; there is a deadline.
        time::sleep(Duration::from_millis(5)).await;
    }
}

async fn joined<T>(process: JoinHandle<T>) -> T {
    let process = time::timeout(DEADLINE, process).await;
    process.expect("in time").expect("no panic")
}

#[tokio::test]
async fn in_every_order_of_starts_they_are_one_cluster() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let machines: Vec<_> = machines().await.into_iter().map(Arc::new).collect();
        let mut starting = Vec::new();
        for at in order {
            let machine = machines[at].clone();
            starting.push((at, tokio::spawn(async move { machine.settle().await })));
            // tidy: so that those that are there have asked before the next one comes.
            time::sleep(Duration::from_millis(30)).await;
        }
        let mut running = Vec::new();
        for (at, process) in starting {
            let process = joined(process).await;
            let node = NodeId(at as u64 + 1);
            assert_eq!(process.settled.node_id, node, "{order:?}");
            assert_eq!(process.settled.cluster_id, [1; 16], "{order:?}");
            // Those that are settled answer the others.
            running.push(process);
        }
    }
}

#[tokio::test]
async fn a_founder_that_crashes_goes_on_and_the_meta_group_comes_about() {
    let machines: Vec<_> = machines().await.into_iter().map(Arc::new).collect();
    let others: Vec<_> = machines[1..].to_vec();
    // The others answer what they are, and then cannot be reached: the founder is alone with what it has decided.
    let mut waiting = Vec::new();
    for machine in &others {
        let (mut port, formation) = machine.open().await;
        let serving = tokio::spawn(async move {
            let never = std::future::pending::<()>();
            port.serve(formation.routes(), never).await;
        });
        waiting.push(serving);
    }
    let founder = machines[0].settle().await;
    assert_eq!(founder.settled.node_id, NodeId(1));
    for serving in waiting {
        serving.abort();
        assert!(serving.await.expect_err("it was ended").is_cancelled());
    }
    drop(founder);

    let mut starting = Vec::new();
    for machine in [&machines[1], &machines[0], &machines[2]] {
        let machine = machine.clone();
        starting.push(tokio::spawn(async move { machine.run().await }));
    }
    let mut running = Vec::new();
    for process in starting {
        running.push(joined(process).await);
    }
    for (process, name) in running.iter().zip(["one", "two", "three"]) {
        assert_eq!(process.settled.cluster_id, [1; 16]);
        let meta = process.meta.as_ref().expect("it runs");
        let hub = HubName::parse(name).expect("a name");
        let created = eventually_proposed(meta, Command::CreateHub(hub)).await;
        assert!(matches!(created, Reply::Hub(_)), "{created:?}");
    }
    let metas = || running.iter().filter_map(|process| process.meta.as_ref());
    for meta in metas() {
        eventually("every copy has all of it", || {
            let catalog = meta.catalog().borrow().clone()?;
            let all = catalog.hubs.list().count() == 3 && catalog.members.present().count() == 3;
            all.then_some(())
        })
        .await;
    }
    for meta in metas() {
        meta.stop().await;
        assert!(meta.leadership().has_changed().is_err(), "it has stopped");
    }
}

/// Elections on a busy machine may take longer than one proposal is held.
async fn eventually_proposed(meta: &Meta, command: Command) -> Reply {
    let begun = time::Instant::now();
    loop {
        match meta.propose(command.clone()).await {
            Ok(reply) => return reply,
            Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
        }
    }
}
