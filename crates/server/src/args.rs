//! The command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use longhaul_cli::bench::BenchArgs;
use longhaul_cli::operate::{BackupCommand, ClusterCommand, NodeCommand, PartitionCommand};
use longhaul_types::HubName;

use crate::config::{Config, Loaded, LogFormat, LogLevel};

/// Durable orchestrations for the Durable Task SDKs
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node for development: any task hub, data in ./longhaul-data, a banner with the connection string
    Dev(DevArgs),
    /// Run a node
    Server(NodeArgs),
    /// Show a cluster, and whether it is well
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Drain, resume, decommission or replace a node
    #[command(subcommand)]
    Node(NodeCommand),
    /// List partitions, or move their leadership
    #[command(subcommand)]
    Partition(PartitionCommand),
    /// Copy a running cluster into a directory, or check such a copy
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Make a new cluster of one node from a backup; `longhaul server` serves it
    Restore(RestoreArgs),
    /// Measure how fast a server is
    Bench(BenchArgs),
    /// Check or show the configuration
    Config {
        /// Which of the two
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the version
    Version,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check it without starting anything; fails if something is wrong
    Check(ConfigArgs),
    /// Print what is in force, as a file
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,

        /// Which configuration
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// TOML file
    #[arg(long, value_name = "FILE", env = "LONGHAUL_CONFIG")]
    config: Option<PathBuf>,

    /// With the defaults of `longhaul dev`
    #[arg(long)]
    dev: bool,
}

