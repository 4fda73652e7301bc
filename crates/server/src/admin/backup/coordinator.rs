//! Takes a backup: has every partition's leader keep its state as of one moment, then reads what they keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use longhaul_cli::operate::backup::cut;
use longhaul_cli::operate::backup::manifest::{Exchanged, PartitionCopy};
use longhaul_cluster::catalog::Catalog;
use longhaul_partition::Randomness;
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::NodeId;
use longhaul_types::PartitionId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use wire::backup_part::Part;
use wire::node_answer::Kind as Answer;
use wire::node_request::Kind as Request;
use xxhash_rust::xxh3::Xxh3;

use super::super::nodes::{NodeFailure, Nodes};
use super::super::sources::{Cluster, Leaders};
use super::{ROWS_FORMAT, hubs};
use crate::data_dir::hex;

/// How long one attempt holds what is shipped between partitions, at most.
const HOLD: Duration = Duration::from_secs(5);
/// How long a leader may take to keep its state: it writes a checkpoint first.
const PIN_PATIENCE: Duration = Duration::from_secs(4);
/// How long a node may take for anything small.
const ASK_PATIENCE: Duration = Duration::from_secs(2);
/// How often copies that do not fit together are taken again.
const ATTEMPTS: usize = 5;
/// Between two attempts, for leaders to be elected.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);
/// How often nodes are told that the backup goes on: several times before they give it up.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Parts that wait to be sent.
const PARTS_WAITING: usize = 4;

/// The parts of a backup, as they are sent.
pub(in crate::admin) type PartStream = ReceiverStream<Result<wire::BackupPart, Status>>;

