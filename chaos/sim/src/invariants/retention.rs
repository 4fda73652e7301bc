//! Retention deletes what has been ended for long enough, and nothing else.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::{Found, Moment};

#[derive(Default)]
pub(super) struct Retention {
    /// Instances that the queries of this process found, and when they had ended.
    found: BTreeMap<String, Option<Timestamp>>,
    aged: Option<Aged>,
}

struct Aged {
    surely: Timestamp,
    perhaps: Timestamp,
    deleted: u64,
    /// What had been found before.
    before: BTreeMap<String, Option<Timestamp>>,
}

impl Retention {
    fn judge_aged(&self, aged: &Aged) -> Result<(), String> {
        for (id, ended) in &aged.before {
            let stays = self.found.contains_key(id);
            let old = ended.is_some_and(|ended| ended < aged.surely);
            let young = ended.is_none_or(|ended| ended >= aged.perhaps);
            if stays && old || !stays && young {
                return Err(format!(
                    "{id} ended at {ended:?}, and all before {} were to go; it is still there: {stays}",
                    aged.surely
                ));
            }
        }
        let gone = aged
            .before
            .keys()
            .filter(|id| !self.found.contains_key(*id));
        match gone.count() as u64 == aged.deleted {
            true => Ok(()),
            false => Err(format!("{} were said to be deleted", aged.deleted)),
        }
    }
}

impl Invariant for Retention {
    fn name(&self) -> &'static str {
        "retention deletes what is old enough"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            // From then on nothing changes but by retention.
            Moment::Rest { .. } => self.found.clear(),
            Moment::PartitionRead { found, .. } => {
                let instances = found.iter().filter(|it| it.view.is_some());
                let ended = instances.map(|Found { id, ended, .. }| (id.clone(), *ended));
                self.found.extend(ended);
            }
            Moment::Aged {
                surely,
                perhaps,
                deleted,
            } => {
                self.aged = Some(Aged {
                    surely: *surely,
                    perhaps: *perhaps,
                    deleted: *deleted,
                    before: std::mem::take(&mut self.found),
                });
            }
            Moment::QueryAnswered { complete: true, .. } => {
                if let Some(aged) = self.aged.take() {
                    return self.judge_aged(&aged);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
