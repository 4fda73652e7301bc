//! Time and randomness, injected so that a node can be simulated.

use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_types::{ExecutionId, Timestamp};
use parking_lot::Mutex;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// The time now. May go back; a partition's own time does not.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_nanos(i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
    }
}

/// A source of bytes that nobody can guess.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's randomness, drawn in blocks.
#[derive(Default)]
pub struct SystemRandomness {
    block: Mutex<Vec<u8>>,
}

impl Randomness for SystemRandomness {
    fn fill(&self, out: &mut [u8]) {
        const BLOCK: usize = 4096;
        let mut block = self.block.lock();
        for byte in out {
            if block.is_empty() {
                block.resize(BLOCK, 0);
                getrandom::fill(&mut block).expect("the operating system gives randomness");
            }
            *byte = block.pop().expect("refilled above");
        }
    }
}

/// Draws an execution id.
pub(crate) fn fresh_execution(randomness: &dyn Randomness) -> ExecutionId {
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes);
    ExecutionId::from_random(bytes)
}

/// Draws a number.
pub(crate) fn fresh_number(randomness: &dyn Randomness) -> u64 {
    let mut bytes = [0; 8];
    randomness.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
