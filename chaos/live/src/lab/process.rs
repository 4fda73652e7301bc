//! One process of ours: started, stopped, killed and waited for by its own id.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::exists;

const LOOK_EVERY: Duration = Duration::from_millis(5);
const OBEYS_WITHIN: Duration = Duration::from_secs(5);

/// A running process. Killed when dropped, and by the kernel if we are.
#[derive(Debug)]
pub struct Process {
    child: Child,
    what: String,
}

impl Process {
    /// Starts a command whose output goes to the end of `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(what: &str, command: &[String], log: &Path) -> Result<Self> {
        let log: File = OpenOptions::new().create(true).append(true).open(log)?;
        let tether = ["setpriv", "--pdeathsig", "KILL", "--"];
        let tether = tether.iter().filter(|_| exists("setpriv"));
        let mut words = tether
            .map(|word| (*word).to_owned())
            .chain(command.iter().cloned());
        let program = words.next().context("an empty command")?;
        let child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| what.to_owned())?;
        Ok(Self {
            child,
            what: what.to_owned(),
        })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.ended().is_none(), "{} has ended already", self.what);
        kill_process(self.pid()?, signal).with_context(|| self.what.clone())
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    ///
    /// # Errors
    /// If it had ended before.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGSTOP, and waits until it has.
    ///
    /// # Errors
    /// If it does not.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let deadline = Instant::now() + OBEYS_WITHIN;
        while !self.is_paused()? {
            ensure!(Instant::now() < deadline, "{} does not stop", self.what);
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Whether every thread of it is stopped.
    ///
    /// # Errors
    /// If it has ended.
    pub fn is_paused(&self) -> Result<bool> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id()))?;
        for thread in threads {
            let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else {
                continue;
            };
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
            if state != Some(b'T') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// If it has ended.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {within:?}", self.what);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn pid(&self) -> Result<Pid> {
        let id = i32::try_from(self.id())?;
        Pid::from_raw(id).context("process 0")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a process that ended, this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
