//! The `longhaul` binary.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use longhaul_cli::operate;
use longhaul_server::admin::restore;
use longhaul_server::args::{Cli, Command, ConfigCommand};
use longhaul_server::run;

/// Buffers are made on one thread and dropped on another all the time, which glibc's malloc answers with contention
/// and with memory that never shrinks.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("longhaul: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => return run::dev(&args),
        Command::Server(args) => return run::server(&args),
        Command::Cluster(command) => return operate::run(operate::Command::Cluster(command)),
        Command::Node(command) => return operate::run(operate::Command::Node(command)),
        Command::Partition(command) => return operate::run(operate::Command::Partition(command)),
        Command::Backup(command) => return operate::run(operate::Command::Backup(command)),
        Command::Restore(args) => return restore::run(&args),
        Command::Bench(args) => return longhaul_cli::bench::run(args),
        Command::Config { command } => match command {
            ConfigCommand::Check(config) => {
                config.load()?;
                say("the configuration is valid\n")?;
            }
            ConfigCommand::Show { origin, config } => say(&config.load()?.show(origin))?,
        },
        Command::Version => say(concat!("longhaul ", env!("CARGO_PKG_VERSION"), "\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints; fails where nobody reads, instead of panicking.
fn say(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}
