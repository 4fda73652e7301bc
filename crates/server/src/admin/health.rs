//! What needs somebody's attention, from what the cluster is told to be.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_proto::admin::v1 as wire;
use wire::{MovePhase, NodeState, Severity};

/// Shares of a disk that are left when it begins to matter, and when it is urgent; in percent.
const DISK_LOW_PERCENT: u64 = 15;
const DISK_VERY_LOW_PERCENT: u64 = 5;

/// Clocks that differ by more make timers and ages of instances visibly wrong when leadership moves.
const CLOCKS_APART: Duration = Duration::from_secs(1);

/// What a node has told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) told: wire::NodeReport,
    /// By how much its clock is ahead of that of the node that asked, at least; negative if behind.
    pub(super) ahead_ms: i64,
}

/// Everything that is found, the worst first.
pub(super) fn findings(
    cluster: &wire::Cluster,
    reports: &BTreeMap<u64, Report>,
) -> Vec<wire::Finding> {
    let look = Look { cluster, reports };
    let mut findings = Vec::new();
    findings.extend(look.majority());
    findings.extend(look.partitions());
    findings.extend(look.down());
    findings.extend(look.moves());
    findings.extend(look.disks());
    findings.extend(look.clocks());
    findings.extend(look.releases());
    findings.extend(look.few_nodes());
    findings.extend(look.drained());
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

struct Look<'a> {
    cluster: &'a wire::Cluster,
    reports: &'a BTreeMap<u64, Report>,
}

fn finding(
    severity: Severity,
    kind: &str,
    what: String,
    advice: impl Into<String>,
) -> wire::Finding {
    wire::Finding {
        severity: severity.into(),
        kind: kind.to_owned(),
        what,
        advice: advice.into(),
    }
}

