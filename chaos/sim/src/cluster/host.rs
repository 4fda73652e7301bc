//! A machine of the cluster with its processes, each of which has a runtime of its own: it can be ended at any moment,
//! and stand still while the others go on.

use std::sync::Arc;
use std::time::Duration;

use longhaul_types::NodeId;
use tokio::runtime::{Builder, RngSeed, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::process::{Life, Process};
use super::shared::Shared;
use crate::dice::Dice;
use crate::node::Faults;

/// A machine, on or off.
pub(crate) struct Host {
    pub(crate) node: NodeId,
    machine: usize,
    lives: u32,
    /// The running process.
    pub(crate) running: Option<Running>,
    /// When the next process starts, if none runs.
    pub(crate) starts: Option<Duration>,
}

/// A process and what it was started in.
pub(crate) struct Running {
    runtime: Runtime,
    /// When it began, by the runtime's clock and by everybody's.
    began: (Instant, Duration),
    faults: Faults,
    /// Its disk was told to fail.
    pub(crate) excused: bool,
    /// Stands still.
    pub(crate) paused: Option<Pause>,
    boot: Arc<watch::Sender<Boot>>,
    stopping: Option<JoinHandle<()>>,
}

/// When a process stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) since: Duration,
    pub(crate) until: Duration,
}

enum Boot {
    Starting,
    Up(Process),
    Failed(String),
}

/// What a process has come to.
pub(crate) enum State {
    /// It starts, or runs.
    Well,
    /// It cannot start.
    Refused(String),
    /// It gave up.
    Faulty(String),
    /// It has ended as it should.
    Stopped,
}

impl Host {
    /// A machine that is switched on then.
    pub(crate) fn new(node: NodeId, machine: usize, starts: Duration) -> Self {
        Self {
            node,
            machine,
            lives: 0,
            running: None,
            starts: Some(starts),
        }
    }

    /// Starts the next process.
    pub(crate) fn start(&mut self, shared: &Shared, now: Duration, dice: &mut Dice) {
        let runtime = runtime(dice.roll());
        let boot = Arc::new(watch::Sender::new(Boot::Starting));
        let faults = Faults::default();
        let life = Life {
            node: self.node,
            machine: self.machine,
            number: self.lives,
        };
        let sync = shared.world().plan().sync_millis;
        let (shared, told, failing) = (shared.clone(), boot.clone(), faults.clone());
        runtime.spawn(async move {
            let started = Process::start(&shared, life, sync, &failing).await;
            told.send_replace(match started {
                Ok(process) => Boot::Up(process),
                Err(reason) => Boot::Failed(reason),
            });
        });
        let began = runtime.block_on(async { Instant::now() });
        self.lives += 1;
        self.starts = None;
        self.running = Some(Running {
            runtime,
            began: (began, now),
            faults,
            excused: false,
            paused: None,
            boot,
            stopping: None,
        });
    }

    /// Ends the process wherever it is. What it had is the disk's to keep.
    pub(crate) fn end(&mut self) {
        self.running = None;
    }

    /// The process, if it has started and does not stand still.
    pub(crate) fn process(&self) -> Option<Process> {
        let running = self.running.as_ref()?;
        match &*running.boot.borrow() {
            Boot::Up(process) if running.paused.is_none() && running.stopping.is_none() => {
                Some(process.clone())
            }
            _ => None,
        }
    }

    /// Which machine it is.
    pub(crate) fn machine(&self) -> usize {
        self.machine
    }

    /// Counts the processes; that of the last one.
    pub(crate) fn life(&self) -> u32 {
        self.lives.saturating_sub(1)
    }

    /// For how long the process has stood still.
    pub(crate) fn stands_still_since(&self, now: Duration) -> Duration {
        let paused = self.running.as_ref().and_then(|it| it.paused.as_ref());
        paused.map_or(Duration::ZERO, |pause| now.saturating_sub(pause.since))
    }
}

impl Running {
    /// Lets everything happen up to a moment.
    pub(crate) fn run_until(&self, now: Duration) {
        if self.paused.is_some() {
            return;
        }
        let until = self.began.0 + (now - self.began.1);
        run_until(&self.runtime, until);
    }

    /// Lets it find that so much time has gone on.
    pub(crate) fn resume(&mut self, now: Duration) {
        self.paused = None;
        let until = self.began.0 + (now - self.began.1);
        self.runtime.block_on(async {
            tokio::time::advance(until.saturating_duration_since(Instant::now())).await;
        });
    }

    /// Runs something in the process.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(work)
    }

    /// The process, once it is up; nothing if it does not come up.
    pub(crate) fn booting(&self) -> impl Future<Output = Option<Process>> + Send + 'static {
        let mut boot = self.boot.subscribe();
        async move {
            let booted = boot.wait_for(|boot| !matches!(boot, Boot::Starting)).await;
            match &*booted.ok()? {
                Boot::Up(process) => Some(process.clone()),
                Boot::Starting | Boot::Failed(_) => None,
            }
        }
    }

    /// Asks it to end.
    pub(crate) fn stop(&mut self) {
        let boot = self.boot.clone();
        let stopping = async move {
            let process = match &*boot.borrow() {
                Boot::Up(process) => Some(process.clone()),
                _ => None,
            };
            if let Some(process) = process {
                process.stop().await;
            }
        };
        self.stopping = Some(self.runtime.spawn(stopping));
    }

    /// What it has come to.
    pub(crate) fn state(&self) -> State {
        if let Some(reason) = self.faults.seen() {
            return State::Faulty(reason);
        }
        if self.stopping.as_ref().is_some_and(JoinHandle::is_finished) {
            return State::Stopped;
        }
        match &*self.boot.borrow() {
            Boot::Failed(reason) => State::Refused(reason.clone()),
            _ => State::Well,
        }
    }
}

/// Lets everything happen up to a moment.
pub(crate) fn run_until(runtime: &Runtime, until: Instant) {
    runtime.block_on(async move { tokio::time::sleep_until(until).await });
}

/// A runtime of one thread whose time goes on when it is told to.
pub(crate) fn runtime(seed: u64) -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .expect("a runtime without threads")
}
