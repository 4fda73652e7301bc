//! What must hold after every single command, whatever it was; numbered as in `docs/invariants.md`.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_engine::dispatch::committed_history;
use longhaul_engine::effects::Outcome;
use longhaul_engine::instance::Instance;
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Command, InstanceKey, Reply, invariants};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::Timestamp;

use crate::support::{decode_framed, kind_name};

/// Checks one partition before and after one command.
pub(crate) fn check(before: &MemTables, after: &MemTables, command: &Command, outcome: &Outcome) {
    assert!(
        before.partition.clock <= after.partition.clock,
        "time goes back"
    );
    refusal_changes_nothing(before, after, &outcome.reply);
    let mut rows = 0;
    for (key, instance) in &after.instances {
        rows += instance.history.sealed as usize;
        let old = before.instances.get(key);
        if old == Some(instance) {
            continue;
        }
        invariants::check(instance).unwrap_or_else(|violation| panic!("{key:?}: {violation}"));
        let history = history(after, key);
        assert_eq!(instance.history.events, history.len() as u64, "{key:?}");
        end_is_final(instance, &history);
        clock_of_the_orchestrator(&history);
        results_were_scheduled(&history);
        if let Some(old) = old {
            history_only_grows(before, after, key, old, instance);
            episode_is_a_prefix_of_the_inbox(before, after, key, old, instance, command);
        }
    }
    assert_eq!(
        rows,
        after.history.len(),
        "every history row belongs to a current execution"
    );
}

/// SYS-2: an answer that is not wanted any more, or a request that is refused, leaves no trace but the time.
fn refusal_changes_nothing(before: &MemTables, after: &MemTables, reply: &Reply) {
    let refused = match reply {
        Reply::Done | Reply::Received { .. } => false,
        Reply::NotFound | Reply::AlreadyExists(_) | Reply::ContradictoryReuse | Reply::Stale => {
            true
        }
    };
    if refused {
        let mut before = before.clone();
        before.partition.clock = after.partition.clock;
        assert_eq!(before, *after, "{reply:?} changed something");
    }
}

/// SYS-6: ended, last event ExecutionCompleted, completion time, nothing waiting: all or none of them.
fn end_is_final(instance: &Instance, history: &[HistoryEvent]) {
    let ends = history
        .iter()
        .filter(|event| kind_name(event) == "ExecutionCompleted")
        .count();
    let last = history.last().map(kind_name);
    assert_eq!(
        instance.status.is_terminal(),
        last == Some("ExecutionCompleted")
    );
    assert_eq!(
        instance.status.is_terminal(),
        instance.completed_at.is_some()
    );
    assert_eq!(ends, usize::from(instance.status.is_terminal()));
    if instance.status.is_terminal() {
        assert!(instance.inbox.is_empty() && instance.timers.is_empty());
    }
}

/// SYS-9: the clock runs forwards from turn to turn, and no timer is seen before it is due.
fn clock_of_the_orchestrator(history: &[HistoryEvent]) {
    let mut clock = None;
    for event in history {
        let at = time(event.timestamp);
        match event.event_type.as_ref().expect("has a type") {
            EventType::OrchestratorStarted(_) => {
                assert!(clock < Some(at), "{clock:?} then {at}");
                clock = Some(at);
            }
            EventType::TimerFired(fired) => {
                assert!(time(fired.fire_at) <= at, "fired early");
                assert!(Some(time(fired.fire_at)) <= clock, "seen early");
            }
            _ => {}
        }
    }
}

/// SYS-4 and one half of SYS-3: each result in a history has its own earlier cause in the same history.
fn results_were_scheduled(history: &[HistoryEvent]) {
    let mut open: BTreeMap<(&str, i32), u32> = BTreeMap::new();
    for event in history {
        let (kind, id) = match event.event_type.as_ref().expect("has a type") {
            EventType::TaskScheduled(_) => ("task", event.event_id),
            EventType::TimerCreated(_) => ("timer", event.event_id),
            EventType::SubOrchestrationInstanceCreated(_) => ("child", event.event_id),
            EventType::TaskCompleted(it) => ("task", it.task_scheduled_id),
            EventType::TaskFailed(it) => ("task", it.task_scheduled_id),
            EventType::TimerFired(it) => ("timer", it.timer_id),
            EventType::SubOrchestrationInstanceCompleted(it) => ("child", it.task_scheduled_id),
            EventType::SubOrchestrationInstanceFailed(it) => ("child", it.task_scheduled_id),
            _ => continue,
        };
        let count = open.entry((kind, id)).or_default();
        if event.event_id >= 0 {
            *count += 1;
        } else {
            *count = count
                .checked_sub(1)
                .unwrap_or_else(|| panic!("{event:?} without a cause"));
        }
    }
}

/// SYS-5, first half: what was committed stays, in its place.
fn history_only_grows(
    before: &MemTables,
    after: &MemTables,
    key: &InstanceKey,
    old: &Instance,
    new: &Instance,
) {
    if old.execution == new.execution {
        let (old, new) = (framed(before, key), framed(after, key));
        assert!(new.starts_with(&old), "{key:?}: committed history changed");
    }
}

/// SYS-5, second half: a committed turn adds OrchestratorStarted, the front of the inbox, and its facts.
fn episode_is_a_prefix_of_the_inbox(
    before: &MemTables,
    after: &MemTables,
    key: &InstanceKey,
    old: &Instance,
    new: &Instance,
    command: &Command,
) {
    let Command::CompleteTurn(turn) = command else {
        return;
    };
    if turn.key != *key || old.execution != new.execution {
        return;
    }
    let added = framed(after, key).split_off(framed(before, key).len());
    let added = decode_framed(added.into());
    let consumed = turn.consumed as usize;
    assert_eq!(added.len(), 1 + consumed + turn.fact_count as usize);
    assert_eq!(kind_name(&added[0]), "OrchestratorStarted");
    assert_eq!(time(added[0].timestamp), turn.started_at);
    for (event, message) in added[1..].iter().zip(old.inbox.iter().take(consumed)) {
        assert_eq!(*event, crate::support::decode(&message.event));
    }
    let facts = decode_framed(turn.facts.clone());
    assert_eq!(added[1 + consumed..], facts);
    let rest: Vec<_> = old.inbox.iter().skip(consumed).collect();
    if !new.status.is_terminal() {
        let kept: Vec<_> = new.inbox.iter().take(rest.len()).collect();
        assert_eq!(kept, rest, "what was not consumed stays in front");
    }
}

/// The history as events.
pub(crate) fn history(tables: &MemTables, key: &InstanceKey) -> Vec<HistoryEvent> {
    decode_framed(framed(tables, key).into())
}

fn framed(tables: &MemTables, key: &InstanceKey) -> Vec<u8> {
    let runs: Vec<Bytes> = committed_history(&mut tables.clone(), key)
        .expect("memory does not fail")
        .expect("exists");
    runs.concat()
}

fn time(at: Option<prost_types::Timestamp>) -> Timestamp {
    let at = at.expect("every event has its times");
    Timestamp {
        seconds: at.seconds,
        nanos: u32::try_from(at.nanos).expect("counted forwards"),
    }
}
