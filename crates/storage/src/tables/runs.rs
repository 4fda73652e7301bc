//! Sealed runs of history: written once, read seldom, so that only what no row holds yet is kept in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::tables::TableFault;
use longhaul_types::ExecutionId;

use crate::fault::fault;
use crate::keys::history::RunKey;
use crate::records;
use crate::rows::{RowBatch, Rows};

/// Runs put and removed (`None`) in one generation.
pub(super) type RunChanges = BTreeMap<RunKey, Option<Bytes>>;

/// Up to this many neighbours are removed one by one: a range removal slows down later scans.
const SINGLE_REMOVALS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Runs {
    current: RunChanges,
    frozen: Arc<RunChanges>,
}

impl Runs {
    pub(super) fn put(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
        framed: Bytes,
    ) {
        self.current
            .insert(RunKey::new(key, execution, number), Some(framed));
    }

    pub(super) fn remove(&mut self, key: &InstanceKey, execution: &ExecutionId, count: u32) {
        for number in 0..count {
            self.current
                .insert(RunKey::new(key, execution, number), None);
        }
    }

    pub(super) fn get(
        &self,
        rows: &dyn Rows,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
    ) -> Result<Bytes, TableFault> {
        let key = RunKey::new(key, execution, number);
        let place = || {
            format!(
                "history {:?} {} {}",
                key.instance, key.execution, key.number
            )
        };
        let in_memory = self.current.get(&key).or_else(|| self.frozen.get(&key));
        let run = match in_memory {
            Some(run) => run.clone(),
            None => {
                let record = rows.get(&key.encode())?;
                let run = record.map(records::decode_history_run).transpose();
                run.map_err(|corrupt| fault(place(), corrupt))?
            }
        };
        run.ok_or_else(|| fault(place(), "the row is missing"))
    }

    pub(super) fn freeze(&mut self) -> Arc<RunChanges> {
        self.frozen = Arc::new(std::mem::take(&mut self.current));
        Arc::clone(&self.frozen)
    }

    /// What was frozen is written; answers it.
    pub(super) fn complete(&mut self) -> Arc<RunChanges> {
        std::mem::take(&mut self.frozen)
    }

    /// Whether memory says something else about the run than its row, and what.
    pub(super) fn in_memory(&self) -> RunChanges {
        let mut all = RunChanges::clone(&self.frozen);
        all.extend(
            self.current
                .iter()
                .map(|(key, run)| (key.clone(), run.clone())),
        );
        all
    }
}

/// Adds what changed to a batch.
pub(super) fn put_changes(changes: &RunChanges, batch: &mut RowBatch) {
    let mut removed = Vec::new();
    for (key, run) in changes {
        match run {
            None => {
                if removed
                    .last()
                    .is_some_and(|last| !are_neighbours(last, key))
                {
                    put_removals(&removed, batch);
                    removed.clear();
                }
                removed.push(key.clone());
            }
            Some(framed) => {
                batch.put_with(&key.encode(), |out| records::put_history_run(framed, out));
            }
        }
    }
    put_removals(&removed, batch);
}

/// Removes runs of which each is the neighbour of the one before.
fn put_removals(removed: &[RunKey], batch: &mut RowBatch) {
    match removed {
        [first, .., last] if removed.len() > SINGLE_REMOVALS_MAX => {
            // The first key after `last` is `last` and a zero byte.
            let mut end = last.encode();
            end.push(0);
            batch.delete_range(&first.encode(), &end);
        }
        _ => removed.iter().for_each(|key| batch.delete(&key.encode())),
    }
}

fn are_neighbours(a: &RunKey, b: &RunKey) -> bool {
    a.number.checked_add(1) == Some(b.number)
        && a.execution == b.execution
        && a.instance == b.instance
}
