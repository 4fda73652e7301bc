//! What a node is run with: one value, composed of defaults, a file, the environment and flags.
//!
//! ```text
//! flags  >  LONGHAUL_SECTION__KEY  >  file  >  defaults of `server` or `dev`
//! ```
//!
//! Each key has one row in `keys.rs`; reading, printing, the default file and the reference page come from it.

mod cluster;
mod document;
mod keys;
mod problem;
mod retention;
mod sources;
mod validate;
mod value;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use longhaul_types::HubName;

use crate::listen::{ListenAddress, OptionalAddress};

pub use cluster::{Cluster, Label, OptionalPlace, OptionalTls, Peer, Tls};
pub use document::{default_file, reference_page};
pub use problem::{ConfigError, Problem};
pub use retention::{Age, HubAges, OwnAge, Retention};
pub use sources::{Loaded, Origin};
pub use validate::SHUTDOWN_GRACE_MAX;
pub use value::{ByteCount, LogFormat, LogLevel, OtlpEndpoint};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This process.
    pub node: Node,
    /// What is fixed when the data directory is created.
    pub cluster: Cluster,
    /// Addresses.
    pub listen: Listen,
    /// Task hubs.
    pub hubs: Hubs,
    /// How long ended instances stay.
    pub retention: Retention,
    /// What clients and workers may send and take.
    pub limits: Limits,
    /// Work items that workers hold on to, or fail to complete.
    pub work_items: WorkItems,
    /// The gRPC port's limits.
    pub grpc: Grpc,
    /// The write-ahead log.
    pub wal: Wal,
    /// The state of instances.
    pub storage: Storage,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// This process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where everything durable is kept.
    pub data_dir: PathBuf,
    /// How long workers may finish what they hold when the node stops.
    pub shutdown_grace: Duration,
}

/// Addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// gRPC for SDKs.
    pub grpc: ListenAddress,
    /// The status page, and health and metrics over HTTP.
    pub dashboard: OptionalAddress,
    /// Health and metrics over HTTP once more, for a port of their own.
    pub metrics: OptionalAddress,
    /// Other nodes.
    pub peers: OptionalAddress,
}

/// Task hubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hubs {
    /// Made at the start, unless they exist.
    pub create: Vec<HubName>,
    /// Whether any other valid name is made on its first use.
    pub dynamic: bool,
    /// Whether CreateTaskHub and DeleteTaskHub are served.
    pub manage_over_rpc: bool,
}

/// What clients and workers may send and take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One input, output, event, reason or custom status.
    pub payload: ByteCount,
    /// One received message.
    pub message: ByteCount,
    /// The name of an orchestration, activity, event or operation.
    pub name: ByteCount,
    /// A version.
    pub version: ByteCount,
    /// Tags of one instance or activity.
    pub tags: u32,
    /// The key of a tag.
    pub tag_key: ByteCount,
    /// The value of a tag.
    pub tag_value: ByteCount,
    /// All tags of one instance or activity.
    pub tags_bytes: ByteCount,
    /// Actions in one answer of a worker.
    pub actions: u32,
    /// Events or operations that clients may let wait for one instance.
    pub pending_events: u32,
    /// Events of one history.
    pub history_events: u32,
    /// One history.
    pub history_bytes: ByteCount,
    /// Work items of one kind out on a stream that leaves the number to the server.
    pub work_items_per_stream: u32,
}

/// Work items that workers hold on to, or fail to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItems {
    /// How long a turn of an orchestration may be out; zero for ever.
    pub orchestration_lease_max: Duration,
    /// The same for an activity.
    pub activity_lease_max: Duration,
    /// The same for a batch of an entity's operations.
    pub entity_lease_max: Duration,
    /// Failures in a row after which an item is parked; 0 for never.
    pub park_after: u32,
    /// How often a parked item is tried again.
    pub park_retry: Duration,
}

/// The gRPC port's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grpc {
    /// Connections at a time.
    pub connections_max: u32,
    /// Calls at a time on one connection.
    pub calls_per_connection_max: u32,
    /// Bytes a client may send ahead in one call.
    pub stream_window: ByteCount,
    /// Bytes a client may send ahead in all calls of a connection.
    pub connection_window: ByteCount,
    /// Size of a call's headers.
    pub headers_max: ByteCount,
    /// How often a connection is checked with a ping.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take.
    pub keepalive_timeout: Duration,
}

/// The write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wal {
    /// Size of one of its files.
    pub segment_size: ByteCount,
    /// Size at which a batch is written.
    pub batch_size: ByteCount,
    /// Memory for the newest records.
    pub cache_size: ByteCount,
    /// Whether new files are filled with zeros.
    pub prewrite: bool,
}

