//! What a process of this machine has used so far, as Linux tells it in `/proc`. Elsewhere nothing is known.

mod listener;
mod stat;

use std::{fs, time::Duration};

pub(super) use listener::listening_on;

/// A process by id; readings are `None` once it is gone or where there is no `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
}

impl Process {
    /// This process.
    pub(super) fn own() -> Self {
        Self {
            pid: std::process::id(),
        }
    }

    /// User and system time of all its threads, ended ones included. Counted in clock ticks of usually 10 ms.
    pub(super) fn cpu(self) -> Option<Duration> {
        Some(self.stat()?.cpu(rustix::param::clock_ticks_per_second()))
    }

    /// Threads alive.
    pub(super) fn threads(self) -> Option<u64> {
        Some(self.stat()?.threads)
    }

    /// Resident memory.
    pub(super) fn rss_bytes(self) -> Option<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
        let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
    }

    fn stat(self) -> Option<stat::Stat> {
        stat::Stat::parse(&fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory_and_threads() {
        let own = Process::own();
        assert!(own.cpu().is_some());
        assert!(own.threads() >= Some(1));
        assert!(own.rss_bytes() > Some(1 << 16));
    }

    #[test]
    fn nothing_is_known_of_a_process_that_is_not_there() {
        let gone = Process { pid: u32::MAX };
        assert_eq!(
            (gone.cpu(), gone.rss_bytes(), gone.threads()),
            (None, None, None)
        );
    }
}
