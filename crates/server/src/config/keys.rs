//! Every key: its place in [`Config`], and what a reader of the reference page needs to know.

use toml::de::DeValue;

use super::Config;
use super::value::Value;

/// One setting.
pub(super) struct Key {
    /// `section.key`.
    pub(super) path: &'static str,
    /// What it does, in a sentence or two.
    pub(super) doc: &'static str,
    /// What may be written.
    pub(super) expected: &'static str,
    pub(super) set_text: fn(&mut Config, &str) -> Option<()>,
    pub(super) set_toml: fn(&mut Config, &DeValue<'_>) -> Option<()>,
    /// Its value, as a file has it.
    pub(super) toml: fn(&Config) -> String,
}

/// A section of keys.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
}

impl Key {
    /// The part after the section.
    pub(super) fn name(&self) -> &'static str {
        self.path
            .split_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!(
            "{VARIABLE_PREFIX}{}",
            self.path.to_ascii_uppercase().replace('.', "__")
        )
    }
}

/// How our environment variables begin.
pub(super) const VARIABLE_PREFIX: &str = "LONGHAUL_";

/// Variables of other products that set one of our keys.
pub(super) const ALIASES: [(&str, &str); 4] = [
    ("DTS_TASK_HUB_NAMES", "hubs.create"),
    ("DTS_USE_DYNAMIC_TASK_HUBS", "hubs.dynamic"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("RUST_LOG", "telemetry.log_level"),
];

/// The key with this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// Every key, in the order of the file.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

macro_rules! key {
    ($section:ident . $key:ident, $doc:literal) => {
        Key {
            path: concat!(stringify!($section), ".", stringify!($key)),
            doc: $doc,
            expected: expected(|config| &config.$section.$key),
            set_text: |config, text| {
                config.$section.$key = Value::from_text(text)?;
                Some(())
            },
            set_toml: |config, value| {
                config.$section.$key = Value::from_toml(value)?;
                Some(())
            },
            toml: |config| config.$section.$key.to_toml(),
        }
    };
}

/// What may be written for the field that `_field` leads to.
const fn expected<V: Value>(_field: fn(&Config) -> &V) -> &'static str {
    V::EXPECTED
}