/// Arguments of `longhaul dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Keep the data in a temporary directory that is deleted at the end
    #[arg(long, conflicts_with = "data")]
    pub ephemeral: bool,

    /// Run a cluster of so many nodes, each in a process of its own
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "ephemeral",
          value_parser = clap::value_parser!(u16).range(1..=9))]
    pub nodes: u16,

    /// What any node takes
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `longhaul restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The directory of the backup
    #[arg(value_name = "DIR")]
    pub backup: PathBuf,

    /// The node that the cluster begins with
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of every node.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// TOML file; see docs/configuration.md
    #[arg(long, value_name = "FILE", env = "LONGHAUL_CONFIG")]
    config: Option<PathBuf>,

    /// Directory of everything durable [default: ./longhaul-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Host of every port; calls are not authenticated, so 0.0.0.0 only in a network you trust [default: localhost]
    #[arg(long)]
    host: Option<String>,

    /// Port of gRPC for SDKs; 0 is any free one [default: 8080]
    #[arg(long)]
    port: Option<u16>,

    /// Port of the status page; 0 is any free one [default: 8082]
    #[arg(long)]
    dashboard_port: Option<u16>,

    /// Port of health and metrics alone; 0 is any free one [default: 9090, in dev none]
    #[arg(long)]
    metrics_port: Option<u16>,

    /// Task hub to create; may be repeated [default: default]
    #[arg(long = "hub", value_name = "NAME", value_parser = HubName::parse)]
    hubs: Vec<HubName>,

    /// Form of log lines [default: auto, in dev text]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,

    /// Level of log lines, or levels by module [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Stop when the process that started this one is gone
    #[arg(long, hide = true)]
    pub with_parent: bool,
}

impl ConfigArgs {
    /// The configuration, checked.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let defaults = if self.dev {
            Config::dev()
        } else {
            Config::server()
        };
        let loaded = Loaded::read(defaults, self.config.as_deref(), environment())?;
        loaded.validate()?;
        Ok(loaded)
    }
}

impl NodeArgs {
    /// The configuration with these flags over it, checked.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self, defaults: Config) -> anyhow::Result<Loaded> {
        let mut loaded = Loaded::read(defaults, self.config.as_deref(), environment())?;
        self.put_over(&mut loaded)?;
        loaded.validate()?;
        Ok(loaded)
    }

    fn put_over(&self, loaded: &mut Loaded) -> anyhow::Result<()> {
        if let Some(dir) = &self.data {
            loaded.set("node.data_dir", "--data", |config| {
                config.node.data_dir = dir.clone()
            });
        }
        if let Some(host) = &self.host {
            self.put_host(host, loaded)?;
        }
        if let Some(port) = self.port {
            loaded.set("listen.grpc", "--port", |config| {
                config.listen.grpc.port = port
            });
        }
        if let Some(port) = self.dashboard_port {
            loaded.set("listen.dashboard", "--dashboard-port", |config| {
                config.listen.dashboard.set_port(port, &config.listen.grpc);
            });
        }
        if let Some(port) = self.metrics_port {
            loaded.set("listen.metrics", "--metrics-port", |config| {
                config.listen.metrics.set_port(port, &config.listen.grpc);
            });
        }
        if !self.hubs.is_empty() {
            loaded.set("hubs.create", "--hub", |config| {
                config.hubs.create = self.hubs.clone()
            });
        }
        if let Some(format) = self.log_format {
            loaded.set("telemetry.log_format", "--log-format", |config| {
                config.telemetry.log_format = format;
            });
        }
        if let Some(level) = &self.log_level {
            let level = LogLevel::parse(level).context("--log-level")?;
            loaded.set("telemetry.log_level", "--log-level", |config| {
                config.telemetry.log_level = level;
            });
        }
        Ok(())
    }

    fn put_host(&self, host: &str, loaded: &mut Loaded) -> anyhow::Result<()> {
        // As part of an address, where it is checked.
        let bracketed = if host.contains(':') {
            format!("[{host}]:0")
        } else {
            format!("{host}:0")
        };
        let host = bracketed
            .parse::<crate::listen::ListenAddress>()
            .context("--host")?
            .host;
        loaded.set("listen.grpc", "--host", |config| {
            config.listen.grpc.host.clone_from(&host)
        });
        loaded.set("listen.dashboard", "--host", |config| {
            config.listen.dashboard.set_host(&host)
        });
        loaded.set("listen.metrics", "--host", |config| {
            config.listen.metrics.set_host(&host)
        });
        Ok(())
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    // What is not text cannot be meant for us.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::Origin;

    /// The configuration of `longhaul server` or `dev` with these flags, without the environment.
    fn load(flags: &[&str]) -> anyhow::Result<Loaded> {
        let cli = Cli::try_parse_from(["longhaul"].iter().chain(flags))?;
        let (defaults, node) = match cli.command {
            Command::Dev(dev) => (Config::dev(), dev.node),
            Command::Server(node) => (Config::server(), node),
            other => anyhow::bail!("{other:?} runs no node"),
        };
        let mut loaded = Loaded::read(defaults, None, std::iter::empty())?;
        node.put_over(&mut loaded)?;
        loaded.validate()?;
        Ok(loaded)
    }

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flags_change_nothing() {
        assert_eq!(load(&["dev"]).expect("valid").config, Config::dev());
        assert_eq!(load(&["server"]).expect("valid").config, Config::server());
    }

    #[test]
    fn flags_win_and_are_the_origin() {
        let flags = [
            "dev",
            "--data",
            "d",
            "--port",
            "0",
            "--dashboard-port",
            "1",
            "--metrics-port",
            "2",
            "--hub",
            "a",
            "--hub",
            "b",
            "--log-format",
            "json",
            "--log-level",
            "debug",
            "--host",
            "0.0.0.0",
        ];
        let loaded = load(&flags).expect("valid");
        let config = &loaded.config;
        assert_eq!(config.node.data_dir, PathBuf::from("d"));
        assert_eq!(config.listen.grpc.to_string(), "0.0.0.0:0");
        assert_eq!(config.listen.dashboard.to_string(), "0.0.0.0:1");
        assert_eq!(config.listen.metrics.to_string(), "0.0.0.0:2");
        let hubs: Vec<&str> = config.hubs.create.iter().map(HubName::as_str).collect();
        assert_eq!(hubs, ["a", "b"]);
        assert_eq!(config.telemetry.log_format, LogFormat::Json);
        assert_eq!(loaded.origin("hubs.create"), &Origin::Flag("--hub"));
        assert_eq!(loaded.origin("grpc.headers_max"), &Origin::Default);
    }

    #[test]
    fn ipv6_hosts_need_no_brackets() {
        let loaded = load(&["server", "--host", "::1"]).expect("valid");
        assert_eq!(loaded.config.listen.grpc.to_string(), "[::1]:8080");
    }

    #[test]
    fn bad_flags_are_refused() {
        for flags in [
            ["dev", "--hub", "a b"].as_slice(),
            &["dev", "--port", "65536"],
            &["dev", "--host", "a b"],
            &["dev", "--log-level", "=loud"],
            &["dev", "--ephemeral", "--data", "d"],
            &["dev", "--port", "8082"],
            &["server", "--ephemeral"],
            &["dev", "--nodes", "0"],
            &["dev", "--nodes", "3", "--ephemeral"],
            &["server", "--nodes", "3"],
        ] {
            assert!(load(flags).is_err(), "{flags:?}");
        }
    }
}
