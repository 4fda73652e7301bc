//! The server half as a child process.

use std::process::Stdio;

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::bench::process::Process;

/// A running `longhaul bench empty-server`. It ends with this process, however that ends: its standard input closes.
#[derive(Debug)]
pub(in crate::bench) struct EmptyServer {
    child: Child,
    address: String,
}

impl EmptyServer {
    pub(in crate::bench) async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "empty-server"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal must not look like a failing server.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server of the empty call")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let address = BufReader::new(stdout)
            .lines()
            .next_line()
            .await?
            .context("the empty server said no address")?;
        Ok(Self { child, address })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn process(&self) -> Option<Process> {
        self.child.id().map(|pid| Process { pid })
    }
}
