//! A worker of the workload, in a process of its own so that it can be killed and stopped.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::Args;
use longhaul_client::{
    Client, Endpoint,
    worker::{History, Slots, Worker},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::workload::{ledger::Ledger, orchestrators::registry};

/// Arguments of a worker process.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Where the nodes are found
    #[arg(long)]
    address: String,

    /// The file to which runs of activities are written
    #[arg(long)]
    ledger: PathBuf,

    /// A name that no other process of the run has
    #[arg(long)]
    name: String,

    /// Answer each activity several times, with another result each time
    #[arg(long)]
    repeat: bool,
}

/// How many work items of each kind a worker takes at a time.
const SLOTS: NonZeroU32 = NonZeroU32::new(16).expect("not 0");

impl WorkerArgs {
    /// As a command line of this program.
    pub fn command(address: &str, ledger: &Path, name: &str, repeat: bool) -> Result<Vec<String>> {
        let program = std::env::current_exe()?;
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .context("a path that is no text")
        };
        let mut command = vec![
            text(&program)?,
            "worker".to_owned(),
            format!("--address={address}"),
            format!("--ledger={}", text(ledger)?),
            format!("--name={name}"),
        ];
        command.extend(repeat.then(|| "--repeat".to_owned()));
        Ok(command)
    }
}

/// Works until SIGTERM.
///
/// # Errors
/// If it cannot begin.
pub async fn run(args: WorkerArgs) -> Result<()> {
    let endpoint = Endpoint::new(&args.address)?.with_worker_id(&args.name);
    let client = Client::connect(&endpoint).await?;
    let ledger = Arc::new(Ledger::open(&args.ledger, &args.name)?);
    let mut told_to_end = signal(SignalKind::terminate())?;
    if args.repeat {
        tokio::select! {
            outcome = crate::repeating::work(client, &args.name, &ledger) => outcome?,
            _ = told_to_end.recv() => {}
        }
        return Ok(());
    }
    let registry = registry(&args.name, ledger);
    let worker = Worker::start(client, registry, Slots::of_each(SLOTS), History::Inline);
    told_to_end.recv().await;
    worker.stop().await;
    Ok(())
}
