//! Limits and relations between values; a broken relation names both sides.

use std::time::Duration;

use longhaul_types::PartitionCount;

use super::problem::Problem;
use super::retention::AGE_MAX;
use super::value::ByteCount;
use super::{Age, Config, Origin, Peer};

/// A node must end within 10 s; the rest is for the last checkpoint.
pub const SHUTDOWN_GRACE_MAX: Duration = Duration::from_secs(8);

const ELECTION_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(300)..=Duration::from_secs(30);
const CHECKPOINT_INTERVAL_MAX: Duration = Duration::from_secs(10);
const SECTOR: ByteCount = ByteCount(512);
const SEGMENT_SIZE_MIN: ByteCount = ByteCount::kib(8);
const SEGMENT_SIZE_MAX: ByteCount = ByteCount::mib(1024);
/// HTTP/2 cannot express larger windows.
const WINDOW_MAX: ByteCount = ByteCount((1 << 31) - 1);
const PARTITION_WRITE_BUFFER_MIN: ByteCount = ByteCount::kib(64);
/// Overdue work items are looked for about as often.
const LEASE_MAX_MIN: Duration = Duration::from_secs(15);
/// What is not parked is tried again after a minute at the latest.
const PARK_RETRY_MIN: Duration = Duration::from_secs(60);
const BACKGROUND_JOBS_MAX: u32 = 64;
const HEADERS_MAX_MIN: ByteCount = ByteCount::kib(4);

