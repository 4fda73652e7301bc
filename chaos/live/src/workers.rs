//! The workload's worker processes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};

use crate::{
    lab::process::Process,
    service::{Front, Service},
    worker::WorkerArgs,
};

/// Worker processes, each behind a front of its own.
#[derive(Debug)]
pub struct Workers {
    service: Arc<Service>,
    ledger: PathBuf,
    log: PathBuf,
    running: Vec<Running>,
    started: u32,
}

/// The process before its front: it is to end first.
#[derive(Debug)]
struct Running {
    process: Process,
    _front: Front,
}

impl Workers {
    /// None yet. They write runs of activities to `ledger`, and share a log.
    pub fn none(service: Arc<Service>, ledger: PathBuf, log: PathBuf) -> Self {
        Self {
            service,
            ledger,
            log,
            running: Vec::new(),
            started: 0,
        }
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// Where they write.
    pub fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// Starts one more; it prefers the node of its number.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(&mut self, kind: Kind) -> Result<()> {
        self.started += 1;
        let name = format!("w{}", self.started);
        let preferred = self.running.len();
        let front = Front::open(Arc::clone(&self.service), preferred).await?;
        let address = front.address().to_string();
        let repeat = kind == Kind::Repeating;
        let command = WorkerArgs::command(&address, &self.ledger, &name, repeat)?;
        self.running.push(Running {
            process: Process::start(&name, &command, &self.log)?,
            _front: front,
        });
        Ok(())
    }

    /// The process of one of them.
    ///
    /// # Errors
    /// If there is none of that number.
    pub fn process(&mut self, nth: usize) -> Result<&mut Process> {
        let running = self.running.get_mut(nth).context("no such worker")?;
        Ok(&mut running.process)
    }

    /// Kills one of them.
    ///
    /// # Errors
    /// If there is none of that number, or it had ended by itself.
    pub fn kill(&mut self, nth: usize) -> Result<()> {
        let tail = || self.log_tail();
        let tail = tail();
        self.running.remove(nth).process.kill().context(tail)
    }

    /// What they have printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        log.lines().last().unwrap_or_default().to_owned()
    }
}

/// How a worker behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it should.
    Ordinary,
    /// Answers activities several times.
    Repeating,
}