/// The whole configuration.
pub(super) static SECTIONS: [Section; 11] = [
    Section {
        name: "node",
        doc: "This process.",
        keys: &[
            key!(
                node.data_dir,
                "Where everything durable is kept. One process at a time; never move it between nodes."
            ),
            key!(
                node.shutdown_grace,
                "How long workers may finish what they hold when the node stops; at most 8s, so that it ends within 10 s."
            ),
        ],
    },
    Section {
        name: "cluster",
        doc: "This node as one of several; see docs/operations.md. A node without peers is a cluster of its own.",
        keys: &[
            key!(
                cluster.partitions,
                "Into how many partitions instances are divided: a power of two from 1 to 1024. A cluster keeps the number it was formed with."
            ),
            key!(
                cluster.replicas,
                "On how many nodes each partition is kept: 1, 3 or 5. A cluster keeps the number it was formed with."
            ),
            key!(
                cluster.name,
                "By which people and other nodes call this node; empty for the name of the host."
            ),
            key!(
                cluster.peers,
                "The first nodes, this one among them, each as `name=host:port` with its port for other nodes; the same list on all of them. The cluster is formed once all of them are there; a node that comes later joins through any of them. In the environment, separated by commas."
            ),
            key!(
                cluster.zone,
                "What this node shares with others that fail with it, such as a rack; replicas of a partition are kept apart."
            ),
            key!(
                cluster.advertise,
                "Where other nodes find this one; empty for its address in `cluster.peers`, or else `listen.peers`."
            ),
            key!(
                cluster.plaintext,
                "Whether nodes may talk in plain text over a network; whoever reaches the port can then become a member. On this machine alone they always may."
            ),
            key!(
                cluster.election_timeout,
                "A partition whose leader has been silent for so long elects another one; from 300ms to 30s, the same on all nodes. A leader is heard of five times as often, so a short time costs idle nodes a little, and machines that stall for as long get other leaders for nothing."
            ),
            key!(
                cluster.replace_after,
                "When a node is away for so long, its replicas are made anew on others, if there are enough."
            ),
            key!(
                cluster.tls,
                "Certificates between nodes, `{ certificate = \"…\", key = \"…\", authorities = \"…\", name = \"…\" }`, PEM files and the DNS name in them; `{node}` in the name stands for the id of the node. `off` for plain text. In the environment: `certificate=…,key=…,authorities=…,name=…`."
            ),
        ],
    },
    Section {
        name: "listen",
        doc: "Addresses. Calls are not authenticated, so leave `localhost` only where the network keeps strangers out. Port 0 is any free one.",
        keys: &[
            key!(listen.grpc, "gRPC for SDKs, and its health service."),
            key!(
                listen.dashboard,
                "Status page, `/healthz`, `/readyz` and `/metrics` over HTTP; `off` for none."
            ),
            key!(
                listen.metrics,
                "`/healthz`, `/readyz` and `/metrics` on a port of their own; `off` for none."
            ),
            key!(
                listen.peers,
                "Other nodes; `off` for a node that stays alone."
            ),
        ],
    },
    Section {
        name: "hubs",
        doc: "Task hubs.",
        keys: &[
            key!(
                hubs.create,
                "Made at the start, unless they exist. Calls that name none go to `default`, or to the first of these if it is not among them and `hubs.dynamic` is off. In the environment, separated by commas; `DTS_TASK_HUB_NAMES` is read too."
            ),
            key!(
                hubs.dynamic,
                "Whether any other valid name is made on its first use, unless it was deleted since the start; `DTS_USE_DYNAMIC_TASK_HUBS` is read too."
            ),
            key!(
                hubs.manage_over_rpc,
                "Whether clients may make and delete task hubs with CreateTaskHub and DeleteTaskHub, content included; others get PERMISSION_DENIED."
            ),
        ],
    },
    Section {
        name: "retention",
        doc: "When ended instances are removed with their history, counted from their end: after a duration, `0s` for as soon as possible, or `never`.",
        keys: &[
            key!(retention.default_after, "Whatever their final status."),
            key!(
                retention.completed_after,
                "Completed ones; `default` stands for `retention.default_after`."
            ),
            key!(
                retention.failed_after,
                "Failed ones; `default` stands for `retention.default_after`."
            ),
            key!(
                retention.terminated_after,
                "Terminated ones; `default` stands for `retention.default_after`."
            ),
            key!(
                retention.canceled_after,
                "Canceled ones; `default` stands for `retention.default_after`."
            ),
            key!(
                retention.hubs,
                "Those of single task hubs, such as `{ orders = \"7days\", audit = { default_after = \"never\", failed_after = \"90days\" } }`; what a hub leaves out is as above. In the environment: `orders=7days,audit=never,audit:failed_after=90days`."
            ),
        ],
    },
    Section {
        name: "limits",
        doc: "What clients and workers may send and take.",
        keys: &[
            key!(
                limits.payload,
                "Size of one input, output, event, reason or custom status; more is refused with INVALID_ARGUMENT."
            ),
            key!(
                limits.message,
                "Size of one received message, above `limits.payload`; more is refused with RESOURCE_EXHAUSTED."
            ),
            key!(
                limits.name,
                "Size of the name of an orchestration, activity, event or operation; more is refused with INVALID_ARGUMENT. Like any other limit on what a worker's answer holds, it fails the orchestration, with failure details that say why."
            ),
            key!(limits.version, "Size of a version, likewise."),
            key!(
                limits.tags,
                "Tags of one instance or activity, likewise; a child has its own beside its parent's."
            ),
            key!(limits.tag_key, "Size of the key of a tag, likewise."),
            key!(limits.tag_value, "Size of the value of a tag, likewise."),
            key!(
                limits.tags_bytes,
                "Size of all tags of one instance or activity, likewise."
            ),
            key!(
                limits.actions,
                "Actions in one answer of a worker, with all its parts; an orchestration or batch that does more at once fails."
            ),
            key!(
                limits.pending_events,
                "Events that may wait for one orchestration, or operations for one entity; then RaiseEvent and SignalEntity are refused with RESOURCE_EXHAUSTED until workers have taken some. What orchestrations and entities send each other is always taken."
            ),
            key!(
                limits.history_events,
                "Events of one history; an orchestration whose history would become longer fails."
            ),
            key!(limits.history_bytes, "Size of one history, likewise."),
            key!(
                limits.work_items_per_stream,
                "Work items of one kind out on a worker's stream that asks for 0, which leaves the number to the server."
            ),
        ],
    },
    Section {
        name: "work_items",
        doc: "Work items that workers hold on to, or fail to complete.",
        keys: &[
            key!(
                work_items.orchestration_lease_max,
                "A turn of an orchestration that is out for longer is offered to the workers again, since some lose one without saying so; `0s` for never."
            ),
            key!(
                work_items.activity_lease_max,
                "The same for an activity, which then runs twice if its worker still has it; `0s` for never, which leaves it out for as long as its worker's stream lives."
            ),
            key!(
                work_items.entity_lease_max,
                "The same for a batch of an entity's operations; `0s` for never."
            ),
            key!(
                work_items.park_after,
                "Times in a row that a work item may be given back, or be lost with its worker, before it is parked, with a warning and counted in `longhaul_work_items_parked`; 0 for any number of times."
            ),
            key!(
                work_items.park_retry,
                "How often a parked work item is tried again. One that is completed is not parked any more."
            ),
        ],
    },
    Section {
        name: "grpc",
        doc: "Limits of the gRPC port.",
        keys: &[
            key!(
                grpc.connections_max,
                "Connections at a time; more wait to be accepted."
            ),
            key!(
                grpc.calls_per_connection_max,
                "Calls at a time on one connection; clients hold more back."
            ),
            key!(
                grpc.stream_window,
                "Bytes a client may send ahead in one call."
            ),
            key!(
                grpc.connection_window,
                "Bytes a client may send ahead in all calls of one connection; at least `grpc.stream_window`."
            ),
            key!(grpc.headers_max, "Size of the headers of one call."),
            key!(
                grpc.keepalive_interval,
                "How often a silent connection is checked with an HTTP/2 ping."
            ),
            key!(
                grpc.keepalive_timeout,
                "How long the answer to a ping may take before the connection counts as lost."
            ),
        ],
    },
    Section {
        name: "wal",
        doc: "The write-ahead log, shared by all partitions.",
        keys: &[
            key!(
                wal.segment_size,
                "Size of one of its files: a multiple of 512B, from 8KiB to 1GiB."
            ),
            key!(
                wal.batch_size,
                "Size at which a batch is written without waiting for more; at most `wal.segment_size`."
            ),
            key!(
                wal.cache_size,
                "Memory for the newest records, which spares reading them back."
            ),
            key!(
                wal.prewrite,
                "Whether new files are filled with zeros, for disks on which first writes are slow."
            ),
        ],
    },
    Section {
        name: "storage",
        doc: "The state of instances: in memory, and behind it on disk.",
        keys: &[
            key!(
                storage.checkpoint_interval,
                "How often changed instances are written to disk, at most 10s; `0s` writes each change through. What is not yet written is in the write-ahead log."
            ),
            key!(
                storage.instance_memory,
                "Memory for instances, over all partitions; those not used for longest are read from disk again when needed."
            ),
            key!(storage.block_cache, "Memory for what was read from disk."),
            key!(
                storage.write_buffers,
                "Memory for what was written and is not yet in files, over all partitions."
            ),
            key!(
                storage.partition_write_buffer,
                "The same, of one partition: from 64KiB to `storage.write_buffers`."
            ),
            key!(
                storage.background_jobs,
                "Threads that write files and merge them: from 1 to 64."
            ),
        ],
    },
    Section {
        name: "telemetry",
        doc: "Logs, on standard error, and traces, sent to an OpenTelemetry collector.",
        keys: &[
            key!(
                telemetry.log_format,
                "`text`, `json`, or `auto`: text on a terminal, JSON elsewhere."
            ),
            key!(
                telemetry.log_level,
                "`error`, `warn`, `info`, `debug`, `trace`, or levels by module such as `info,longhaul_wal=debug`. The consensus library is heard only where `openraft` is named. `RUST_LOG` is read too."
            ),
            key!(
                telemetry.otlp_endpoint,
                "Collector that spans of calls and of work items are sent to, as OTLP over gRPC: `http://localhost:4317`, or `off`. They are linked to the traces of SDKs, which pass through unchanged either way. `OTEL_EXPORTER_OTLP_ENDPOINT` is read too, and so are `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`."
            ),
            key!(
                telemetry.trace_percent,
                "How many in a hundred calls and work items without a trace context are traced; those with one are if their SDK's trace is."
            ),
        ],
    },
];
