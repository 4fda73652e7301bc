//! Commands as they are typed, against a server that answers what a test wants.

mod backups;
mod golden;
mod server;

use clap::Parser;
use longhaul_proto::admin::v1 as wire;
use wire::NodeState;

use self::golden::check;
use self::server::{FakeCluster, cluster, serve};
use super::*;

/// The part of the command line that is this module's.
#[derive(Debug, Parser)]
#[command(name = "longhaul")]
struct Cli {
    #[command(subcommand)]
    command: Typed,
}

#[derive(Debug, clap::Subcommand)]
enum Typed {
    #[command(subcommand)]
    Cluster(ClusterCommand),
    #[command(subcommand)]
    Node(NodeCommand),
    #[command(subcommand)]
    Partition(PartitionCommand),
    #[command(subcommand)]
    Backup(BackupCommand),
}

/// What was printed, and how it ended.
#[derive(Debug)]
struct Ended {
    results: String,
    progress: String,
    outcome: Result<Outcome, Failure>,
}

impl Ended {
    fn code(&self) -> u8 {
        match &self.outcome {
            Ok(outcome) => outcome.code(),
            Err(failure) => failure.kind.code(),
        }
    }

    fn message(&self) -> &str {
        &self.outcome.as_ref().expect_err("it failed").message
    }
}

async fn typed(words: &[&str]) -> Ended {
    let cli = Cli::try_parse_from(std::iter::once(&"longhaul").chain(words)).expect("valid");
    let (mut results, mut progress) = (Vec::new(), Vec::new());
    let mut session = Session::of_test(&mut results, &mut progress);
    let outcome = match cli.command {
        Typed::Cluster(command) => cluster::execute(command, &mut session).await,
        Typed::Node(command) => node::execute(command, &mut session).await,
        Typed::Partition(command) => partition::execute(command, &mut session).await,
        Typed::Backup(command) => backup::execute(command, &mut session).await,
    };
    drop(session);
    Ended {
        results: String::from_utf8(results).expect("text"),
        progress: String::from_utf8(progress).expect("text"),
        outcome,
    }
}

/// The command against `cluster`.
async fn against(cluster: &FakeCluster, words: &[&str]) -> Ended {
    let url = serve(cluster.clone()).await;
    typed(&[words, &["--endpoint", &url]].concat()).await
}

#[test]
fn help_texts() {
    let mut all = String::new();
    let mut root = <Cli as clap::CommandFactory>::command();
    root.build();
    for group in root
        .get_subcommands_mut()
        .filter(|it| it.get_name() != "help")
    {
        for command in group.get_subcommands_mut() {
            if command.get_name() != "help" {
                all += &format!("{}\n", command.render_help());
            }
        }
    }
    check("help", &all);
}

#[tokio::test]
async fn status_says_what_there_is() {
    let mut cluster = cluster();
    let ended = against(&cluster, &["cluster", "status"]).await;
    assert_eq!(ended.code(), 0);
    check("status", &ended.results);
    let ended = against(&cluster, &["cluster", "status", "-o", "json"]).await;
    check("status.json", &ended.results);

    cluster.change(|it| {
        it.maybe_old = true;
        it.meta_group = None;
        it.nodes[0].contact = None;
    });
    let ended = against(&cluster, &["cluster", "status"]).await;
    assert_eq!(ended.code(), 0);
    check("status-old", &ended.results);
}

#[tokio::test]
async fn members_and_partitions_are_listed() {
    let cluster = cluster();
    check(
        "members",
        &against(&cluster, &["cluster", "members"]).await.results,
    );
    check(
        "partitions",
        &against(&cluster, &["partition", "list"]).await.results,
    );
    let json = against(&cluster, &["partition", "list", "--output", "json"]).await;
    check("partitions.json", &json.results);
}

#[tokio::test]
async fn health_is_in_the_exit_code() {
    let mut cluster = cluster();
    let ended = against(&cluster, &["cluster", "health"]).await;
    assert_eq!((ended.code(), &*ended.results), (0, "healthy\n"));
    let finding = |severity: wire::Severity, what: &str| wire::Finding {
        severity: severity.into(),
        kind: "some-kind".to_owned(),
        what: what.to_owned(),
        advice: "do this".to_owned(),
    };
    cluster.find(vec![finding(wire::Severity::Note, "it is old")]);
    let ended = against(&cluster, &["cluster", "health"]).await;
    assert_eq!(ended.code(), 0);
    check("health-notes", &ended.results);
    cluster.find(vec![
        finding(wire::Severity::Critical, "it is broken"),
        finding(wire::Severity::Note, "it is old"),
    ]);
    let ended = against(&cluster, &["cluster", "health"]).await;
    assert_eq!(ended.code(), 1);
    check("health", &ended.results);
    let ended = against(&cluster, &["cluster", "health", "-o", "json"]).await;
    assert_eq!(ended.code(), 1);
    check("health.json", &ended.results);
}

#[tokio::test]
async fn who_answers_nothing_is_not_reachable() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", nobody.local_addr().expect("bound"));
    drop(nobody);
    for words in [
        ["cluster", "health"],
        ["cluster", "status"],
        ["partition", "list"],
    ] {
        let ended = typed(&[&words[..], &["--endpoint", &url]].concat()).await;
        assert_eq!(ended.code(), 2, "{words:?}");
        assert!(ended.message().contains(&url), "{}", ended.message());
        assert!(ended.results.is_empty());
    }
}

