//! When all is at rest, the replicas of a partition are the same.

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::Moment;

pub(super) struct Replicas;

impl Invariant for Replicas {
    fn name(&self) -> &'static str {
        "replicas are equal"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Replicas { replicas, .. }
                if replicas
                    .windows(2)
                    .any(|pair| (pair[0].1, pair[0].2) != (pair[1].1, pair[1].2)) =>
            {
                Err(moment.to_string())
            }
            _ => Ok(()),
        }
    }
}
