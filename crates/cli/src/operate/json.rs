//! What the server said, as JSON for programs. Fields are only ever added.

use longhaul_proto::admin::v1 as wire;
use serde_json::{Value, json};

use super::{cluster, tables};

/// `longhaul cluster status`.
pub(super) fn status(cluster: &wire::Cluster) -> Value {
    let group = cluster.meta_group.clone().unwrap_or_default();
    json!({
        "cluster_id": cluster.cluster_id,
        "partition_count": cluster.partition_count,
        "replicas": cluster.replicas,
        "answered_by": cluster.answered_by,
        "maybe_old": cluster.maybe_old,
        "meta_group": { "leader": group.leader, "voters": group.voters },
        "nodes": members(cluster),
        "partitions": partitions(cluster),
    })
}

/// `longhaul cluster members`: every node there ever was.
pub(super) fn members(cluster: &wire::Cluster) -> Value {
    cluster.nodes.iter().map(node).collect()
}

/// `longhaul partition list`.
pub(super) fn partitions(cluster: &wire::Cluster) -> Value {
    cluster.partitions.iter().map(partition).collect()
}

/// `longhaul cluster health`.
pub(super) fn health(report: &wire::HealthReport) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "severity": tables::severity(finding),
            "kind": finding.kind,
            "what": finding.what,
            "advice": finding.advice,
        })
    });
    json!({ "healthy": cluster::is_healthy(report), "findings": findings.collect::<Value>() })
}

fn node(node: &wire::Node) -> Value {
    json!({
        "id": node.id,
        "name": node.name,
        "state": tables::state(node),
        "up": node.contact.map(|contact| contact.up),
        "since_ms": node.contact.map(|contact| contact.milliseconds),
        "replicas_held": node.replicas_held,
        "partitions_led": node.partitions_led,
        "zone": text(&node.zone),
        "clients_address": text(&node.clients_address),
        "peers_address": text(&node.peers_address),
        "replaced_by": node.replaced_by,
    })
}

fn partition(partition: &wire::Partition) -> Value {
    let learners = partition.learners.iter();
    json!({
        "id": partition.id,
        "leader": partition.leader,
        "voters": partition.voters,
        "wanted": partition.wanted,
        "move": partition.r#move.map(|change| json!({
            "add": change.add,
            "remove": change.remove,
            "phase": match change.phase() {
                wire::MovePhase::Unspecified | wire::MovePhase::CatchingUp => "catching-up",
                wire::MovePhase::Switching => "switching",
            },
        })),
        "learners": learners.map(|it| json!({ "node": it.node, "lag": it.lag })).collect::<Value>(),
    })
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
