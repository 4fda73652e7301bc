//! Histories: their grammar, and that they only grow.

use std::collections::BTreeMap;

use longhaul_proto::sidecar::{HistoryEvent, history_event::EventType};
use prost::Message;

use crate::record::{Instance, Record};

fn types(history: &[HistoryEvent]) -> impl Iterator<Item = &EventType> {
    history.iter().filter_map(|event| event.event_type.as_ref())
}

fn count(history: &[HistoryEvent], wanted: fn(&EventType) -> bool) -> usize {
    types(history).filter(|event| wanted(event)).count()
}

pub(super) fn ends(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for instance in record.everything() {
        if instance.state.is_none() {
            continue;
        }
        let started = count(&instance.history, |event| {
            matches!(event, EventType::ExecutionStarted(_))
        });
        let ended = count(&instance.history, |event| {
            matches!(event, EventType::ExecutionCompleted(_))
        });
        let expected = usize::from(instance.is_completed());
        if (started, ended) != (1, expected) {
            violations.push(format!(
                "{}: {started} starts and {ended} ends in its history",
                instance.id
            ));
        }
    }
    violations
}

/// What one action led to, by the kind and the name of what was asked for.
type Asked = BTreeMap<(&'static str, String), [u32; 2]>;

pub(super) fn outcomes(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for instance in record
        .everything()
        .filter(|instance| instance.is_completed())
    {
        for ((kind, name), [asked, outcomes]) in asked(instance) {
            if (asked, outcomes) != (1, 1) {
                violations.push(format!(
                    "{}: {kind} {name} was asked for {asked} times and has {outcomes} outcomes",
                    instance.id
                ));
            }
        }
    }
    violations
}

fn asked(instance: &Instance) -> Asked {
    let mut asked = Asked::new();
    for event in &instance.history {
        let Some((kind, name, place)) = event.event_type.as_ref().and_then(|kind| {
            let (name, key, place) = part(event, kind)?;
            Some((name, key, place))
        }) else {
            continue;
        };
        asked.entry((kind, name)).or_default()[place] += 1;
    }
    asked
}

/// Which thing an event is about, and whether it asks (0) or answers (1).
fn part(event: &HistoryEvent, kind: &EventType) -> Option<(&'static str, String, usize)> {
    let by_id = |id: i32| id.to_string();
    Some(match kind {
        EventType::TaskScheduled(_) => ("activity", by_id(event.event_id), 0),
        EventType::TaskCompleted(done) => ("activity", by_id(done.task_scheduled_id), 1),
        EventType::TaskFailed(failed) => ("activity", by_id(failed.task_scheduled_id), 1),
        EventType::TimerCreated(_) => ("timer", by_id(event.event_id), 0),
        EventType::TimerFired(fired) => ("timer", by_id(fired.timer_id), 1),
        EventType::SubOrchestrationInstanceCreated(_) => ("child", by_id(event.event_id), 0),
        EventType::SubOrchestrationInstanceCompleted(done) => {
            ("child", by_id(done.task_scheduled_id), 1)
        }
        EventType::SubOrchestrationInstanceFailed(failed) => {
            ("child", by_id(failed.task_scheduled_id), 1)
        }
        EventType::EntityOperationCalled(call) => ("call", call.request_id.clone(), 0),
        EventType::EntityOperationCompleted(done) => ("call", done.request_id.clone(), 1),
        EventType::EntityOperationFailed(failed) => ("call", failed.request_id.clone(), 1),
        EventType::EntityLockRequested(lock) => ("lock", lock.critical_section_id.clone(), 0),
        EventType::EntityLockGranted(lock) => ("lock", lock.critical_section_id.clone(), 1),
        _ => return None,
    })
}

pub(super) fn early_timers(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for instance in record.everything() {
        for event in &instance.history {
            let Some(EventType::TimerFired(fired)) = &event.event_type else {
                continue;
            };
            let due = due(&instance.history, fired.timer_id).or(fired.fire_at);
            let moment = |at: prost_types::Timestamp| (at.seconds, at.nanos);
            if event.timestamp.map(moment) < due.map(moment) {
                violations.push(format!(
                    "{}: timer {} fired at {:?}, due at {due:?}",
                    instance.id, fired.timer_id, event.timestamp
                ));
            }
        }
    }
    violations
}

fn due(history: &[HistoryEvent], timer_id: i32) -> Option<prost_types::Timestamp> {
    history.iter().find_map(|event| match &event.event_type {
        Some(EventType::TimerCreated(timer)) if event.event_id == timer_id => timer.fire_at,
        _ => None,
    })
}

/// Every sighting must begin the next one of the same instance, and the last of them what is there in the end.
pub(super) fn rewritten(record: &Record) -> Vec<String> {
    let mut seen: BTreeMap<&str, Vec<&[HistoryEvent]>> = BTreeMap::new();
    for sighting in &record.sightings {
        let of_instance = seen.entry(&sighting.instance_id).or_default();
        of_instance.push(&sighting.history);
    }
    for instance in record.everything() {
        if let Some(seen) = seen.get_mut(instance.id.as_str()) {
            seen.push(&instance.history);
        }
    }
    let mut violations = Vec::new();
    for (instance_id, histories) in seen {
        let changed = histories
            .windows(2)
            .filter_map(|pair| difference(pair[0], pair[1]));
        violations.extend(changed.map(|why| format!("{instance_id}: {why}")));
    }
    violations
}

fn difference(earlier: &[HistoryEvent], later: &[HistoryEvent]) -> Option<String> {
    if earlier.len() > later.len() {
        return Some(format!("{} events, then {}", earlier.len(), later.len()));
    }
    let pairs = earlier.iter().zip(later).enumerate();
    let mut changed = pairs.filter(|(_, (a, b))| a.encode_to_vec() != b.encode_to_vec());
    changed
        .next()
        .map(|(nth, (was, is))| format!("event {nth} was {was:?} and is {is:?}"))
}
