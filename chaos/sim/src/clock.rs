//! A node's wall clock: follows the simulation's time, runs fast or slow, and is set back now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longhaul_partition::Clock;
use longhaul_types::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Where simulated time begins.
const ORIGIN_SECONDS: i128 = 1_700_000_000;
const NANOS: i128 = 1_000_000_000;

/// A clock that outlives the node's processes. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Mutex<State>>);

/// True time, for clocks that do not follow the runtime they are read in.
#[derive(Clone, Debug, Default)]
pub struct TrueTime(Arc<AtomicU64>);

impl TrueTime {
    /// Time since the simulation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Lets time go on.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).expect("a run is short");
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct State {
    course: Course,
    /// Parts per million by which the clock runs fast.
    drift_ppm: i64,
    /// What it was set to by hand.
    offset: i128,
    /// The latest time it has ever shown.
    high: Timestamp,
}

/// What a clock follows.
#[derive(Debug)]
enum Course {
    /// The runtime it is read in, of which there is one after another.
    Lives {
        /// Time since the simulation began, up to the current life.
        before: Duration,
        /// When the current life began; absent while the node is down.
        since: Option<Instant>,
    },
    /// What is true for all.
    True(TrueTime),
}

impl SimClock {
    /// A clock that runs fast by so much.
    #[must_use]
    pub fn new(drift_ppm: i64) -> Self {
        Self::on(
            Course::Lives {
                before: Duration::ZERO,
                since: None,
            },
            drift_ppm,
        )
    }

    /// A clock that runs faster than true time by so much.
    #[must_use]
    pub fn following(time: TrueTime, drift_ppm: i64) -> Self {
        Self::on(Course::True(time), drift_ppm)
    }

    fn on(course: Course, drift_ppm: i64) -> Self {
        Self(Arc::new(Mutex::new(State {
            course,
            drift_ppm,
            offset: 0,
            high: Timestamp::EPOCH,
        })))
    }

    /// The node boots after having been down for this long. Called in its runtime.
    pub fn boot(&self, down: Duration) {
        if let Course::Lives { before, since } = &mut self.0.lock().course {
            *before += down;
            *since = Some(Instant::now());
        }
    }

    /// The node goes down; time stands still until it boots. Called in its runtime.
    pub fn halt(&self) {
        let mut state = self.0.lock();
        let elapsed = state.course.elapsed();
        if let Course::Lives { before, since } = &mut state.course {
            *before = elapsed;
            *since = None;
        }
    }

    /// Somebody sets the clock, forwards or back.
    pub fn set_by(&self, nanos: i128) {
        self.0.lock().offset += nanos;
    }

    /// Time since the simulation began, as nobody inside can know it.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.lock().course.elapsed()
    }

    /// The latest time the clock has ever shown.
    #[must_use]
    pub fn high(&self) -> Timestamp {
        self.now();
        self.0.lock().high
    }
}

impl Course {
    fn elapsed(&self) -> Duration {
        match self {
            Self::Lives { before, since } => {
                *before + since.map_or(Duration::ZERO, |since| since.elapsed())
            }
            Self::True(time) => time.elapsed(),
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let mut state = self.0.lock();
        let nanos = i128::try_from(state.course.elapsed().as_nanos()).expect("a run is short");
        let drift = nanos * i128::from(state.drift_ppm) / 1_000_000;
        let now = Timestamp::from_nanos(ORIGIN_SECONDS * NANOS + nanos + drift + state.offset);
        state.high = state.high.max(now);
        now
    }
}
