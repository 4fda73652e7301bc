//! `longhaul-chaos`: a run, and the processes that runs start.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use longhaul_chaos::{
    args::RunArgs,
    probe::{self, ProbeArgs},
    run, worker,
};

/// Lets real faults happen to real nodes, and says whether they kept their promises
#[derive(Debug, Parser)]
#[command(name = "longhaul-chaos", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let faults happen
    Run(RunArgs),
    /// What runs start: a worker
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
    /// What runs start: a look at whether an address can be reached
    #[command(hide = true)]
    Probe(ProbeArgs),
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("longhaul-chaos: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<bool> {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
    };
    match command {
        // On this thread, and none that may end before: processes that it starts die with the thread.
        Command::Run(args) => runtime()?.block_on(run::run(&args)),
        Command::Worker(args) => runtime()?.block_on(worker::run(args)).map(|()| true),
        Command::Probe(args) => {
            probe::run(&args);
            Ok(true)
        }
    }
}
