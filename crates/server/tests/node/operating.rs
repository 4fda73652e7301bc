//! What operators do: look at a cluster, want something of it, back it up and restore it.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use longhaul_cli::operate;
use longhaul_client::worker::{History, Progress, Registry, Slots, Turn, Worker, actions};
use longhaul_client::{Client, Detail};
use longhaul_proto::admin::v1::HealthRequest;
use longhaul_proto::admin::v1::admin_client::AdminClient;
use longhaul_proto::sidecar::{CreateInstanceRequest, OrchestrationStatus};
use longhaul_server::admin::restore;
use longhaul_server::args::{Cli, Command};
use longhaul_server::node::Node;
use tokio::time::timeout;

use crate::support::{channel, connect_to, new_dir, start_in};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Orchestrations that are under way during a backup, and how many children each has, one after the other.
const PARENTS: usize = 24;
const CHILDREN: usize = 12;

/// The command as it is typed; answers its exit code.
async fn typed(words: Vec<String>) -> u8 {
    let run = move || {
        let words = std::iter::once("longhaul".to_owned()).chain(words);
        match Cli::try_parse_from(words).expect("valid").command {
            Command::Cluster(it) => operate::run(operate::Command::Cluster(it)),
            Command::Node(it) => operate::run(operate::Command::Node(it)),
            Command::Partition(it) => operate::run(operate::Command::Partition(it)),
            Command::Backup(it) => operate::run(operate::Command::Backup(it)),
            Command::Restore(it) => restore::run(&it),
            other => panic!("{other:?} is not an operator's"),
        }
    };
    let ended = tokio::task::spawn_blocking(run).await.expect("no panic");
    let ended = ended.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    });
    let codes = 0..=u8::MAX;
    let found = codes
        .into_iter()
        .find(|code| ExitCode::from(*code) == ended);
    found.expect("a code")
}

/// Nothing is wrong but, perhaps, the disk of the machine that runs the tests.
async fn check_healthy(node: &Node) {
    let mut admin = AdminClient::new(channel(node).await);
    let report = admin.health(HealthRequest {}).await.expect("answered");
    let findings = report.into_inner().findings;
    let wrong: Vec<_> = findings
        .iter()
        .filter(|it| it.kind != "disk-nearly-full")
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let code = on(node, &["cluster", "health"]).await;
    assert_eq!(code, u8::from(!findings.is_empty()));
}

async fn on(node: &Node, words: &[&str]) -> u8 {
    let port = node.ports().grpc.port;
    let endpoint = format!("--endpoint=http://127.0.0.1:{port}");
    let words = words.iter().map(|&word| word.to_owned());
    typed(words.chain([endpoint]).collect()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_its_own_is_a_healthy_cluster() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    for words in [
        &["cluster", "status"][..],
        &["cluster", "members", "-o", "json"],
        &["partition", "list"],
        &["partition", "transfer-leader", "0", "--to", "1"],
        &["node", "resume", "1"],
    ] {
        assert_eq!(on(&node, words).await, 0, "{words:?}");
    }
    check_healthy(&node).await;
    for (words, code) in [
        (["node", "drain", "1"], 5),
        (["node", "decommission", "1"], 5),
        (["node", "replace", "1"], 5),
        (["node", "drain", "7"], 3),
        (["node", "drain", "nobody"], 3),
    ] {
        assert_eq!(on(&node, &words).await, code, "{words:?}");
    }
    node.stop().await;
}

fn registry() -> Registry {
    Registry::default()
        .orchestrator("Parent", |turn: &Turn<'_>| {
            let progress = Progress::of(turn);
            let id = progress.next_action_id();
            let (begun, done) = (progress.children_created, progress.children_completed);
            if begun > done {
                return Vec::new();
            }
            vec![match done {
                CHILDREN => actions::complete(id, Some(done.to_string())),
                done => {
                    let child = format!("{}-{done}", turn.instance_id);
                    actions::create_child(id, "Child", child, None)
                }
            }]
        })
        .orchestrator("Child", |turn: &Turn<'_>| {
            let id = Progress::of(turn).next_action_id();
            vec![actions::complete(id, None)]
        })
}

