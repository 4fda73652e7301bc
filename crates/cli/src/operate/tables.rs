//! What the server said, as columns for people.

use std::time::Duration;

use longhaul_proto::admin::v1 as wire;

use super::cluster;

/// Rows of cells under a heading, each column as wide as its widest cell.
pub(super) fn columns(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `longhaul cluster status`.
pub(super) fn status(cluster: &wire::Cluster) -> String {
    let mut facts = vec![
        ("cluster", cluster.cluster_id.clone()),
        (
            "partitions",
            format!(
                "{}, {} replicas each; {}",
                cluster.partition_count,
                cluster.replicas,
                partitions_in_short(cluster)
            ),
        ),
        ("nodes", nodes_in_short(cluster)),
        ("meta group", meta_group(cluster)),
        ("answered by", name_of(cluster, cluster.answered_by)),
    ];
    if cluster.maybe_old {
        facts.push(("warning", MAYBE_OLD.to_owned()));
    }
    let width = facts
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or(0);
    let facts = facts.iter();
    let facts: String = facts
        .map(|(label, fact)| format!("{label:width$}  {fact}\n"))
        .collect();
    format!("{facts}\n{}", members(cluster))
}

const MAYBE_OLD: &str =
    "no majority of the meta group answers: this may be old, and nothing can be changed";

fn partitions_in_short(cluster: &wire::Cluster) -> String {
    let count = |what: fn(&wire::Partition) -> bool| {
        cluster.partitions.iter().filter(|it| what(it)).count()
    };
    let led = count(|partition| partition.leader.is_some());
    match count(|partition| partition.r#move.is_some()) {
        0 => format!("{led} led, none moving"),
        moving => format!("{led} led, {moving} moving"),
    }
}

fn nodes_in_short(cluster: &wire::Cluster) -> String {
    let nodes = cluster.nodes.iter().filter(|node| !is_gone(node));
    let up = nodes
        .clone()
        .filter(|node| node.contact.is_some_and(|it| it.up));
    format!("{} of {} up", up.count(), nodes.count())
}

fn meta_group(cluster: &wire::Cluster) -> String {
    let group = cluster.meta_group.clone().unwrap_or_default();
    let voters = names(cluster, &group.voters);
    match group.leader {
        Some(leader) => format!("led by {}, voters {voters}", name_of(cluster, leader)),
        None => format!("without a known leader, voters {voters}"),
    }
}

/// `longhaul cluster members`: every node but those that are gone.
pub(super) fn members(cluster: &wire::Cluster) -> String {
    let heading = [
        "ID", "NAME", "STATE", "CONTACT", "REPLICAS", "LEADS", "ZONE", "CLIENTS", "PEERS",
    ];
    let nodes = cluster.nodes.iter().filter(|node| !is_gone(node));
    let rows = nodes.map(|node| {
        vec![
            node.id.to_string(),
            node.name.clone(),
            state(node).to_owned(),
            contact(node.contact),
            node.replicas_held.to_string(),
            node.partitions_led.to_string(),
            or_dash(&node.zone),
            or_dash(&node.clients_address),
            or_dash(&node.peers_address),
        ]
    });
    columns(&heading, &rows.collect::<Vec<_>>())
}

/// `longhaul partition list`.
pub(super) fn partitions(cluster: &wire::Cluster) -> String {
    let rows = cluster.partitions.iter().map(|partition| {
        vec![
            partition.id.to_string(),
            partition
                .leader
                .map_or("-".to_owned(), |it| name_of(cluster, it)),
            names(cluster, &partition.voters),
            match same(&partition.voters, &partition.wanted) {
                true => "as they are".to_owned(),
                false => names(cluster, &partition.wanted),
            },
            movement(cluster, partition),
        ]
    });
    let heading = ["PARTITION", "LEADER", "REPLICAS", "WANTED", "MOVE"];
    columns(&heading, &rows.collect::<Vec<_>>())
}

fn movement(cluster: &wire::Cluster, partition: &wire::Partition) -> String {
    let Some(change) = partition.r#move else {
        return "-".to_owned();
    };
    let comes = change.add.map(|it| format!("to {}", name_of(cluster, it)));
    let goes = change
        .remove
        .map(|it| format!("from {}", name_of(cluster, it)));
    let mut way: Vec<String> = goes.into_iter().chain(comes).collect();
    way.push(match change.phase() {
        wire::MovePhase::Unspecified | wire::MovePhase::CatchingUp => {
            let learner = partition
                .learners
                .iter()
                .find(|it| Some(it.node) == change.add);
            match learner.and_then(|it| it.lag) {
                Some(lag) => format!("(lacks {lag} entries)"),
                None => "(catching up)".to_owned(),
            }
        }
        wire::MovePhase::Switching => "(voters change)".to_owned(),
    });
    way.join(" ")
}

/// `longhaul cluster health`.
pub(super) fn health(report: &wire::HealthReport) -> String {
    let healthy = match cluster::is_healthy(report) {
        true => "healthy\n",
        false => "",
    };
    let findings = report.findings.iter();
    let findings = findings.map(|finding| {
        let severity = severity(finding);
        format!(
            "{severity:8}  {}\n{:8}  {}\n",
            finding.what, "", finding.advice
        )
    });
    healthy
        .chars()
        .chain(findings.collect::<String>().chars())
        .collect()
}

pub(super) fn severity(finding: &wire::Finding) -> &'static str {
    match finding.severity() {
        wire::Severity::Critical => "critical",
        wire::Severity::Warning => "warning",
        wire::Severity::Note | wire::Severity::Unspecified => "note",
    }
}

pub(super) fn state(node: &wire::Node) -> &'static str {
    match node.state() {
        wire::NodeState::Unspecified => "unknown",
        wire::NodeState::Active => "active",
        wire::NodeState::Draining => "draining",
        wire::NodeState::Leaving => "leaving",
        wire::NodeState::Gone => "gone",
    }
}

pub(super) fn is_gone(node: &wire::Node) -> bool {
    node.state() == wire::NodeState::Gone
}

fn contact(contact: Option<wire::Contact>) -> String {
    let Some(contact) = contact else {
        return "unknown".to_owned();
    };
    // Seconds say enough.
    let since = Duration::from_secs(contact.milliseconds / 1_000);
    let state = if contact.up { "up" } else { "down" };
    format!("{state} {}", coarse(since))
}

/// The two largest units of a duration.
fn coarse(duration: Duration) -> String {
    let text = humantime::format_duration(duration).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The name of a node; its number if there is no such node.
pub(super) fn name_of(cluster: &wire::Cluster, id: u64) -> String {
    let node = cluster.nodes.iter().find(|node| node.id == id);
    match node.map(|node| &node.name) {
        // Of two nodes of one name, only one goes by it.
        Some(name) if node.is_some_and(|it| it.replaced_by.is_none() && !is_gone(it)) => {
            name.clone()
        }
        Some(name) => format!("{name}#{id}"),
        None => format!("#{id}"),
    }
}

fn names(cluster: &wire::Cluster, ids: &[u64]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    let names = ids.iter().map(|id| name_of(cluster, *id));
    names.collect::<Vec<_>>().join(" ")
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// Whether two lists of distinct nodes name the same ones.
fn same(a: &[u64], b: &[u64]) -> bool {
    a.len() == b.len() && a.iter().all(|node| b.contains(node))
}
