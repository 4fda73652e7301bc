//! Gauges of a node, read whenever the metrics page is rendered.

use std::sync::{Arc, Weak};

use longhaul_partition::{Figures, Partitions, WorkKind};
use longhaul_types::PartitionId;
use longhaul_wal::Wal;
use metrics::{Gauge, describe_gauge, gauge};

/// One gauge of each partition: its name, what it shows, and where it comes from.
type PartitionGauge = (&'static str, &'static str, fn(&Figures) -> u64);

const OF_PARTITIONS: [PartitionGauge; 6] = [
    (
        "longhaul_partition_leader",
        "Whether this node leads the partition, 0 or 1.",
        |figures| u64::from(figures.leads),
    ),
    (
        "longhaul_partition_resident_instances",
        "Instances in memory.",
        |figures| figures.resident_instances,
    ),
    (
        "longhaul_partition_resident_bytes",
        "Estimated size of the instances in memory.",
        |figures| figures.resident_bytes,
    ),
    (
        "longhaul_partition_pending_work_items",
        "Work items waiting for a worker.",
        |figures| figures.queued,
    ),
    (
        "longhaul_partition_pending_timers",
        "Timers and delays that are not due yet.",
        |figures| figures.timers,
    ),
    (
        "longhaul_partition_parked_callers",
        "Callers that wait for an instance.",
        |figures| figures.waiters,
    ),
];

const WORK_ITEMS_OUT: &str = "longhaul_work_items_out";
const WORK_ITEMS_PARKED: &str = "longhaul_work_items_parked";
const WAL_BYTES: &str = "longhaul_wal_bytes";
const WAL_QUEUED: &str = "longhaul_wal_queued_bytes";

/// The gauges of one node.
#[derive(Clone)]
pub(crate) struct NodeGauges(Arc<Sources>);

struct Sources {
    partitions: Partitions,
    /// The node closes its log although someone may be looking.
    wal: Weak<Wal>,
    of_partitions: Vec<[Gauge; OF_PARTITIONS.len()]>,
    work_items_out: Gauge,
    work_items_parked: [Gauge; WorkKind::ALL.len()],
    wal_bytes: Gauge,
    wal_queued: Gauge,
}

impl NodeGauges {
    pub(crate) fn register(partitions: &Partitions, wal: &Arc<Wal>) -> Self {
        for (name, help, _) in OF_PARTITIONS {
            describe_gauge!(name, help);
        }
        describe_gauge!(WORK_ITEMS_OUT, "Work items out on worker streams.");
        describe_gauge!(
            WORK_ITEMS_PARKED,
            "Work items that workers failed to complete many times in a row; they are retried now and then."
        );
        describe_gauge!(WAL_BYTES, "Size of the write-ahead log's files in use.");
        describe_gauge!(
            WAL_QUEUED,
            "Bytes waiting to be written to the write-ahead log."
        );
        let register = |partition: PartitionId| {
            let id = partition.to_string();
            OF_PARTITIONS.map(|(name, _, _)| gauge!(name, "partition" => id.clone()))
        };
        Self(Arc::new(Sources {
            of_partitions: partitions.count().all().map(register).collect(),
            partitions: partitions.clone(),
            wal: Arc::downgrade(wal),
            work_items_out: gauge!(WORK_ITEMS_OUT),
            work_items_parked: WorkKind::ALL
                .map(|kind| gauge!(WORK_ITEMS_PARKED, "kind" => kind.name())),
            wal_bytes: gauge!(WAL_BYTES),
            wal_queued: gauge!(WAL_QUEUED),
        }))
    }

    /// Sets every gauge to what is true now.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn refresh(&self) {
        let sources = &*self.0;
        let mut parked = [0; WorkKind::ALL.len()];
        let all = sources.partitions.count().all();
        for (partition, gauges) in all.zip(&sources.of_partitions) {
            // One without a replica here counts nothing.
            let hosted = sources.partitions.hosted(partition);
            let figures = hosted.map(|it| it.figures()).unwrap_or_default();
            for (sum, of_partition) in parked.iter_mut().zip(figures.parked) {
                *sum += of_partition;
            }
            for (gauge, (_, _, value)) in gauges.iter().zip(OF_PARTITIONS) {
                gauge.set(value(&figures) as f64);
            }
        }
        sources
            .work_items_out
            .set(sources.partitions.sessions().out() as f64);
        for (gauge, parked) in sources.work_items_parked.iter().zip(parked) {
            gauge.set(parked as f64);
        }
        if let Some(wal) = sources.wal.upgrade() {
            sources.wal_bytes.set(wal.bytes_in_use() as f64);
            sources.wal_queued.set(wal.stats().queued_bytes as f64);
        }
    }
}

impl std::fmt::Debug for NodeGauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeGauges")
    }
}
