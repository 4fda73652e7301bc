//! Points in time, as the wire has them.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in UTC: seconds since 1970 (may be negative) and nanoseconds within that second (0 to 999,999,999).
///
/// Wide enough for every protobuf timestamp (years 1 to 9999).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// The rest, always counted forwards.
    pub nanos: u32,
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self {
        seconds: 0,
        nanos: 0,
    };

    /// From nanoseconds since 1970.
    #[must_use]
    pub fn from_nanos(nanos: i128) -> Self {
        Self {
            seconds: i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).unwrap_or(i64::MAX),
            nanos: u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND))
                .expect("a remainder is below one second"),
        }
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND + i128::from(self.nanos)
    }

    /// Time from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = self.as_nanos().saturating_sub(earlier.as_nanos()).max(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self::from_nanos(self.as_nanos() + i128::try_from(rhs.as_nanos()).unwrap_or(i128::MAX / 2))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self::from_nanos(self.as_nanos() - i128::try_from(rhs.as_nanos()).unwrap_or(i128::MAX / 2))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_carries_and_goes_below_zero() {
        let t = Timestamp {
            seconds: 1,
            nanos: 999_999_999,
        };
        assert_eq!(
            t + Duration::from_nanos(1),
            Timestamp {
                seconds: 2,
                nanos: 0
            }
        );
        assert_eq!(
            Timestamp::EPOCH - Duration::from_nanos(1),
            Timestamp {
                seconds: -1,
                nanos: 999_999_999
            }
        );
        assert_eq!(
            t.since(Timestamp::EPOCH),
            Duration::from_nanos(1_999_999_999)
        );
        assert_eq!(Timestamp::EPOCH.since(t), Duration::ZERO);
        assert_eq!(Timestamp::from_nanos(t.as_nanos()), t);
    }
}