impl Look<'_> {
    fn members(&self) -> impl Iterator<Item = &wire::Node> {
        self.cluster
            .nodes
            .iter()
            .filter(|node| node.state() != NodeState::Gone)
    }

    fn name(&self, id: u64) -> &str {
        let node = self.cluster.nodes.iter().find(|node| node.id == id);
        node.map_or("?", |node| &node.name)
    }

    fn is_down(&self, id: u64) -> bool {
        let node = self.members().find(|node| node.id == id);
        node.and_then(|node| node.contact)
            .is_some_and(|contact| !contact.up)
    }

    fn majority(&self) -> Option<wire::Finding> {
        self.cluster.maybe_old.then(|| {
            finding(
                Severity::Critical,
                "no-majority",
                "no majority of the meta group answers: nothing about the cluster can be changed, and what is said here \
                 may be old"
                    .to_owned(),
                "start the nodes that are down, or repair the network between them",
            )
        })
    }

    fn partitions(&self) -> Vec<wire::Finding> {
        let leaderless = self.numbers(|it| it.leader.is_none());
        let at_risk = self.numbers(|it| it.leader.is_some() && self.voters_down(it) > 0);
        let lacking = self.numbers(|it| {
            it.leader.is_some() && self.voters_down(it) == 0 && it.voters.len() < it.wanted.len()
        });
        let findings = [
            leaderless.map(|(partitions, are)| {
                finding(
                    Severity::Critical,
                    "partition-without-leader",
                    format!("{partitions} {are} without a known leader: calls to its instances wait or fail"),
                    "start the nodes that are down; a majority of the replicas of a partition is needed",
                )
            }),
            at_risk.map(|(partitions, are)| {
                finding(
                    Severity::Warning,
                    "replica-down",
                    format!("{partitions} {are} served, but with a replica on a node that is down"),
                    "start that node, or give it up with `longhaul node replace`",
                )
            }),
            lacking.map(|(partitions, are)| {
                finding(
                    Severity::Warning,
                    "under-replicated",
                    format!("{partitions} {are} served, but with fewer replicas than wanted"),
                    "wait: replicas are being made; `longhaul partition list` shows how far they are",
                )
            }),
        ];
        findings.into_iter().flatten().collect()
    }

    fn voters_down(&self, partition: &wire::Partition) -> usize {
        let voters = partition.voters.iter();
        voters.filter(|node| self.is_down(**node)).count()
    }

    /// The partitions of a kind, and the verb that goes with them.
    fn numbers(&self, of: impl Fn(&wire::Partition) -> bool) -> Option<(String, &'static str)> {
        let partitions = self.cluster.partitions.iter().filter(|it| of(it));
        let numbers: Vec<String> = partitions.map(|it| it.id.to_string()).collect();
        match &numbers[..] {
            [] => None,
            [one] => Some((format!("partition {one}"), "is")),
            several => Some((format!("partitions {}", several.join(", ")), "are")),
        }
    }

    fn down(&self) -> impl Iterator<Item = wire::Finding> {
        let down = self.members().filter_map(|node| {
            let contact = node.contact.filter(|contact| !contact.up)?;
            Some((node, Duration::from_secs(contact.milliseconds / 1_000)))
        });
        down.map(|(node, since)| {
            let advice = match node.state() {
                NodeState::Leaving => {
                    "nothing: others take its replicas over, then it is gone".to_owned()
                }
                _ => format!(
                    "start it again; if it will not come back, `longhaul node replace {}`",
                    node.name
                ),
            };
            finding(
                Severity::Warning,
                "node-down",
                format!(
                    "{} has been down for {}",
                    node.name,
                    humantime::format_duration(since)
                ),
                advice,
            )
        })
    }

    fn moves(&self) -> impl Iterator<Item = wire::Finding> {
        let partitions = self.cluster.partitions.iter();
        let moving = partitions.filter_map(|partition| Some((partition, partition.r#move?)));
        moving.filter_map(|(partition, change)| {
            let add = change.add.filter(|node| self.is_down(*node));
            let waits_for = match (add, partition.leader) {
                (Some(node), _) => format!("{}, which is down", self.name(node)),
                (None, None) => "a leader".to_owned(),
                (None, Some(_)) => return None,
            };
            let doing = match change.phase() {
                MovePhase::Switching => "a change of voters",
                MovePhase::CatchingUp | MovePhase::Unspecified => "a new replica",
            };
            Some(finding(
                Severity::Warning,
                "move-stuck",
                format!(
                    "{doing} of partition {} waits for {waits_for}",
                    partition.id
                ),
                "start the nodes that are down",
            ))
        })
    }

    fn disks(&self) -> impl Iterator<Item = wire::Finding> {
        self.reports.iter().filter_map(|(node, Report { told, .. })| {
            let free = told.disk_free_bytes.saturating_mul(100) / told.disk_bytes.max(1);
            let severity = match free {
                _ if told.disk_bytes == 0 => return None,
                0..DISK_VERY_LOW_PERCENT => Severity::Critical,
                DISK_VERY_LOW_PERCENT..DISK_LOW_PERCENT => Severity::Warning,
                _ => return None,
            };
            let mebibytes = told.disk_free_bytes >> 20;
            Some(finding(
                severity,
                "disk-nearly-full",
                format!("the disk of {} has {free} % ({mebibytes} MiB) left", self.name(*node)),
                "give it a larger disk, purge ended instances sooner (`retention`), or add nodes",
            ))
        })
    }

    fn clocks(&self) -> impl Iterator<Item = wire::Finding> {
        let asker = self.name(self.cluster.answered_by);
        self.reports.iter().filter_map(move |(node, report)| {
            let apart = Duration::from_millis(report.ahead_ms.unsigned_abs());
            let way = if report.ahead_ms > 0 {
                "ahead of"
            } else {
                "behind"
            };
            (apart > CLOCKS_APART).then(|| {
                finding(
                    Severity::Warning,
                    "clocks-apart",
                    format!(
                        "the clock of {} is {} {way} that of {asker}",
                        self.name(*node),
                        humantime::format_duration(apart)
                    ),
                    "synchronise the clocks of all nodes (NTP)",
                )
            })
        })
    }

    fn releases(&self) -> Option<wire::Finding> {
        let mut releases: Vec<&str> = self.reports.values().map(|it| &*it.told.version).collect();
        releases.sort_unstable();
        releases.dedup();
        (releases.len() > 1).then(|| {
            finding(
                Severity::Note,
                "several-releases",
                format!("nodes run releases {}", releases.join(", ")),
                "finish the upgrade",
            )
        })
    }

    /// A node of its own is a choice; two where three were wanted is half a cluster.
    fn few_nodes(&self) -> Option<wire::Finding> {
        let count = self.members().count();
        let wanted = self.cluster.replicas as usize;
        (1 < count && count < wanted).then(|| {
            finding(
                Severity::Note,
                "few-nodes",
                format!("{count} nodes cannot hold {wanted} replicas of each partition"),
                "start more nodes; they join, and get replicas by themselves",
            )
        })
    }

    fn drained(&self) -> impl Iterator<Item = wire::Finding> {
        let drained = self
            .members()
            .filter(|node| node.state() == NodeState::Draining);
        drained.map(|node| {
            finding(
                Severity::Note,
                "node-drained",
                format!("{} is drained and leads nothing", node.name),
                format!(
                    "when its maintenance is over, `longhaul node resume {}`",
                    node.name
                ),
            )
        })
    }
}
