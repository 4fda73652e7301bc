//! System calls of a running process that fail, or take their time: `strace` puts itself between.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::time::sleep;

use crate::lab::process::Process;

const ATTACHES_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A tracer at work.
pub(super) struct Traced {
    tracer: Process,
    log: PathBuf,
}

impl Traced {
    /// Attaches to a process; `fault` is as strace's `inject` has it.
    pub(super) async fn inject(id: u32, fault: &str, log: &Path) -> Result<Self> {
        let _ = fs::remove_file(log);
        let calls = fault.split(':').next().unwrap_or_default();
        let words = [
            "strace".to_owned(),
            "-f".to_owned(),
            "-o".to_owned(),
            log.to_string_lossy().into_owned(),
            format!("--trace={calls}"),
            format!("--inject={fault}"),
            "-p".to_owned(),
            id.to_string(),
        ];
        let said = log.with_extension("said");
        let mut traced = Self {
            tracer: Process::start("strace", &words, &said)?,
            log: log.to_owned(),
        };
        let deadline = Instant::now() + ATTACHES_WITHIN;
        while !is_traced(id)? {
            let said = fs::read_to_string(&said).unwrap_or_default();
            ensure!(traced.tracer.ended().is_none(), "strace: {said}");
            ensure!(Instant::now() < deadline, "strace does not attach: {said}");
            sleep(LOOK_EVERY).await;
        }
        Ok(traced)
    }

    /// Whether any call was changed.
    pub(super) fn check_happened(&self) -> Result<()> {
        let log = fs::read_to_string(&self.log).context("the log of strace")?;
        let changed = log.contains("(INJECTED)") || log.contains("(DELAYED)");
        ensure!(changed, "no system call was changed");
        Ok(())
    }

    /// Lets go of the process, which runs on.
    pub(super) async fn end(mut self) -> Result<()> {
        self.tracer.signal(Signal::TERM)?;
        self.tracer.wait(ENDS_WITHIN).await?;
        Ok(())
    }
}

fn is_traced(id: u32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    Ok(status
        .lines()
        .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")))
}
