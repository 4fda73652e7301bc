//! What must hold after every single command, whatever it was; numbered as in `docs/invariants.md`.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_engine::dispatch::committed_history;
use longhaul_engine::effects::Outcome;
use longhaul_engine::instance::Instance;
use longhaul_engine::mem::MemTables;
use longhaul_engine::{Command, InstanceKey, Reply, Status, invariants};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_types::Timestamp;

use crate::support::{decode, decode_framed, kind_name};

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
            rewinding_removes_failures_alone(before, key, old, instance, &history);
            episode_is_a_prefix_of_the_inbox(before, after, key, old, instance, command);
        }
    }
    assert_eq!(
        rows,
        after.history.len(),
        "every history row belongs to a current execution"
    );
}

/// SYS-2: an answer that is not wanted any more, or a request that is refused, leaves no trace but the time, and
/// what is forgotten with it.
fn refusal_changes_nothing(before: &MemTables, after: &MemTables, reply: &Reply) {
    let refused = match reply {
        Reply::Done | Reply::Received { .. } | Reply::Purged { .. } => false,
        Reply::NotFound
        | Reply::AlreadyExists(_)
        | Reply::ContradictoryReuse
        | Reply::Stale
        | Reply::NotEnded(_)
        | Reply::NotFailed(_)
        | Reply::Refused => true,
    };
    if refused {
        let mut before = before.clone();
        before.partition.clock = after.partition.clock;
        before.partition.requests.forget(after.partition.clock);
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
    let mut open: BTreeMap<(&str, String), u32> = BTreeMap::new();
    for event in history {
        let (kind, id) = match event.event_type.as_ref().expect("has a type") {
            EventType::TaskScheduled(_) => ("task", event.event_id.to_string()),
            EventType::TimerCreated(_) => ("timer", event.event_id.to_string()),
            EventType::SubOrchestrationInstanceCreated(_) => ("child", event.event_id.to_string()),
            EventType::EntityOperationCalled(it) => ("call", it.request_id.clone()),
            EventType::EntityLockRequested(it) => ("lock", it.critical_section_id.clone()),
            EventType::TaskCompleted(it) => ("task", it.task_scheduled_id.to_string()),
            EventType::TaskFailed(it) => ("task", it.task_scheduled_id.to_string()),
            EventType::TimerFired(it) => ("timer", it.timer_id.to_string()),
            EventType::SubOrchestrationInstanceCompleted(it) => {
                ("child", it.task_scheduled_id.to_string())
            }
            EventType::SubOrchestrationInstanceFailed(it) => {
                ("child", it.task_scheduled_id.to_string())
            }
            EventType::EntityOperationCompleted(it) => ("call", it.request_id.clone()),
            EventType::EntityOperationFailed(it) => ("call", it.request_id.clone()),
            EventType::EntityLockGranted(it) => ("lock", it.critical_section_id.clone()),
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

/// SYS-21: a rewound history is the old one without failures, what they were of, and the end with what it left; the same
/// things started it.
fn rewinding_removes_failures_alone(
    before: &MemTables,
    key: &InstanceKey,
    old: &Instance,
    new: &Instance,
    history: &[HistoryEvent],
) {
    let rewound = old.status == Status::Failed && new.rewound && new.turns == old.turns + 1;
    if !rewound {
        return;
    }
    let old_history = self::history(before, key);
    let count = |events: &[HistoryEvent], kind: &str| {
        let of_kind = events.iter().filter(|event| kind_name(event) == kind);
        of_kind.count()
    };
    let failed = count(&old_history, "TaskFailed");
    let mut turns = old_history.rsplit(|event| kind_name(event) == "OrchestratorStarted");
    let left = count(
        turns.next().expect("it failed in a turn"),
        "EntityUnlockSent",
    );
    let gone = [
        ("TaskFailed", failed),
        ("TaskScheduled", failed),
        (
            "SubOrchestrationInstanceFailed",
            count(&old_history, "SubOrchestrationInstanceFailed"),
        ),
        ("ExecutionCompleted", 1),
        ("EntityUnlockSent", left),
    ];
    for (kind, removed) in gone {
        let kept = count(history, kind);
        assert_eq!(kept + removed, count(&old_history, kind), "{key:?}: {kind}");
    }
    let is_kept = |event: &&HistoryEvent| {
        let kind = kind_name(event);
        gone.iter().all(|(it, _)| *it != kind) && kind != "ExecutionStarted"
    };
    let (last, kept) = history.split_last().expect("not empty");
    assert_eq!(kind_name(last), "ExecutionRewound");
    let (kept, old_kept) = (
        kept.iter().filter(is_kept),
        old_history.iter().filter(is_kept),
    );
    assert!(kept.eq(old_kept), "{key:?}: more than failures was removed");
    assert_eq!(new.execution.as_str(), started_as(history), "{key:?}");
    assert!(new.created_at == old.created_at && new.input == old.input && new.tags == old.tags);
}

fn started_as(history: &[HistoryEvent]) -> &str {
    let mut ids = history.iter().filter_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(it)) => it.orchestration_instance.as_ref(),
        _ => None,
    });
    let id = ids.next().expect("a history begins with its start");
    id.execution_id.as_deref().expect("has an execution")
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
    let (consumed, rest) = (turn.consumed as usize, old.inbox.iter());
    let rest: Vec<_> = rest.skip(consumed).collect();
    let consumed = old.inbox.iter().take(consumed);
    let consumed: Vec<HistoryEvent> = consumed.map(|message| decode(&message.event)).collect();
    assert_eq!(kind_name(&added[0]), "OrchestratorStarted");
    assert_eq!(time(added[0].timestamp), turn.started_at);
    let (seen, facts) = added[1..].split_at(consumed.len());
    assert_eq!(seen, consumed);
    assert_eq!(facts, decode_framed(turn.facts.clone()));
    assert_eq!(facts.len(), turn.fact_count as usize);
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
