//! What an operator does with a cluster: `longhaul cluster`, `node`, `partition` and `backup`.
//!
//! ```text
//! arguments ─► session: connection, where it prints ─► a command ─► Outcome or Failure ─► exit code
//!                                                        └─ tables and json: pure, from what the server said
//! ```
//!
//! All of them talk to the Admin service of any node (`proto/longhaul/admin/v1/admin.proto`), which answers for the whole
//! cluster. The result is on standard output, progress and errors on standard error.
//!
//! # Exit codes
//! | code | means |
//! |---|---|
//! | 0 | done; of `cluster health`: healthy; of `backup verify`: whole |
//! | 1 | failed, with the reason on standard error; of `cluster health`: something needs attention |
//! | 2 | nobody answered, or the command line is wrong |
//! | 3 | there is no such node or partition |
//! | 5 | refused, since it would lose data or cannot be; what to do first is on standard error |
//! | 6 | decided, but not done within `--timeout` |

pub mod backup;
mod cluster;
mod connection;
mod json;
mod node;
mod partition;
mod session;
mod tables;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use longhaul_client::Endpoint;

pub use backup::BackupCommand;
pub use cluster::ClusterCommand;
pub use node::NodeCommand;
pub use partition::PartitionCommand;

use connection::Connection;
use session::Session;

/// Where the cluster is, and how results are printed.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Any node of the cluster: URL or connection string
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://localhost:8080",
        env = "LONGHAUL_ENDPOINT"
    )]
    endpoint: Endpoint,

    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// The form of a result on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns for people
    Table,
    /// One JSON document
    Json,
}

/// How a command ended, if it did what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// There is something to look at.
    Findings,
}

/// Why a command did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    kind: FailureKind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Failed,
    Unreachable,
    NotFound,
    Refused,
    TimedOut,
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
        }
    }
}

impl FailureKind {
    fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Unreachable => 2,
            Self::NotFound => 3,
            Self::Refused => 5,
            Self::TimedOut => 6,
        }
    }
}

impl Failure {
    fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Failed,
            message: message.into(),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// Runs a subcommand on a runtime of its own; call it outside any async runtime.
///
/// # Errors
/// No runtime can be had. Everything else is printed, and in the exit code.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = command.execute() => ended,
            () = interrupted() => Err(Failure::failed("interrupted")),
        }
    });
    Ok(ExitCode::from(match ended {
        Ok(outcome) => outcome.code(),
        Err(failure) => {
            eprintln!("longhaul: {}", failure.message);
            failure.kind.code()
        }
    }))
}

/// A subcommand of one of the four.
#[derive(Debug)]
pub enum Command {
    /// `longhaul cluster …`
    Cluster(ClusterCommand),
    /// `longhaul node …`
    Node(NodeCommand),
    /// `longhaul partition …`
    Partition(PartitionCommand),
    /// `longhaul backup …`
    Backup(BackupCommand),
}

impl Command {
    async fn execute(self) -> Result<Outcome, Failure> {
        let mut session = Session::of_process();
        match self {
            Self::Cluster(command) => cluster::execute(command, &mut session).await,
            Self::Node(command) => node::execute(command, &mut session).await,
            Self::Partition(command) => partition::execute(command, &mut session).await,
            Self::Backup(command) => backup::execute(command, &mut session).await,
        }
    }
}

/// Resolves on Ctrl-C; never if that cannot be noticed.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Gives a future no more than `limit`, if there is one.
async fn within<T>(
    limit: Option<Duration>,
    what: &str,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return future.await;
    };
    let ended = tokio::time::timeout(limit, future).await;
    ended.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(Failure {
            kind: FailureKind::TimedOut,
            message: format!("{what} is not done after {limit}; it goes on without being watched"),
        })
    })
}