/// Everything that does not hold.
pub(super) fn problems<'a>(
    config: &Config,
    origin: impl Fn(&'static str) -> &'a Origin,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut must = |holds: bool, problem: String| {
        if !holds {
            found.push(Problem(problem));
        }
    };
    // Both the key and where it was set.
    let at = |path: &'static str| match origin(path) {
        Origin::Default => path.to_owned(),
        origin => format!("{path} ({origin})"),
    };

    let grace = config.node.shutdown_grace;
    must(
        grace <= SHUTDOWN_GRACE_MAX,
        format!(
            "{} is {grace:?}, but must be at most {SHUTDOWN_GRACE_MAX:?}, so that the node ends within 10 s",
            at("node.shutdown_grace")
        ),
    );

    let partitions = config.cluster.partitions;
    must(
        u16::try_from(partitions).is_ok_and(|count| PartitionCount::new(count).is_some()),
        format!(
            "{} is {partitions}, but must be a power of two from 1 to 1024",
            at("cluster.partitions")
        ),
    );

    let replicas = config.cluster.replicas;
    must(
        matches!(replicas, 1 | 3 | 5),
        format!(
            "{} is {replicas}, but must be 1, 3 or 5",
            at("cluster.replicas")
        ),
    );
    let election_timeout = config.cluster.election_timeout;
    must(
        ELECTION_TIMEOUT.contains(&election_timeout),
        format!(
            "{} is {election_timeout:?}, but must be from {:?} to {:?}",
            at("cluster.election_timeout"),
            ELECTION_TIMEOUT.start(),
            ELECTION_TIMEOUT.end()
        ),
    );
    let peers = &config.cluster.peers;
    for (nth, peer) in peers.iter().enumerate() {
        let same = |other: &&Peer| other.name == peer.name || other.address == peer.address;
        if let Some(other) = peers[..nth].iter().find(same) {
            must(
                false,
                format!(
                    "{} has {other} and {peer}, but names and addresses must differ",
                    at("cluster.peers")
                ),
            );
        }
    }
    let listed = config.cluster.name.0.as_ref().is_none_or(|name| {
        peers.iter().any(|peer| peer.name == *name) || config.listen.peers.as_ref().is_some()
    });
    must(
        peers.is_empty() || listed,
        format!(
            "{} does not list this node, so {} must say where it listens for other nodes",
            at("cluster.peers"),
            at("listen.peers")
        ),
    );

    let listen = &config.listen;
    let addresses = [
        ("listen.grpc", Some(&listen.grpc)),
        ("listen.dashboard", listen.dashboard.as_ref()),
        ("listen.metrics", listen.metrics.as_ref()),
        ("listen.peers", listen.peers.as_ref()),
    ];
    let pairs = (1..addresses.len()).flat_map(|nth| {
        let earlier = addresses[..nth].iter();
        earlier.map(move |one| (*one, addresses[nth]))
    });
    for (one, other) in pairs {
        let same = one
            .1
            .zip(other.1)
            .filter(|(one, other)| one.collides_with(other));
        if let Some((address, _)) = same {
            must(
                false,
                format!(
                    "{} and {} both have port {}, but must differ",
                    at(one.0),
                    at(other.0),
                    address.port
                ),
            );
        }
    }

    for (path, age) in config.retention.ages() {
        must(
            !matches!(age, Age::After(time) if time > AGE_MAX),
            format!(
                "{} has {age}, but must be at most 100 years, or never",
                at(path)
            ),
        );
    }

    let limits = &config.grpc;
    must(
        limits.connections_max > 0,
        format!(
            "{} is 0, but must be at least 1",
            at("grpc.connections_max")
        ),
    );
    must(
        limits.calls_per_connection_max > 0,
        format!(
            "{} is 0, but must be at least 1",
            at("grpc.calls_per_connection_max")
        ),
    );
    must(
        limits.stream_window <= limits.connection_window,
        format!(
            "{} is {}, but must be at most {}, which is {}",
            at("grpc.stream_window"),
            limits.stream_window,
            at("grpc.connection_window"),
            limits.connection_window
        ),
    );
    must(
        limits.connection_window <= WINDOW_MAX,
        format!(
            "{} is {}, but must be below 2GiB",
            at("grpc.connection_window"),
            limits.connection_window
        ),
    );
    must(
        limits.headers_max >= HEADERS_MAX_MIN,
        format!(
            "{} is {}, but must be at least {HEADERS_MAX_MIN}",
            at("grpc.headers_max"),
            limits.headers_max
        ),
    );
    for (path, duration) in [
        ("grpc.keepalive_interval", limits.keepalive_interval),
        ("grpc.keepalive_timeout", limits.keepalive_timeout),
    ] {
        must(
            duration >= Duration::from_secs(1),
            format!("{} is {duration:?}, but must be at least 1s", at(path)),
        );
    }

    let items = &config.work_items;
    for (path, max) in [
        (
            "work_items.orchestration_lease_max",
            items.orchestration_lease_max,
        ),
        ("work_items.activity_lease_max", items.activity_lease_max),
        ("work_items.entity_lease_max", items.entity_lease_max),
    ] {
        must(
            max.is_zero() || max >= LEASE_MAX_MIN,
            format!(
                "{} is {max:?}, but must be at least {LEASE_MAX_MIN:?}, or 0s",
                at(path)
            ),
        );
    }
    must(
        items.park_retry >= PARK_RETRY_MIN,
        format!(
            "{} is {:?}, but must be at least {PARK_RETRY_MIN:?}",
            at("work_items.park_retry"),
            items.park_retry
        ),
    );

    let wal = &config.wal;
    must(
        (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&wal.segment_size)
            && wal.segment_size.0.is_multiple_of(SECTOR.0),
        format!(
            "{} is {}, but must be a multiple of {SECTOR} from {SEGMENT_SIZE_MIN} to {SEGMENT_SIZE_MAX}",
            at("wal.segment_size"),
            wal.segment_size
        ),
    );
    must(
        wal.batch_size <= wal.segment_size,
        format!(
            "{} is {}, but must be at most {}, which is {}",
            at("wal.batch_size"),
            wal.batch_size,
            at("wal.segment_size"),
            wal.segment_size
        ),
    );
    must(
        wal.batch_size >= SECTOR,
        format!(
            "{} is {}, but must be at least {SECTOR}",
            at("wal.batch_size"),
            wal.batch_size
        ),
    );

    let interval = config.storage.checkpoint_interval;
    must(
        interval <= CHECKPOINT_INTERVAL_MAX,
        format!(
            "{} is {interval:?}, but must be at most {CHECKPOINT_INTERVAL_MAX:?}",
            at("storage.checkpoint_interval")
        ),
    );

    let storage = &config.storage;
    must(
        storage.partition_write_buffer <= storage.write_buffers,
        format!(
            "{} is {}, but must be at most {}, which is {}",
            at("storage.partition_write_buffer"),
            storage.partition_write_buffer,
            at("storage.write_buffers"),
            storage.write_buffers
        ),
    );
    must(
        storage.partition_write_buffer >= PARTITION_WRITE_BUFFER_MIN,
        format!(
            "{} is {}, but must be at least {PARTITION_WRITE_BUFFER_MIN}",
            at("storage.partition_write_buffer"),
            storage.partition_write_buffer
        ),
    );
    must(
        (1..=BACKGROUND_JOBS_MAX).contains(&storage.background_jobs),
        format!(
            "{} is {}, but must be from 1 to {BACKGROUND_JOBS_MAX}",
            at("storage.background_jobs"),
            storage.background_jobs
        ),
    );

    let percent = config.telemetry.trace_percent;
    must(
        percent <= 100,
        format!(
            "{} is {percent}, but must be at most 100",
            at("telemetry.trace_percent")
        ),
    );

    let limits = &config.limits;
    must(
        limits.payload < limits.message,
        format!(
            "{} is {}, but must be below {}, which is {}",
            at("limits.payload"),
            limits.payload,
            at("limits.message"),
            limits.message
        ),
    );
    for (path, size) in [
        ("limits.payload", limits.payload),
        ("limits.name", limits.name),
        ("limits.version", limits.version),
        ("limits.tag_key", limits.tag_key),
        ("limits.tag_value", limits.tag_value),
        ("limits.tags_bytes", limits.tags_bytes),
        ("limits.history_bytes", limits.history_bytes),
    ] {
        must(
            size.0 > 0,
            format!("{} is 0B, but must be at least 1B", at(path)),
        );
    }
    for (path, count) in [
        ("limits.tags", limits.tags),
        ("limits.actions", limits.actions),
        ("limits.pending_events", limits.pending_events),
        ("limits.history_events", limits.history_events),
        ("limits.work_items_per_stream", limits.work_items_per_stream),
    ] {
        must(
            count > 0,
            format!("{} is 0, but must be at least 1", at(path)),
        );
    }
    found
}
