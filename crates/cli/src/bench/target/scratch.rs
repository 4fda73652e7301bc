//! A server of our own: `longhaul dev` as a child process on a scratch directory and free ports.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use longhaul_client::{Client, Endpoint};
use rustix::{
    fs::{FsWord, statfs},
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::bench::process::Process;

/// Between two looks whether the server answers; also the precision of "ready".
const READY_POLL: Duration = Duration::from_millis(2);
const HELLO_MAX: Duration = Duration::from_secs(1);
const READY_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(15);
const LOG_LINES_SHOWN: usize = 20;
/// See statfs(2).
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// How to run a scratch server.
#[derive(Debug, Clone, Args)]
pub(in crate::bench) struct ScratchArgs {
    /// Where the scratch server's directory is made; use a disk that stands for yours
    #[arg(long, value_name = "DIR")]
    scratch_dir: Option<PathBuf>,

    /// One more argument for the scratch server; may be repeated
    #[arg(long = "server-arg", value_name = "ARG", allow_hyphen_values = true)]
    server_args: Vec<String>,
}

/// How to end a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Stop {
    /// SIGTERM: it may finish what it does.
    Gracefully,
    /// SIGKILL: as a crash would.
    AtOnce,
}

/// A server that answers, and how long that took from its start.
#[derive(Debug)]
pub(in crate::bench) struct Ready {
    pub(in crate::bench) client: Client,
    pub(in crate::bench) started: Instant,
    pub(in crate::bench) after: Duration,
}

/// The child process, its directory and its ports. Dropping it kills the process and deletes the directory.
#[derive(Debug)]
pub(in crate::bench) struct ScratchServer {
    child: Option<Child>,
    dir: TempDir,
    port: u16,
    dashboard_port: u16,
    server_args: Vec<String>,
}

impl ScratchServer {
    /// An empty directory and two free ports; nothing runs yet.
    pub(in crate::bench) fn create(args: &ScratchArgs) -> anyhow::Result<Self> {
        let parent = args.scratch_dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new()
            .prefix("longhaul-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        if statfs(dir.path()).is_ok_and(|file_system| file_system.f_type == TMPFS_MAGIC) {
            eprintln!(
                "{} is in memory, where syncing costs nothing; use --scratch-dir",
                parent.display()
            );
        }
        let (port, dashboard_port) = free_ports()?;
        Ok(Self {
            child: None,
            dir,
            port,
            dashboard_port,
            server_args: args.server_args.clone(),
        })
    }

    pub(in crate::bench) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Ok(Endpoint::new(&format!("http://127.0.0.1:{}", self.port))?)
    }

    pub(in crate::bench) fn process(&self) -> Option<Process> {
        self.child
            .as_ref()
            .and_then(Child::id)
            .map(|pid| Process { pid })
    }

    /// Bytes of the data directory on disk.
    pub(in crate::bench) fn data_bytes(&self) -> u64 {
        bytes_below(&self.data_dir())
    }

    /// Starts the server on the same directory and ports as before, and waits until it answers.
    pub(in crate::bench) async fn start(&mut self) -> anyhow::Result<Ready> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let started = Instant::now();
        let child = Command::new(std::env::current_exe()?)
            .arg("dev")
            .arg("--data")
            .arg(self.data_dir())
            .args(["--port", &self.port.to_string()])
            .args(["--dashboard-port", &self.dashboard_port.to_string()])
            .args(&self.server_args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal reaches its whole process group; ending this child is our task.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a scratch server")?;
        self.child = Some(child);
        let endpoint = self.endpoint()?;
        while started.elapsed() < READY_MAX {
            if let Ok(client) = Client::connect(&endpoint).await
                && timeout(HELLO_MAX, client.hello())
                    .await
                    .is_ok_and(|answer| answer.is_ok())
            {
                return Ok(Ready {
                    client,
                    started,
                    after: started.elapsed(),
                });
            }
            if let Some(status) = self.exit_status()? {
                bail!(
                    "the scratch server ended with {status}:\n{}",
                    self.last_log_lines()
                );
            }
            sleep(READY_POLL).await;
        }
        bail!(
            "the scratch server does not answer after {READY_MAX:?}:\n{}",
            self.last_log_lines()
        )
    }

    /// Ends the server and waits until it is gone.
    ///
    /// # Errors
    /// It had ended by itself, with the last lines of its log.
    pub(in crate::bench) async fn stop(&mut self, how: Stop) -> anyhow::Result<()> {
        if let Some(status) = self.exit_status()? {
            bail!(
                "the scratch server ended with {status}:\n{}",
                self.last_log_lines()
            );
        }
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let pid = child
            .id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        if let (Stop::Gracefully, Some(pid)) = (how, pid) {
            kill_process(pid, Signal::TERM).context("cannot signal the scratch server")?;
            if let Ok(status) = timeout(STOP_MAX, child.wait()).await {
                let status = status?;
                if !status.success() {
                    eprintln!("the scratch server ended with {status}");
                }
                return Ok(());
            }
            eprintln!("the scratch server ignored SIGTERM for {STOP_MAX:?}; killing it");
        }
        child.kill().await.context("cannot kill the scratch server")
    }

    fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self
            .child
            .as_mut()
            .map(Child::try_wait)
            .transpose()?
            .flatten())
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    fn last_log_lines(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// Two ports that nothing listens on. Someone else may take them before the server does; then it says so and ends.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let (one, other) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