/// The state of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// How often changed instances are written to disk; zero writes each change through.
    pub checkpoint_interval: Duration,
    /// Memory for instances, over all partitions.
    pub instance_memory: ByteCount,
    /// Memory for rows that were read.
    pub block_cache: ByteCount,
    /// Memory for rows that were written and are not yet in files, over all partitions.
    pub write_buffers: ByteCount,
    /// The same, of one partition.
    pub partition_write_buffer: ByteCount,
    /// Threads that write files and merge them.
    pub background_jobs: u32,
}

/// Logs and traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// The form of logs.
    pub log_format: LogFormat,
    /// Which of them.
    pub log_level: LogLevel,
    /// Where traces are sent.
    pub otlp_endpoint: OtlpEndpoint,
    /// How much of what has no trace context of its own is traced.
    pub trace_percent: u32,
}

/// Whether an environment variable would be read as a setting.
#[must_use]
pub fn is_ours(variable: &str) -> bool {
    variable.starts_with(keys::VARIABLE_PREFIX)
        || keys::ALIASES.iter().any(|(name, _)| *name == variable)
}

impl Config {
    /// The defaults of `longhaul server`.
    #[must_use]
    pub fn server() -> Self {
        Self {
            node: Node {
                data_dir: "longhaul-data".into(),
                shutdown_grace: Duration::from_secs(5),
            },
            cluster: Cluster::default(),
            listen: Listen {
                grpc: ListenAddress::localhost(8080),
                dashboard: OptionalAddress::On(ListenAddress::localhost(8082)),
                metrics: OptionalAddress::On(ListenAddress::localhost(9090)),
                peers: OptionalAddress::Off,
            },
            hubs: Hubs {
                create: vec![HubName::parse("default").expect("a valid name")],
                dynamic: false,
                manage_over_rpc: false,
            },
            retention: Retention {
                default_after: Age::days(30),
                completed_after: OwnAge::Default,
                failed_after: OwnAge::Default,
                terminated_after: OwnAge::Default,
                canceled_after: OwnAge::Default,
                hubs: HubAges::default(),
            },
            limits: Limits {
                payload: ByteCount::mib(1),
                message: ByteCount::mib(64),
                name: ByteCount::kib(1),
                version: ByteCount::kib(1),
                tags: 64,
                tag_key: ByteCount::kib(1),
                tag_value: ByteCount::kib(16),
                tags_bytes: ByteCount::kib(64),
                actions: 10_000,
                pending_events: 10_000,
                history_events: 100_000,
                history_bytes: ByteCount::mib(256),
                work_items_per_stream: 100,
            },
            work_items: WorkItems {
                orchestration_lease_max: Duration::from_secs(600),
                activity_lease_max: Duration::ZERO,
                entity_lease_max: Duration::ZERO,
                park_after: 20,
                park_retry: Duration::from_secs(15 * 60),
            },
            grpc: Grpc {
                connections_max: 10_000,
                calls_per_connection_max: 10_000,
                stream_window: ByteCount::mib(1),
                connection_window: ByteCount::mib(4),
                headers_max: ByteCount::kib(16),
                keepalive_interval: Duration::from_secs(20),
                keepalive_timeout: Duration::from_secs(20),
            },
            wal: Wal {
                segment_size: ByteCount::mib(64),
                batch_size: ByteCount::mib(8),
                cache_size: ByteCount::mib(64),
                prewrite: false,
            },
            storage: Storage {
                checkpoint_interval: Duration::from_secs(1),
                instance_memory: ByteCount::mib(256),
                block_cache: ByteCount::mib(64),
                write_buffers: ByteCount::mib(64),
                partition_write_buffer: ByteCount::mib(16),
                background_jobs: 2,
            },
            telemetry: Telemetry {
                log_format: LogFormat::Auto,
                log_level: LogLevel("info".to_owned()),
                otlp_endpoint: OtlpEndpoint::Off,
                trace_percent: 100,
            },
        }
    }

    /// By which people and other nodes call this node.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.cluster.name.0.clone().unwrap_or_else(|| {
            let host = rustix::system::uname();
            host.nodename().to_string_lossy().into_owned()
        })
    }

    /// Where to listen for other nodes: as it says, or as the list of peers has it.
    #[must_use]
    pub fn peers_address(&self) -> Option<ListenAddress> {
        let listed = || self.listed().map(|peer| peer.address.clone());
        self.listen.peers.as_ref().cloned().or_else(listed)
    }

    /// This node in the list of peers.
    #[must_use]
    pub fn listed(&self) -> Option<&Peer> {
        let name = self.node_name();
        self.cluster.peers.iter().find(|peer| peer.name == name)
    }

    /// The defaults of `longhaul dev`: any task hub, made and deleted by anyone, few partitions, no metrics port, logs to read.
    #[must_use]
    pub fn dev() -> Self {
        let mut config = Self::server();
        config.cluster.partitions = 4;
        config.hubs.dynamic = true;
        config.hubs.manage_over_rpc = true;
        config.listen.metrics = OptionalAddress::Off;
        config.telemetry.log_format = LogFormat::Text;
        config
    }
}
