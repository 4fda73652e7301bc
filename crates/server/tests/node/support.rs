//! Nodes in temporary directories, calls to them, and the rules that the metrics page keeps.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use longhaul_client::{Client, Endpoint};
use longhaul_server::config::{Config, Loaded};
use longhaul_server::fault::FaultHandler;
use longhaul_server::node::{DataPlace, Node, NodeSetup, PlainGrpc};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tonic::transport::Channel;

/// A directory that is deleted at the end of its test.
pub(crate) fn new_dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A node in `dir`, on free ports.
pub(crate) async fn start(dir: &TempDir, change: impl FnOnce(&mut Config)) -> anyhow::Result<Node> {
    let mut config = Config::dev();
    config.node.data_dir = dir.path().join("data");
    config.listen.grpc.port = 0;
    config.listen.dashboard = "localhost:0".parse()?;
    config.listen.metrics = "localhost:0".parse()?;
    change(&mut config);
    let loaded = Loaded::of(config);
    loaded.validate()?;
    let mut setup = NodeSetup::of_machine(&loaded, DataPlace::Configured, PlainGrpc::Off)?;
    setup.on_fault = FaultHandler::new(|cause| panic!("{cause}"));
    Node::start(setup).await
}

/// A node in `dir`, with the defaults of development.
pub(crate) async fn start_in(dir: &TempDir) -> Node {
    start(dir, |_| {}).await.expect("starts")
}

/// The client's way to one hub of a node.
pub(crate) async fn connect_to(node: &Node, hub: &str) -> Client {
    let port = node.ports().grpc.port;
    let endpoint = Endpoint::new(&format!("http://127.0.0.1:{port}")).expect("a valid URL");
    Client::connect(&endpoint.with_task_hub(hub))
        .await
        .expect("listening")
}

/// The same, for tools and plain stubs.
pub(crate) async fn channel(node: &Node) -> Channel {
    let url = format!("http://127.0.0.1:{}", node.ports().grpc.port);
    Channel::from_shared(url)
        .expect("a valid URL")
        .connect()
        .await
        .expect("listening")
}

pub(crate) fn dashboard_port(node: &Node) -> u16 {
    node.ports().dashboard.as_ref().expect("it is on").port
}

/// Which HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Http {
    One,
    /// With prior knowledge.
    Two,
}

/// Status and body of a page on this machine.
pub(crate) async fn get(port: u16, version: Http, path: &str) -> (StatusCode, String) {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("listening");
    let io = TokioIo::new(stream);
    let request = Request::get(format!("http://127.0.0.1:{port}{path}"))
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())
        .expect("a valid request");
    let response = match version {
        Http::One => {
            let (mut requests, connection) = http1::handshake(io).await.expect("HTTP/1");
            tokio::spawn(connection);
            requests.send_request(request).await
        }
        Http::Two => {
            let (mut requests, connection) = http2::handshake(TokioExecutor::new(), io)
                .await
                .expect("HTTP/2");
            tokio::spawn(connection);
            requests.send_request(request).await
        }
    };
    let (head, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("whole").to_bytes();
    (head.status, String::from_utf8(body.to_vec()).expect("text"))
}

/// Units that are not base units, as the last word of a name.
const OTHER_UNITS: [&str; 12] = [
    "ms",
    "millis",
    "milliseconds",
    "us",
    "micros",
    "microseconds",
    "ns",
    "nanos",
    "nanoseconds",
    "kb",
    "mb",
    "percent",
];

/// Every family of the page follows OpenMetrics' naming and is described.
pub(crate) fn check_metrics_page(page: &str) {
    let families: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    assert!(families.len() > 10, "{page}");
    for (name, kind) in families {
        let words: Vec<&str> = name.split('_').collect();
        let (base, is_total) = match words.split_last() {
            Some((&"total", base)) => (base, true),
            _ => (words.as_slice(), false),
        };
        assert_eq!(words[0], "longhaul", "{name} begins with another word");
        assert_eq!(is_total, kind == "counter", "{name} is a {kind}");
        let lower = |word: &&str| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        assert!(words.iter().all(lower), "{name} is not in snake case");
        let unit = base.last().expect("a name has words");
        assert!(!OTHER_UNITS.contains(unit), "{name} is not in a base unit");
        if kind == "histogram" {
            assert!(
                ["seconds", "bytes"].contains(unit) || unit.ends_with('s'),
                "{name} has no unit"
            );
        }
        assert!(
            ["counter", "gauge", "histogram"].contains(&kind),
            "{name} is a {kind}"
        );
        assert!(
            page.contains(&format!("# HELP {name} ")),
            "{name} is not described"
        );
    }
}
