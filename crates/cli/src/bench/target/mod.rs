//! The server to measure: one that runs already, or a scratch one of our own.

mod scratch;

use std::{net::TcpStream, time::Duration};

use anyhow::Context;
use clap::Args;
use longhaul_client::{Client, Endpoint};
use tokio::time::timeout;

pub(super) use scratch::{ScratchArgs, ScratchServer, Stop};

use super::process::{Process, listening_on};

const DEFAULT_ENDPOINT: &str = "http://localhost:8080";
const HELLO_MAX: Duration = Duration::from_secs(10);

/// Which server.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// URL or connection string of a running server; by default http://localhost:8080 or, if nothing listens there,
    /// a scratch server that is started for the purpose
    #[arg(short, long, conflicts_with = "spawn")]
    endpoint: Option<Endpoint>,

    /// The task hub, unless the connection string names one
    #[arg(long)]
    task_hub: Option<String>,

    /// Start a scratch server even if one runs on the default endpoint
    #[arg(long)]
    spawn: bool,

    /// The process to measure, if it is not the one that listens on the endpoint's port
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    #[command(flatten)]
    scratch: ScratchArgs,
}

/// A server that answers.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// Unknown for a server on another machine, or of another user.
    pub(super) process: Option<Process>,
    scratch: Option<ScratchServer>,
}

impl Target {
    /// The server the arguments name, or a scratch one.
    pub(super) async fn find(args: &TargetArgs) -> anyhow::Result<Self> {
        let endpoint = args.running_endpoint()?;
        if args.spawn || (args.endpoint.is_none() && !is_listening(&endpoint)) {
            let mut scratch = ScratchServer::create(&args.scratch)?;
            scratch.start().await?;
            let endpoint = args.in_task_hub(scratch.endpoint()?);
            return Ok(Self {
                endpoint,
                process: scratch.process(),
                scratch: Some(scratch),
            });
        }
        Self::attach(args).await
    }

    /// The server the arguments name, which must be running.
    pub(super) async fn attach(args: &TargetArgs) -> anyhow::Result<Self> {
        let endpoint = args.running_endpoint()?;
        let client = Client::connect(&endpoint).await?;
        timeout(HELLO_MAX, client.hello())
            .await
            .map_err(anyhow::Error::from)
            .and_then(|answer| answer.map_err(anyhow::Error::from))
            .with_context(|| format!("{} does not answer as a task hub", endpoint.url()))?;
        eprintln!("using the server at {}", endpoint.url());
        let process = match args.server_pid {
            Some(pid) => Some(Process { pid }),
            None => local_port(endpoint.url()).and_then(listening_on),
        };
        Ok(Self {
            endpoint,
            process,
            scratch: None,
        })
    }

    pub(super) fn is_scratch(&self) -> bool {
        self.scratch.is_some()
    }

    /// Ends the server if it is our own.
    pub(super) async fn release(self) -> anyhow::Result<()> {
        match self.scratch {
            Some(mut scratch) => scratch.stop(Stop::Gracefully).await,
            None => Ok(()),
        }
    }
}

impl TargetArgs {
    fn running_endpoint(&self) -> anyhow::Result<Endpoint> {
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Endpoint::new(DEFAULT_ENDPOINT)?,
        };
        Ok(self.in_task_hub(endpoint))
    }

    fn in_task_hub(&self, endpoint: Endpoint) -> Endpoint {
        let endpoint =
            endpoint.with_user_agent(concat!("longhaul-bench/", env!("CARGO_PKG_VERSION")));
        match &self.task_hub {
            Some(task_hub) => endpoint.with_task_hub(task_hub.clone()),
            None => endpoint,
        }
    }
}

fn is_listening(endpoint: &Endpoint) -> bool {
    local_port(endpoint.url()).is_some_and(|port| TcpStream::connect(("localhost", port)).is_ok())
}

/// The port of a URL on this machine.
fn local_port(url: &str) -> Option<u16> {
    let (host, port) = url.strip_prefix("http://")?.rsplit_once(':')?;
    let local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    local.then(|| port.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_ports() {
        for (url, port) in [
            ("http://localhost:8080", Some(8080)),
            ("http://127.0.0.1:1", Some(1)),
            ("http://[::1]:2", Some(2)),
            ("http://example.com:8080", None),
            ("http://localhost", None),
        ] {
            assert_eq!(local_port(url), port, "{url}");
        }
    }
}
