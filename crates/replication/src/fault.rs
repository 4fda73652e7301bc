//! What ends a replica against its will, and telling its owner about it once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use longhaul_wal::GroupId;
use tokio::sync::watch;

use crate::machine::MachineFault;

/// Why a replica stopped although nobody asked it to. It does not start again in this process.
#[derive(Debug, thiserror::Error)]
pub enum GroupFault {
    /// The replicated state failed.
    #[error(transparent)]
    Machine(#[from] MachineFault),
    /// The replicated state panicked.
    #[error("the replicated state panicked")]
    MachinePanicked,
    /// The write-ahead log failed, or holds something that cannot be there.
    #[error("the log failed: {0}")]
    Log(#[from] io::Error),
    /// The state is not what the leader's is. It must be rebuilt from another replica.
    #[error("{0}; it must be rebuilt from another replica")]
    Diverged(String),
    /// The consensus library gave up.
    #[error("consensus stopped: {0}")]
    Consensus(String),
}

/// Told of the fault that ended a replica, from any thread, at most once per replica.
pub type OnFault = Arc<dyn Fn(GroupId, GroupFault) + Send + Sync>;

/// Where the parts of one replica report faults.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Inner>);

struct Inner {
    group: GroupId,
    on_fault: OnFault,
    reported: AtomicBool,
    changed: watch::Sender<bool>,
}

impl Faults {
    pub(crate) fn new(group: GroupId, on_fault: OnFault) -> Self {
        Self(Arc::new(Inner {
            group,
            on_fault,
            reported: AtomicBool::new(false),
            changed: watch::Sender::new(false),
        }))
    }

    /// Passes the replica's first fault on; later ones follow from it.
    pub(crate) fn report(&self, fault: GroupFault) {
        if !self.0.reported.swap(true, Ordering::AcqRel) {
            (self.0.on_fault)(self.0.group, fault);
            self.0.changed.send_replace(true);
        }
    }

    /// Tells the owner of a fault and the consensus library of an error.
    pub(crate) fn report_machine(&self, fault: MachineFault) -> io::Error {
        let error = io::Error::other(fault.to_string());
        self.report(fault.into());
        error
    }

    /// The same for a failed log.
    pub(crate) fn report_log(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.report(error.into());
        copy
    }

    /// Becomes true with the first fault.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.0.changed.subscribe()
    }
}
