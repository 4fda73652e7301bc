//! Activities: what histories say that they returned, against the runs that workers wrote down.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_proto::sidecar::history_event::EventType;

use crate::{
    record::{Effect, Instance, Record},
    workload::shapes::{Done, Shape},
};

/// The activities that a history says completed: the ids of their actions, and their results.
fn completed(instance: &Instance) -> Vec<(i32, Option<Done>)> {
    let events = instance.history.iter();
    events
        .filter_map(|event| match event.event_type.as_ref()? {
            EventType::TaskCompleted(completed) => {
                let done = completed.result.as_deref();
                let done = done.and_then(|done| serde_json::from_str(done).ok());
                Some((completed.task_scheduled_id, done))
            }
            _ => None,
        })
        .collect()
}

pub(super) fn invented(record: &Record) -> Vec<String> {
    let runs: BTreeMap<&str, &Effect> = record
        .effects
        .iter()
        .map(|effect| (effect.nonce.as_str(), effect))
        .collect();
    let is_real = |instance: &Instance, task_id: i32, done: &Done| {
        runs.get(done.nonce.as_str()).is_some_and(|run| {
            run.instance_id == instance.id && run.task_id == task_id && run.number == done.number
        })
    };
    let mut violations = Vec::new();
    for instance in record.everything() {
        for (task_id, done) in completed(instance) {
            if !done
                .as_ref()
                .is_some_and(|done| is_real(instance, task_id, done))
            {
                violations.push(format!("{}: {task_id} returned {done:?}", instance.id));
            }
        }
    }
    violations
}

pub(super) fn counted_twice(record: &Record) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut violations = Vec::new();
    for instance in record.everything() {
        for (task_id, done) in completed(instance) {
            if let Some(done) = done
                && !seen.insert(done.nonce.clone())
            {
                let nonce = done.nonce;
                violations.push(format!("{}: {task_id} returned {nonce} again", instance.id));
            }
        }
    }
    violations
}

pub(super) fn baseless_outputs(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for instance in record.everything() {
        if !matches!(instance.shape, Shape::Fan(_) | Shape::Naps(_)) {
            continue;
        }
        let Some(output) = instance.output::<Vec<Done>>() else {
            continue;
        };
        let mut results = completed(instance);
        results.sort_by_key(|(task_id, _)| *task_id);
        let results: Vec<Done> = results.into_iter().filter_map(|(_, done)| done).collect();
        if results != output {
            violations.push(format!(
                "{} returned {output:?}, its history has {results:?}",
                instance.id
            ));
        }
    }
    violations
}
