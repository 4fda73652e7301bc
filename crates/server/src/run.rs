//! The commands of the binary that run a node, from its start to the signal that ends it.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::args::{DevArgs, NodeArgs};
use crate::banner::Banner;
use crate::config::{Config, Loaded};
use crate::dev_cluster;
use crate::node::{DataPlace, Node, NodeSetup, PlainGrpc};
use crate::shutdown::StopSignals;
use crate::telemetry::logs;
use crate::telemetry::metrics::MetricsPage;
use crate::telemetry::traces::{self, Exporter, Traces};

/// How long the collector may take for the last traces.
const TRACES_PATIENCE: Duration = Duration::from_secs(2);
/// After so long, service managers kill.
const STOP_MAX: Duration = Duration::from_millis(9_900);

/// `longhaul dev`.
///
/// # Errors
/// Whatever keeps the node from serving.
pub fn dev(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.node.load(Config::dev())?;
    if args.nodes > 1 {
        return dev_cluster::run(&loaded, args.nodes);
    }
    let data = if args.ephemeral {
        DataPlace::Ephemeral
    } else {
        DataPlace::Configured
    };
    // A node on a port of its own stands beside another one.
    let usual_port = Config::dev().listen.grpc.port;
    let plain_grpc = if loaded.config.listen.grpc.port == usual_port {
        PlainGrpc::IfFree
    } else {
        PlainGrpc::Off
    };
    run(&loaded, data, plain_grpc, |node| {
        // Whoever started us may not be listening.
        let _ = write!(std::io::stdout(), "{}", banner(node, &loaded.config));
    })
}

/// `longhaul server`.
///
/// # Errors
/// Whatever keeps the node from serving.
pub fn server(args: &NodeArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.load(Config::server())?;
    if args.with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .context("cannot follow the process that started this one")?;
    }
    run(&loaded, DataPlace::Configured, PlainGrpc::Off, |_| {})
}

fn run(
    loaded: &Loaded,
    data: DataPlace,
    plain_grpc: PlainGrpc,
    announce: impl FnOnce(&Node),
) -> anyhow::Result<ExitCode> {
    let telemetry = &loaded.config.telemetry;
    // Before anything registers metrics.
    let metrics = MetricsPage::of_process()?;
    let (spans, exporter) = traces::pipeline(telemetry).unzip();
    logs::install(telemetry, spans)?;
    let setup = NodeSetup::of_machine(loaded, data, plain_grpc)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // Before the start, so that a signal during a long recovery is heard.
        let mut signals = StopSignals::listen()?;
        tokio::spawn(metrics.keep_folding());
        let traces = exporter.map(Exporter::start).transpose()?;
        let node = tokio::select! {
            node = Node::start(setup) => node?,
            signal = signals.next() => {
                tracing::info!(signal, "stopped while starting");
                return Ok(ExitCode::SUCCESS);
            }
        };
        announce(&node);
        let signal = signals.next().await;
        tracing::info!(
            signal,
            "asked to stop; a second signal ends the process at once"
        );
        tokio::select! {
            () = stop(node, traces) => Ok(ExitCode::SUCCESS),
            signal = signals.next() => {
                tracing::warn!(signal, "ending at once");
                std::process::exit(1);
            }
        }
    })
}

/// Ends the node, and then, in what is left of its time, sends the traces of its end.
async fn stop(node: Node, traces: Option<Traces>) {
    let began = Instant::now();
    node.stop().await;
    if let Some(traces) = traces {
        let left = STOP_MAX.saturating_sub(began.elapsed());
        traces.stop(left.min(TRACES_PATIENCE)).await;
    }
}

fn banner(node: &Node, config: &Config) -> Banner {
    let (ports, about) = (node.ports(), node.about());
    Banner {
        connection_string: about.connection_string.clone(),
        data_dir: about.data_dir.clone(),
        hubs: node.hubs().iter().map(ToString::to_string).collect(),
        any_hub: config.hubs.dynamic,
        dashboard: ports
            .dashboard
            .as_ref()
            .map(|address| format!("http://{}:{}", address.client_host(), address.port)),
        plain_grpc: ports.plain_grpc,
    }
}
