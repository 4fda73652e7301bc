//! Events that clients raised, and what the counters say that they received.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    record::{Raised, Record},
    workload::shapes::{LAST_EVENT, Shape},
};

/// What each counter returned, in order.
fn received(record: &Record) -> BTreeMap<&str, Vec<String>> {
    let counters = record
        .instances
        .iter()
        .filter(|instance| instance.shape == Shape::Counter);
    counters
        .filter_map(|counter| Some((counter.id.as_str(), counter.output()?)))
        .collect()
}

/// The events to one counter, in the order in which they were raised.
fn raised<'a>(record: &'a Record, counter: &str) -> Vec<&'a Raised> {
    let raised = record.raised.iter();
    raised
        .filter(|raised| raised.instance_id == counter && raised.event != LAST_EVENT)
        .collect()
}

pub(super) fn lost(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for (counter, events) in received(record) {
        let events: BTreeSet<&String> = events.iter().collect();
        let lost = raised(record, counter)
            .into_iter()
            .filter(|raised| raised.acknowledged && !events.contains(&raised.event));
        violations.extend(lost.map(|lost| format!("{counter} did not receive {}", lost.event)));
    }
    violations
}

pub(super) fn invented(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for (counter, events) in received(record) {
        let raised: BTreeSet<&String> = raised(record, counter)
            .into_iter()
            .map(|raised| &raised.event)
            .collect();
        let mut seen = BTreeSet::new();
        for event in &events {
            if !raised.contains(event) {
                violations.push(format!("{counter} received {event}, which nobody raised"));
            }
            if !seen.insert(event) {
                violations.push(format!("{counter} received {event} again"));
            }
        }
    }
    violations
}

/// An attempt whose outcome nobody knows may arrive late, so only acknowledged events have an order.
pub(super) fn disordered(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for (counter, events) in received(record) {
        let order: BTreeMap<&String, usize> = raised(record, counter)
            .into_iter()
            .enumerate()
            .filter(|(_, raised)| raised.acknowledged)
            .map(|(nth, raised)| (&raised.event, nth))
            .collect();
        let places: Vec<(usize, &String)> = events
            .iter()
            .filter_map(|event| Some((*order.get(event)?, event)))
            .collect();
        let late = places.windows(2).filter(|pair| pair[0].0 > pair[1].0);
        violations.extend(
            late.map(|pair| format!("{counter} received {} after {}", pair[1].1, pair[0].1)),
        );
    }
    violations
}
