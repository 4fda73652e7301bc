//! `longhaul partition`: where partitions are, and who leads them.

use clap::Subcommand;
use longhaul_proto::admin::v1 as wire;
use serde_json::json;
use wire::transfer_leader_request::To;

use super::cluster::open;
use super::{Failure, Outcome, Session, Target, json, tables};

/// What to do about partitions.
#[derive(Debug, Subcommand)]
pub enum PartitionCommand {
    /// List the partitions: who leads them, where their replicas are and are to be
    List(Target),
    /// Have another node lead a partition, until the cluster spreads leadership again
    TransferLeader {
        /// The partition's number
        partition: u32,

        /// Name or id of the node that is to lead it
        #[arg(long, value_name = "NAME|ID")]
        to: String,

        /// The cluster
        #[command(flatten)]
        target: Target,
    },
}

pub(super) async fn execute(
    command: PartitionCommand,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    match command {
        PartitionCommand::List(target) => {
            let cluster = open(&target).await?.cluster().await?;
            let table = || tables::partitions(&cluster);
            session.print(target.output, table, || json::partitions(&cluster))?;
        }
        PartitionCommand::TransferLeader {
            partition,
            to,
            target,
        } => {
            let request = wire::TransferLeaderRequest {
                partition,
                to: Some(match to.parse() {
                    Ok(id) => To::Id(id),
                    Err(_) => To::Name(to.clone()),
                }),
            };
            let led_by = open(&target).await?.transfer_leader(request).await?.node;
            let table = || format!("{to} leads partition {partition}");
            let result = || json!({ "partition": partition, "leader": led_by });
            session.print(target.output, table, result)?;
        }
    }
    Ok(Outcome::Done)
}