/// Takes backups. Cheap to clone.
#[derive(Clone)]
pub(in crate::admin) struct Coordinator {
    pub(in crate::admin) cluster: Arc<dyn Cluster>,
    pub(in crate::admin) leaders: Leaders,
    pub(in crate::admin) nodes: Nodes,
    pub(in crate::admin) randomness: Arc<dyn Randomness>,
    /// Milliseconds since 1970.
    pub(in crate::admin) clock_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The copies that the leaders keep. Dropped, they are told to let go of them.
struct Kept {
    backup: u64,
    nodes: Nodes,
    /// Who was asked.
    members: Vec<NodeId>,
    /// In order of partitions: who keeps it, and what it is.
    copies: Vec<(NodeId, wire::PartitionCopy)>,
}

impl Coordinator {
    /// Begins a backup; it goes on for as long as its parts are taken.
    pub(in crate::admin) fn take(self) -> PartStream {
        let (sender, receiver) = mpsc::channel(PARTS_WAITING);
        tokio::spawn(async move {
            let parts = sender.clone();
            let taken = async {
                tokio::select! {
                    taken = self.send_all(&parts) => taken,
                    // Whoever asked has gone.
                    () = parts.closed() => Ok(()),
                }
            };
            if let Err(status) = taken.await {
                tracing::warn!(error = status.message(), "a backup could not be taken");
                // Whoever asked may have gone.
                drop(sender.send(Err(status)).await);
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn send_all(
        &self,
        parts: &mpsc::Sender<Result<wire::BackupPart, Status>>,
    ) -> Result<(), Status> {
        let before = self.catalog().await?;
        let kept = self.keep_all(&before).await?;
        let keeping = tokio::spawn(keep(kept.nodes.clone(), kept.backup, kept.holders()));
        let _keeping = AbortOnDropHandle::new(keeping);
        let after = self.catalog().await?;
        let begin = self.begin(&kept, &before, &after);
        send(parts, Part::Begin(begin)).await?;
        for (node, copy) in &kept.copies {
            let end = send_rows(&kept, *node, copy.id, parts).await?;
            send(parts, Part::PartitionEnd(end)).await?;
        }
        send(parts, Part::End(wire::BackupEnd {})).await?;
        tracing::info!(partitions = kept.copies.len(), "a backup was taken");
        Ok(())
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, Status> {
        let read = self.cluster.read().await;
        read.map_err(|error| Status::unavailable(error.to_string()))
    }

    fn begin(&self, kept: &Kept, before: &Catalog, after: &Catalog) -> wire::BackupBegin {
        let founding = &after.founding;
        wire::BackupBegin {
            cluster_id: hex(&founding.cluster_id),
            partition_count: founding.partitions.get().into(),
            replicas: founding.replicas.into(),
            taken_at_ms: (self.clock_ms)(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rows_format: ROWS_FORMAT,
            partitions: kept.copies.iter().map(|(_, copy)| copy.clone()).collect(),
            hubs: Some(hubs::between(&before.hubs, &after.hubs)),
        }
    }

    /// Has copies kept that fit together.
    async fn keep_all(&self, catalog: &Catalog) -> Result<Kept, Status> {
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(ATTEMPT_PAUSE).await;
            }
            match self.attempt(catalog).await {
                Ok(kept) => match cut::inconsistency(&kept.numbers()) {
                    None => return Ok(kept),
                    Some(inconsistent) => reason = inconsistent.to_string(),
                },
                Err(failure) => reason = failure,
            }
            tracing::debug!(attempt, reason, "copies for a backup are taken again");
        }
        Err(Status::unavailable(format!(
            "the copies of the partitions could not be taken at one moment: {reason}; try again"
        )))
    }

    async fn attempt(&self, catalog: &Catalog) -> Result<Kept, String> {
        let members: Vec<NodeId> = catalog.members.present().map(|(node, _)| node).collect();
        let mut kept = Kept {
            backup: self.fresh(),
            nodes: self.nodes.clone(),
            members: members.clone(),
            copies: Vec::new(),
        };
        self.hold(&members, HOLD).await;
        let leaders = (self.leaders)();
        let partitions = catalog.founding.partitions.all().zip(&catalog.plans);
        let pins = partitions.map(|(partition, plan)| {
            let known = leaders.get(&partition).copied().flatten();
            let candidates = known.into_iter().chain(plan.voters.iter().copied());
            self.pin(kept.backup, partition, candidates.collect())
        });
        let pinned = try_join_all(pins).await;
        self.hold(&members, Duration::ZERO).await;
        kept.copies = pinned?;
        Ok(kept)
    }

    /// Holds what is shipped between partitions, or lets it go on. Nodes that do not answer are no reason to give up:
    /// whether the copies fit together is seen from them.
    async fn hold(&self, members: &[NodeId], time: Duration) {
        let hold = wire::HoldRequest {
            milliseconds: super::super::view::milliseconds(time),
        };
        let asks = members.iter().map(|node| {
            let asked = self.nodes.ask(*node, Request::Hold(hold));
            tokio::time::timeout(ASK_PATIENCE, asked)
        });
        join_all(asks).await;
    }

    /// Asks one node after the other, whoever is said to lead first.
    async fn pin(
        &self,
        backup: u64,
        partition: PartitionId,
        mut candidates: Vec<NodeId>,
    ) -> Result<(NodeId, wire::PartitionCopy), String> {
        let request = wire::PinRequest {
            backup,
            partition: partition.0.into(),
        };
        let (mut asked, mut reason) = (BTreeSet::new(), "it has no replicas".to_owned());
        candidates.reverse();
        while let Some(node) = candidates.pop() {
            if !asked.insert(node) {
                continue;
            }
            let pinned = self.nodes.ask(node, Request::Pin(request));
            match tokio::time::timeout(PIN_PATIENCE, pinned).await {
                Ok(Ok(Answer::Pinned(copy))) => return Ok((node, copy)),
                Ok(Ok(_)) => reason = format!("node {node} gave another answer"),
                Ok(Err(failure)) => {
                    reason = failure.to_string();
                    if let NodeFailure::NotLeader { leader, .. } = failure {
                        candidates.extend(leader);
                    }
                }
                Err(_) => reason = format!("node {node} does not answer"),
            }
        }
        Err(format!("partition {partition}: {reason}"))
    }

    fn fresh(&self) -> u64 {
        let mut bytes = [0; 8];
        self.randomness.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

impl Kept {
    fn holders(&self) -> BTreeSet<NodeId> {
        self.copies.iter().map(|(node, _)| *node).collect()
    }

    fn numbers(&self) -> Vec<PartitionCopy> {
        self.copies.iter().map(|(_, copy)| numbers(copy)).collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let (nodes, backup) = (self.nodes.clone(), self.backup);
        let members = std::mem::take(&mut self.members);
        tokio::spawn(async move {
            let release = wire::ReleaseRequest { backup };
            let releases = members.into_iter().map(|node| {
                let asked = nodes.ask(node, Request::Release(release));
                tokio::time::timeout(ASK_PATIENCE, asked)
            });
            // Whoever is not told lets go of them after a while.
            join_all(releases).await;
        });
    }
}

fn numbers(copy: &wire::PartitionCopy) -> PartitionCopy {
    let exchanged: BTreeMap<u32, Exchanged> = copy
        .exchanged
        .iter()
        .map(|it| {
            let exchanged = Exchanged {
                partition: it.partition,
                sent: it.sent,
                acknowledged: it.acknowledged,
                received: it.received,
            };
            (it.partition, exchanged)
        })
        .collect();
    PartitionCopy {
        id: copy.id,
        term: copy.term,
        index: copy.index,
        exchanged: exchanged.into_values().collect(),
    }
}

/// Tells nodes that a backup goes on, for ever.
async fn keep(nodes: Nodes, backup: u64, holders: BTreeSet<NodeId>) {
    loop {
        tokio::time::sleep(KEEP_INTERVAL).await;
        let keeps = holders.iter().map(|node| {
            let asked = nodes.ask(*node, Request::Keep(wire::KeepRequest { backup }));
            tokio::time::timeout(ASK_PATIENCE, asked)
        });
        // Whoever has lost its copies says so when they are read.
        join_all(keeps).await;
    }
}

async fn send_rows(
    kept: &Kept,
    node: NodeId,
    partition: u32,
    parts: &mpsc::Sender<Result<wire::BackupPart, Status>>,
) -> Result<wire::PartitionEnd, Status> {
    let mut end = wire::PartitionEnd {
        id: partition,
        ..wire::PartitionEnd::default()
    };
    let (mut hasher, mut after) = (Xxh3::new(), bytes::Bytes::new());
    loop {
        let read = Request::Read(wire::ReadRequest {
            backup: kept.backup,
            partition,
            after,
        });
        let answer = kept.nodes.ask(node, read).await;
        let answer = answer.map_err(|failure| {
            Status::unavailable(format!(
                "the copy of partition {partition} is lost: {failure}; try again"
            ))
        })?;
        let Answer::Rows(read) = answer else {
            return Err(Status::internal("a node gave another answer than rows"));
        };
        if read.count == 0 {
            end.checksum = hasher.digest();
            return Ok(end);
        }
        end.rows += read.count;
        end.bytes += read.rows.len() as u64;
        hasher.update(&read.rows);
        after = read.last;
        send(parts, Part::Rows(read.rows)).await?;
    }
}

async fn send(
    parts: &mpsc::Sender<Result<wire::BackupPart, Status>>,
    part: Part,
) -> Result<(), Status> {
    let sent = parts.send(Ok(wire::BackupPart { part: Some(part) })).await;
    sent.map_err(|_| Status::cancelled("whoever asked for the backup has gone"))
}