fn work(client: Client) -> Worker {
    let slots = Slots::of_each(NonZeroU32::new(64).expect("positive"));
    Worker::start(client, registry(), slots, History::Inline)
}

async fn start_orchestration(client: &Client, name: &str, id: &str) {
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: name.to_owned(),
        ..CreateInstanceRequest::default()
    };
    client.start(request).await.expect("started");
}

async fn output_of(client: &Client, id: &str) -> Option<String> {
    let ended = timeout(PATIENCE, client.wait_for_completion(id, Detail::Payloads)).await;
    let ended = ended.unwrap_or_else(|_| panic!("{id} does not end"));
    let state = ended.expect("answered").expect("it exists");
    assert_eq!(
        state.orchestration_status(),
        OrchestrationStatus::Completed,
        "{id}"
    );
    state.output
}

async fn wait_for_children(worker: &Worker, count: u64) {
    let progressed = async {
        while worker.totals().work_items() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, progressed)
        .await
        .expect("the worker works");
}

fn text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_becomes_a_cluster_that_goes_on() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let cluster = node.about().formed.get().expect("formed").cluster.clone();
    // Ids of hubs that are gone leave gaps, which a restored cluster must have, too.
    for hub in ["gone", "other"] {
        connect_to(&node, hub).await.hello().await.expect("made");
    }
    let other = connect_to(&node, "other").await;
    start_orchestration(&other, "Nobody", "pending").await;
    let client = connect_to(&node, "default").await;
    let worker = work(client.clone());
    for number in 0..PARENTS {
        start_orchestration(&client, "Parent", &format!("parent-{number}")).await;
    }
    // In the middle of everything: messages are on their way between all partitions.
    wait_for_children(&worker, (PARENTS * CHILDREN / 2) as u64).await;
    let copy = dir.path().join("backup");
    assert_eq!(on(&node, &["backup", "create", &text(&copy)]).await, 0);
    let at_the_source = output_of(&client, "parent-0").await;
    assert_eq!(at_the_source, Some(CHILDREN.to_string()));
    worker.stop().await;
    node.stop().await;
    assert_eq!(
        typed(vec!["backup".into(), "verify".into(), text(&copy)]).await,
        0
    );

    let new = new_dir();
    let data = format!("--data={}", text(&new.path().join("data")));
    let restored = vec!["restore".into(), text(&copy), data.clone()];
    assert_eq!(typed(restored.clone()).await, 0);
    assert_eq!(
        typed(restored).await,
        1,
        "the directory is not empty any more"
    );
    let node = start_in(&new).await;
    assert_ne!(node.about().formed.get().expect("formed").cluster, cluster);
    let client = connect_to(&node, "default").await;
    let worker = work(client.clone());
    for number in 0..PARENTS {
        let output = output_of(&client, &format!("parent-{number}")).await;
        assert_eq!(output, Some(CHILDREN.to_string()), "parent-{number}");
    }
    let other = connect_to(&node, "other").await;
    let pending = other
        .get("pending", Detail::Payloads)
        .await
        .expect("answered");
    assert_eq!(
        pending.expect("kept").orchestration_status(),
        OrchestrationStatus::Pending
    );
    worker.stop().await;
    node.stop().await;

    // What was restored is a data directory like any other.
    let node = start_in(&new).await;
    let client = connect_to(&node, "default").await;
    assert_eq!(
        output_of(&client, "parent-1").await,
        Some(CHILDREN.to_string())
    );
    check_healthy(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_is_not_restored() {
    let dir = new_dir();
    let node = start_in(&dir).await;
    let copy = dir.path().join("backup");
    assert_eq!(on(&node, &["backup", "create", &text(&copy)]).await, 0);
    node.stop().await;
    let file = copy.join("partition-00003.rows");
    let mut bytes = std::fs::read(&file).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&file, bytes).expect("written");

    let target = dir.path().join("restored");
    let data = format!("--data={}", text(&target));
    let words = vec!["restore".into(), text(&copy), data];
    assert_eq!(typed(words).await, 1);
    assert!(!target.exists());
    assert_eq!(
        typed(vec!["backup".into(), "verify".into(), text(&copy)]).await,
        1
    );
}
