//! Entities: what was added to them, and what orchestrations saw of them while they held their locks.

use std::collections::BTreeMap;

use crate::{
    record::{Addition, Record, Tally},
    workload::shapes::{Shape, Transferred},
};

pub(super) fn totals(record: &Record) -> Vec<String> {
    let expected = expected(record);
    let read = record.entities.iter();
    read.filter_map(|(entity, tally)| {
        let tally = tally.unwrap_or_default();
        let expected = expected.get(entity).copied().unwrap_or_default();
        (tally != expected).then(|| format!("{entity} holds {tally:?} instead of {expected:?}"))
    })
    .chain(
        expected
            .keys()
            .filter(|entity| !record.entities.contains_key(*entity))
            .map(|entity| format!("{entity} was not read")),
    )
    .collect()
}

/// What every entity must hold if all orchestrations have completed; that they have is judged elsewhere.
fn expected(record: &Record) -> BTreeMap<String, Tally> {
    let signals = record
        .signals
        .iter()
        .map(|signal| (signal.entity_id.clone(), signal.addition.clone()));
    let completed = record
        .everything()
        .filter(|instance| instance.is_completed());
    let by_orchestrations = completed.flat_map(|instance| instance.shape.additions(&instance.id));
    let all: Vec<(String, Addition)> = signals.chain(by_orchestrations).collect();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for (entity, addition) in all {
        let tally = tallies.entry(entity).or_default();
        *tally = tally.with(&addition);
    }
    tallies
}

pub(super) fn sections(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for instance in &record.instances {
        let Shape::Transfer { amount, .. } = instance.shape else {
            continue;
        };
        if let Some(Transferred { before, after }) = instance.output()
            && before - amount != after
        {
            violations.push(format!(
                "{} took {amount} from {before} and left {after}",
                instance.id
            ));
        }
    }
    violations
}
