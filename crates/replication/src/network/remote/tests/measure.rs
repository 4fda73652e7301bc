//! What it costs to ask a replica on another node. Run with
//! `cargo test --release -p longhaul-replication --lib -- --ignored --nocapture measure`.

use std::time::Instant as WallInstant;

use longhaul_peer::AddressBook;

use super::{
    tcp::{Wires, start_links, timing},
    *,
};
use crate::{InProcess, types::Runtime};

const ALONE: u32 = 2_000;
const TOGETHER: u32 = 20_000;

/// A replica that answers, and the way to it.
struct Route {
    _group: Group,
    _networks: Vec<Network>,
    peer: Box<dyn Peer>,
}

async fn replica(network: &Network) -> Group {
    let setup = GroupSetup {
        id: GROUP,
        node: THERE,
        config: timing(),
        log: LogDisk::default().open(GROUP),
        machine: Ledger::default().machine(),
        network: network.clone(),
        seed: 1,
        on_fault: Arc::new(|_, fault| panic!("{fault}")),
    };
    Group::start(setup).await.expect("starts")
}

async fn route(here: Network, there: Network) -> Route {
    Route {
        _group: replica(&there).await,
        peer: here.0.connect(GROUP, HERE, THERE),
        _networks: vec![here, there],
    }
}

async fn in_process() -> Route {
    let network = InProcess::new();
    route(network.network(), network.network()).await
}

async fn in_memory() -> Route {
    let hub = MemoryLinks::new();
    let remote = |node| Network::remote(node, hub.of(node), RemoteConfig::default());
    route(remote(HERE), remote(THERE)).await
}

async fn over_tcp() -> Route {
    let (book, wires) = (AddressBook::default(), Wires::default());
    let mut networks = Vec::new();
    for node in [HERE, THERE] {
        let (links, _) = start_links(node.0, &book, &wires).await;
        networks.push(Network::remote(node, links, RemoteConfig::default()));
    }
    let there = networks.pop().expect("two");
    route(networks.pop().expect("two"), there).await
}

impl Route {
    /// Appends nothing, so many times on one stream; answers microseconds for each.
    async fn ask(&mut self, count: u32) -> f64 {
        let request = || AppendEntriesRequest {
            prev_log_id: None,
            ..heartbeat()
        };
        let begun = WallInstant::now();
        let requests = stream::iter((0..count).map(move |_| request())).boxed();
        let patience = Duration::from_secs(60);
        let mut answers = self.peer.append(requests, patience).await.expect("a link");
        for _ in 0..count {
            let answered = answers.next().await.expect("an answer");
            answered.expect("answered").expect("appended");
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    }

    async fn measure(mut self, what: &str) -> [f64; 2] {
        // The first opens the link and saves the leader's vote.
        self.ask(1).await;
        let begun = WallInstant::now();
        for _ in 0..ALONE {
            self.ask(1).await;
        }
        let alone = begun.elapsed().as_secs_f64() * 1e6 / f64::from(ALONE);
        let together = self.ask(TOGETHER).await;
        println!("{what:<12} alone {alone:>8.1} µs, pipelined {together:>8.1} µs");
        [alone, together]
    }
}

#[tokio::test]
#[ignore = "prints timings, asserts nothing"]
async fn measure_appends() {
    // Calls within a process take the caller's randomness.
    Runtime::scope(1, measure_all()).await;
}

async fn measure_all() {
    let calls = in_process().await.measure("in process").await;
    for (what, route) in [
        ("in memory", in_memory().await),
        ("over TCP", over_tcp().await),
    ] {
        let [alone, together] = route.measure(what).await;
        let ratios = [alone / calls[0], together / calls[1]];
        println!(
            "{what:<12} alone {:>8.1} ×,  pipelined {:>8.1} ×",
            ratios[0], ratios[1]
        );
    }
}