#[tokio::test]
async fn refusals_are_told_in_the_servers_words() {
    for (status, code, says) in [
        (
            tonic::Status::failed_precondition("2 nodes must join first"),
            5,
            "2 nodes must join first",
        ),
        (
            tonic::Status::not_found("there is no node n9"),
            3,
            "there is no node n9",
        ),
        (
            tonic::Status::unavailable("nobody leads"),
            2,
            "nobody leads",
        ),
        (tonic::Status::internal("oh"), 1, "oh"),
        (tonic::Status::unimplemented(""), 1, "not of this release"),
    ] {
        let mut cluster = cluster();
        cluster.refuse(status);
        let ended = against(&cluster, &["node", "drain", "n1"]).await;
        assert_eq!(ended.code(), code);
        assert!(ended.message().contains(says), "{}", ended.message());
    }
}

#[tokio::test]
async fn what_is_wanted_of_a_node_is_asked_for() {
    let by_name = |name: &str| wire::set_node_state_request::Node::Name(name.to_owned());
    let by_id = wire::set_node_state_request::Node::Id;
    for (words, node, state, only_if_down) in [
        (
            ["node", "drain", "n3"],
            by_name("n3"),
            NodeState::Draining,
            false,
        ),
        (["node", "resume", "3"], by_id(3), NodeState::Active, false),
        (
            ["node", "decommission", "3"],
            by_id(3),
            NodeState::Leaving,
            false,
        ),
        (
            ["node", "replace", "n3"],
            by_name("n3"),
            NodeState::Leaving,
            true,
        ),
    ] {
        let cluster = cluster();
        let ended = against(&cluster, &words).await;
        assert_eq!(ended.code(), 0, "{words:?}");
        assert!(ended.progress.is_empty());
        let asked = cluster.asked();
        let expected = wire::SetNodeStateRequest {
            node: Some(node),
            state: state.into(),
            only_if_down,
        };
        assert_eq!(asked, [expected], "{words:?}");
    }
}

#[tokio::test]
async fn a_drain_is_watched_until_nothing_is_led() {
    let mut cluster = cluster();
    cluster.then(|it| it.nodes[2].partitions_led = 2);
    cluster.then(|it| it.nodes[2].partitions_led = 1);
    cluster.then(|it| it.maybe_old = true);
    cluster.then(|it| {
        it.maybe_old = false;
        it.nodes[2].partitions_led = 0;
    });
    let ended = against(&cluster, &["node", "drain", "n3", "--wait"]).await;
    assert_eq!(ended.code(), 0);
    check(
        "drain",
        &format!("{}---\n{}", ended.progress, ended.results),
    );
}

#[tokio::test]
async fn a_departure_is_watched_until_the_node_is_gone() {
    let mut cluster = cluster();
    cluster.then(|it| {
        it.nodes[2].set_state(NodeState::Leaving);
        it.nodes[2].replicas_held = 8;
        it.nodes[2].partitions_led = 3;
    });
    cluster.then(|it| {
        it.nodes[2].replicas_held = 1;
        it.nodes[2].partitions_led = 0;
    });
    cluster.then(|_| {});
    cluster.then(|it| it.nodes[2].replicas_held = 0);
    cluster.then(|it| it.nodes[2].set_state(NodeState::Gone));
    let ended = against(
        &cluster,
        &["node", "decommission", "n3", "--wait", "-o", "json"],
    )
    .await;
    assert_eq!(ended.code(), 0);
    check(
        "decommission",
        &format!("{}---\n{}", ended.progress, ended.results),
    );
}

#[tokio::test]
async fn watching_ends_when_it_takes_too_long() {
    let mut cluster = cluster();
    cluster.then(|it| it.nodes[2].partitions_led = 2);
    let words = ["node", "drain", "n3", "--wait", "--timeout", "50ms"];
    let ended = against(&cluster, &words).await;
    assert_eq!(ended.code(), 6);
    assert!(
        ended.message().contains("not done after 50ms"),
        "{}",
        ended.message()
    );
}

#[tokio::test]
async fn leadership_is_handed_over() {
    let cluster = cluster();
    let words = ["partition", "transfer-leader", "1", "--to", "n3"];
    let ended = against(&cluster, &words).await;
    assert_eq!(
        (ended.code(), &*ended.results),
        (0, "n3 leads partition 1\n")
    );
    let ended = against(&cluster, &[&words[..], &["-o", "json"]].concat()).await;
    assert_eq!(
        ended.results,
        "{\n  \"leader\": 3,\n  \"partition\": 1\n}\n"
    );
}

#[test]
fn wrong_command_lines_are_refused() {
    for words in [
        &["node", "drain"][..],
        &["node", "drain", "n1", "--timeout", "1s"],
        &["partition", "transfer-leader", "1"],
        &["partition", "transfer-leader", "x", "--to", "n1"],
        &["cluster", "status", "-o", "yaml"],
        &["cluster", "status", "--endpoint", "https://h:1"],
        &["backup", "create"],
    ] {
        let parsed = Cli::try_parse_from(std::iter::once(&"longhaul").chain(words));
        let error = parsed.expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}
