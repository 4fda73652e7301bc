//! `longhaul cluster`: what there is, and whether it is well.

use clap::Subcommand;
use longhaul_proto::admin::v1 as wire;

use super::{Connection, Failure, Outcome, Session, Target, json, tables};

/// What to be told about the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster: its nodes, who leads what, and whether a majority answers
    Status(Target),
    /// List the nodes
    Members(Target),
    /// Say what needs attention and what to do about it; exits with 0 if healthy, 1 if something does, 2 if nobody answers
    Health(Target),
}

pub(super) async fn execute(
    command: ClusterCommand,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    match command {
        ClusterCommand::Status(target) => {
            let cluster = open(&target).await?.cluster().await?;
            let table = || tables::status(&cluster);
            session.print(target.output, table, || json::status(&cluster))?;
        }
        ClusterCommand::Members(target) => {
            let cluster = open(&target).await?.cluster().await?;
            let table = || tables::members(&cluster);
            session.print(target.output, table, || json::members(&cluster))?;
        }
        ClusterCommand::Health(target) => {
            let report = open(&target).await?.health().await?;
            let table = || tables::health(&report);
            session.print(target.output, table, || json::health(&report))?;
            if !is_healthy(&report) {
                return Ok(Outcome::Findings);
            }
        }
    }
    Ok(Outcome::Done)
}

/// Whether nothing needs attention; what is only worth knowing does not.
pub(super) fn is_healthy(report: &wire::HealthReport) -> bool {
    let mut findings = report.findings.iter();
    findings.all(|finding| finding.severity() <= wire::Severity::Note)
}

pub(super) async fn open(target: &Target) -> Result<Connection, Failure> {
    Connection::open(&target.endpoint).await
}
