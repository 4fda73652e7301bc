//! `longhaul node`: what is wanted of a node.

use std::time::Duration;

use clap::{Args, Subcommand};
use longhaul_proto::admin::v1 as wire;
use serde_json::json;
use wire::{NodeState, set_node_state_request as request};

use super::cluster::open;
use super::{Connection, Failure, FailureKind, Outcome, Session, Target, tables, within};

/// For how long a cluster that is being watched may fail to answer before that ends the watching.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What is wanted of a node.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Have a node lead nothing, so that it can be restarted or stopped unnoticed; its replicas stay
    Drain(Watched),
    /// Let a drained node lead again
    Resume(Named),
    /// Move everything away from a node and end its membership for good
    Decommission(Watched),
    /// Give up a node that is down and will not come back: others take its replicas over; refused if it is up
    Replace(Watched),
}

/// Which node.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name, or its id
    #[arg(value_name = "NAME|ID")]
    node: String,

    #[command(flatten)]
    target: Target,
}

/// Which node, and whether to wait for what follows.
#[derive(Debug, Args)]
pub struct Watched {
    #[command(flatten)]
    named: Named,

    /// Return when it is done, and say how far it is until then
    #[arg(long)]
    wait: bool,

    /// With --wait: give up watching after so long
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn execute(
    command: NodeCommand,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    match command {
        NodeCommand::Drain(node) => bring_about(node, Goal::Drained, session).await,
        NodeCommand::Decommission(node) => bring_about(node, Goal::Left, session).await,
        NodeCommand::Replace(node) => bring_about(node, Goal::GivenUp, session).await,
        NodeCommand::Resume(named) => {
            let watched = Watched {
                named,
                wait: false,
                timeout: None,
            };
            bring_about(watched, Goal::Resumed, session).await
        }
    }
}

/// What a node is to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Resumed,
    Drained,
    Left,
    GivenUp,
}

impl Goal {
    fn state(self) -> NodeState {
        match self {
            Self::Resumed => NodeState::Active,
            Self::Drained => NodeState::Draining,
            Self::Left | Self::GivenUp => NodeState::Leaving,
        }
    }

    /// What is left to be done before it is reached; `None` if it is.
    fn left(self, cluster: &wire::Cluster, id: u64) -> Option<String> {
        let node = cluster.nodes.iter().find(|node| node.id == id)?;
        let (name, leads) = (tables::name_of(cluster, id), node.partitions_led);
        match self {
            Self::Resumed => None,
            Self::Drained => {
                (leads > 0).then(|| format!("{name} still leads {}", partitions(leads)))
            }
            Self::Left | Self::GivenUp if tables::is_gone(node) => None,
            Self::Left | Self::GivenUp => Some(match node.replicas_held {
                0 => format!("{name} holds nothing any more and is about to be gone"),
                held => format!(
                    "{name} still holds replicas of {}, leads {leads}",
                    partitions(held)
                ),
            }),
        }
    }

    fn decided(self, name: &str) -> String {
        match self {
            Self::Resumed => {
                format!("{name} may lead again; it is given its partitions back within a minute")
            }
            Self::Drained => format!("{name} is being drained: others take over what it leads"),
            Self::Left | Self::GivenUp => {
                format!("{name} is leaving: others take over its replicas, then it is gone")
            }
        }
    }

    fn reached(self, name: &str) -> String {
        match self {
            Self::Resumed => self.decided(name),
            Self::Drained => format!("{name} leads nothing any more"),
            Self::Left | Self::GivenUp => format!("{name} is gone"),
        }
    }
}

fn partitions(count: u32) -> String {
    match count {
        1 => "1 partition".to_owned(),
        count => format!("{count} partitions"),
    }
}

async fn bring_about(
    watched: Watched,
    goal: Goal,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    let Watched {
        named: Named { node, target },
        wait,
        timeout,
    } = watched;
    let mut connection = open(&target).await?;
    let decided = connection
        .set_node_state(wire::SetNodeStateRequest {
            node: Some(of(&node)),
            state: goal.state().into(),
            only_if_down: goal == Goal::GivenUp,
        })
        .await?;
    let id = decided.node;
    let done = if wait {
        session.tell(goal.decided(&node));
        let watching = watch(goal, id, &mut connection, session);
        within(timeout, &format!("what is wanted of {node}"), watching).await?;
        true
    } else {
        goal == Goal::Resumed
    };
    let said = if done {
        goal.reached(&node)
    } else {
        goal.decided(&node)
    };
    let state = goal.state().as_str_name().trim_start_matches("NODE_STATE_");
    let result = json!({ "node": id, "wanted": state.to_ascii_lowercase(), "done": done });
    session.print(target.output, || said, || result)?;
    Ok(Outcome::Done)
}

/// A number is an id, everything else a name.
fn of(node: &str) -> request::Node {
    match node.parse() {
        Ok(id) => request::Node::Id(id),
        Err(_) => request::Node::Name(node.to_owned()),
    }
}

/// Waits until nothing is left to be done. A node that does not answer may be the very one that leaves.
async fn watch(
    goal: Goal,
    id: u64,
    connection: &mut Connection,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let mut heard = tokio::time::Instant::now();
    loop {
        match connection.cluster().await {
            Ok(cluster) if cluster.maybe_old => {
                session.tell("no majority of the cluster answers; waiting for it");
            }
            Ok(cluster) => {
                heard = tokio::time::Instant::now();
                match goal.left(&cluster, id) {
                    None => return Ok(()),
                    Some(left) => session.tell(left),
                }
            }
            Err(failure) if failure.kind != FailureKind::Unreachable => return Err(failure),
            Err(failure) if heard.elapsed() > SILENCE_MAX => return Err(failure),
            Err(_) => session.tell(format!(
                "{} does not answer; waiting for it",
                connection.url()
            )),
        }
        tokio::time::sleep(session.look_interval).await;
    }
}
