//! Ways between nodes are cut and joined one by one, and nothing is left of them afterwards.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use longhaul_chaos::lab::{network::Network, node::PEER_PORT, process::Process, run_id::RunId};

const PROGRAM: &str = env!("CARGO_BIN_EXE_longhaul-chaos");
const SOON: Duration = Duration::from_secs(10);

/// Answers on the peers' port of a node.
fn listener(network: &Network, node: usize, log: &Path) -> Process {
    let listen = format!(
        "import socket\ns = socket.create_server(('', {PEER_PORT}))\nwhile True: s.accept()"
    );
    let command = [
        network.enter(node),
        ["python3", "-c", &listen].map(str::to_owned).into(),
    ];
    Process::start("listener", &command.concat(), log).expect("python3 runs")
}

fn reaches(network: &Network, from: usize, to: usize) -> bool {
    let address = format!("{}:{PEER_PORT}", network.address(to));
    let mut command = network.enter(from);
    command.extend([PROGRAM, "probe", &address, "--millis", "200"].map(str::to_owned));
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let said = longhaul_chaos::command::run(words[0], &words[1..]).expect("the probe runs");
    said.trim() == "reached"
}

fn wait_until_reached(network: &Network, from: usize, to: usize) {
    let deadline = Instant::now() + SOON;
    while !reaches(network, from, to) {
        assert!(Instant::now() < deadline, "{from} does not reach {to}");
    }
}

fn interfaces_of(id: RunId) -> usize {
    let all = std::fs::read_dir("/sys/class/net").expect("interfaces");
    let ours = all.flatten().filter(|interface| {
        let name = interface.file_name();
        name.to_string_lossy().starts_with(&id.prefix())
    });
    ours.count()
}

#[test]
fn ways_are_cut_and_joined_and_nothing_is_left() {
    let (id, directory) = RunId::claim(&std::env::temp_dir()).expect("a directory");
    let log = directory.join("log");
    match Network::namespaces(id, 3) {
        Ok(network) => {
            assert!(interfaces_of(id) >= 4);
            cut_and_join(&network, &log);
            drop(network);
        }
        // Nothing can be made without the right to: then nothing may be left half made either.
        Err(refused) => println!("no namespaces here: {refused:#}"),
    }
    assert_eq!(interfaces_of(id), 0);
    let namespaces = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    for namespace in namespaces {
        let name = namespace.file_name();
        assert!(
            !name.to_string_lossy().starts_with(&id.prefix()),
            "{name:?}"
        );
    }
    std::fs::remove_dir_all(directory).expect("ours");
}

fn cut_and_join(network: &Network, log: &Path) {
    let _listeners: Vec<Process> = (0..3).map(|node| listener(network, node, log)).collect();
    for (from, to) in [(0, 1), (1, 0), (0, 2), (1, 2)] {
        wait_until_reached(network, from, to);
    }
    network.cut(0, 1).expect("it is cut");
    assert!(!reaches(network, 0, 1));
    assert!(reaches(network, 0, 2) && reaches(network, 1, 2));
    network.join(0, 1).expect("it is joined");
    wait_until_reached(network, 0, 1);
    // An answer that does not arrive leaves a connection unopened as well.
    network.cut(1, 0).expect("it is cut");
    assert!(!reaches(network, 0, 1));
    network.join(1, 0).expect("it is joined");
    wait_until_reached(network, 0, 1);
    if network.can_be_lossy() {
        network.lose(0, 99).expect("it loses");
        network.check_lossy(0).expect("it says so");
        let reached = (0..5).filter(|_| reaches(network, 0, 1)).count();
        assert!(
            reached < 3,
            "{reached} of 5 attempts, with one packet in a hundred"
        );
        assert!(reaches(network, 1, 2));
        network.lose_no_more(0).expect("it does not any more");
        wait_until_reached(network, 0, 1);
    }
}
