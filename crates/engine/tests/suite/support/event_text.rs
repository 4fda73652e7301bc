//! A history event on one line: what transcripts show.

use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::{
    HistoryEvent, OrchestrationStatus, ParentInstanceInfo, TaskFailureDetails, TraceContext,
};
use longhaul_types::Timestamp;

use super::cluster::START;
use super::events::kind_name;

/// `Kind#id @time` and then what the event says; inbound events show no id.
pub(crate) fn event_text(event: &HistoryEvent) -> String {
    let mut line = Line(kind_name(event).to_owned());
    if event.event_id != -1 {
        line.0.push_str(&format!("#{}", event.event_id));
    }
    line.word(&wire_time(event.timestamp));
    match event.event_type.as_ref().expect("every event has a type") {
        EventType::ExecutionStarted(it) => {
            line.word(&it.name);
            line.field("version", it.version.as_deref());
            let id = it.orchestration_instance.as_ref().expect("has its own id");
            line.word(&id.instance_id);
            line.word(id.execution_id.as_deref().expect("has an execution"));
            line.field("input", it.input.as_deref());
            if let Some(start) = it.scheduled_start_timestamp {
                line.word(&format!("start={}", wire_time(Some(start))));
            }
            line.tags(&it.tags);
            line.trace(it.parent_trace_context.as_ref());
            line.parent(it.parent_instance.as_ref());
        }
        EventType::ExecutionCompleted(it) => {
            let status = OrchestrationStatus::try_from(it.orchestration_status).expect("known");
            let name = status.as_str_name();
            line.word(name.trim_start_matches("ORCHESTRATION_STATUS_"));
            line.field("result", it.result.as_deref());
            line.failure(it.failure_details.as_ref());
        }
        EventType::ExecutionTerminated(it) => {
            line.field("input", it.input.as_deref());
            if it.recurse {
                line.word("recurse");
            }
        }
        EventType::TaskScheduled(it) => {
            line.word(&quoted(&it.name));
            line.field("version", it.version.as_deref());
            line.field("input", it.input.as_deref());
            line.tags(&it.tags);
            line.trace(it.parent_trace_context.as_ref());
        }
        EventType::TaskCompleted(it) => {
            line.of(it.task_scheduled_id);
            line.field("result", it.result.as_deref());
        }
        EventType::TaskFailed(it) => {
            line.of(it.task_scheduled_id);
            line.failure(it.failure_details.as_ref());
        }
        EventType::SubOrchestrationInstanceCreated(it) => {
            line.word(&quoted(&it.name));
            line.field("version", it.version.as_deref());
            line.field("instance", Some(&it.instance_id));
            line.field("input", it.input.as_deref());
            line.tags(&it.tags);
            line.trace(it.parent_trace_context.as_ref());
        }
        EventType::SubOrchestrationInstanceCompleted(it) => {
            line.of(it.task_scheduled_id);
            line.field("result", it.result.as_deref());
        }
        EventType::SubOrchestrationInstanceFailed(it) => {
            line.of(it.task_scheduled_id);
            line.failure(it.failure_details.as_ref());
        }
        EventType::TimerCreated(it) => line.word(&format!("due={}", wire_time(it.fire_at))),
        EventType::TimerFired(it) => {
            line.of(it.timer_id);
            line.word(&format!("due={}", wire_time(it.fire_at)));
        }
        EventType::EventSent(it) => {
            line.field("to", Some(&it.instance_id));
            line.word(&it.name);
            line.field("input", it.input.as_deref());
        }
        EventType::EventRaised(it) => {
            line.word(&it.name);
            line.field("input", it.input.as_deref());
        }
        EventType::ExecutionSuspended(it) => line.field("reason", it.input.as_deref()),
        EventType::ExecutionResumed(it) => line.field("reason", it.input.as_deref()),
        EventType::ExecutionRewound(it) => line.field("reason", it.reason.as_deref()),
        EventType::EntityOperationSignaled(it) => {
            line.operation(&it.operation, &it.request_id, it.scheduled_time);
            line.field("input", it.input.as_deref());
            line.field("target", it.target_instance_id.as_deref());
        }
        EventType::EntityOperationCalled(it) => {
            line.operation(&it.operation, &it.request_id, it.scheduled_time);
            line.field("input", it.input.as_deref());
            line.field("target", it.target_instance_id.as_deref());
            line.field("parent", it.parent_instance_id.as_deref());
            line.field("execution", it.parent_execution_id.as_deref());
        }
        EventType::EntityOperationCompleted(it) => {
            line.field("request", Some(&it.request_id));
            line.field("output", it.output.as_deref());
        }
        EventType::EntityOperationFailed(it) => {
            line.field("request", Some(&it.request_id));
            line.failure(it.failure_details.as_ref());
        }
        EventType::EntityLockRequested(it) => {
            line.word(&it.critical_section_id);
            line.word(&format!("set={}", it.lock_set.join(",")));
            line.word(&format!("position={}", it.position));
            line.field("parent", it.parent_instance_id.as_deref());
        }
        EventType::EntityLockGranted(it) => line.word(&it.critical_section_id),
        EventType::EntityUnlockSent(it) => {
            line.word(&it.critical_section_id);
            line.field("target", it.target_instance_id.as_deref());
            line.field("parent", it.parent_instance_id.as_deref());
        }
        EventType::OrchestratorStarted(_) => {}
        other => panic!("the engine never writes {other:?}"),
    }
    line.0
}

/// Seconds since the test began: `@5`, `@0.000001`.
pub(crate) fn time_text(at: Timestamp) -> String {
    let nanos = at.as_nanos() - START.as_nanos();
    let (sign, nanos) = if nanos < 0 {
        ("-", -nanos)
    } else {
        ("", nanos)
    };
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let fraction = format!(".{rest:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("@{sign}{seconds}{fraction}")
}

/// A text as the line language writes it: in single quotes if it has spaces or is empty.
pub(crate) fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains(' ') {
        format!("'{text}'")
    } else {
        text.to_owned()
    }
}

/// `Type:'message'`, `!` if it is not worth a retry, and what caused it.
pub(crate) fn failure_text(details: &TaskFailureDetails) -> String {
    let last = if details.is_non_retriable { "!" } else { "" };
    let mut text = format!(
        "{}:{}{last}",
        details.error_type,
        quoted(&details.error_message)
    );
    if let Some(inner) = &details.inner_failure {
        text.push_str(&format!(" caused by {}", failure_text(inner)));
    }
    text
}

fn wire_time(at: Option<prost_types::Timestamp>) -> String {
    let at = at.expect("every event has its times");
    time_text(Timestamp {
        seconds: at.seconds,
        nanos: u32::try_from(at.nanos).expect("counted forwards"),
    })
}

struct Line(String);

impl Line {
    fn word(&mut self, word: &str) {
        self.0.push(' ');
        self.0.push_str(word);
    }

    fn of(&mut self, id: i32) {
        self.word(&format!("of=#{id}"));
    }

    fn field(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.word(&format!("{name}={}", quoted(value)));
        }
    }

    fn operation(&mut self, name: &str, request: &str, scheduled: Option<prost_types::Timestamp>) {
        self.word(&quoted(name));
        self.field("request", Some(request));
        if let Some(scheduled) = scheduled {
            self.word(&format!("due={}", wire_time(Some(scheduled))));
        }
    }

    fn failure(&mut self, details: Option<&TaskFailureDetails>) {
        if let Some(details) = details {
            self.word(&format!("failure={}", failure_text(details)));
        }
    }

    fn tags(&mut self, tags: &longhaul_engine::instance::Tags) {
        if !tags.is_empty() {
            let pairs: Vec<String> = tags
                .iter()
                .map(|(key, value)| format!("{key}:{value}"))
                .collect();
            self.word(&format!("tags={}", pairs.join(",")));
        }
    }

    fn trace(&mut self, trace: Option<&TraceContext>) {
        if let Some(trace) = trace {
            self.field("trace", Some(&trace.trace_parent));
        }
    }

    fn parent(&mut self, parent: Option<&ParentInstanceInfo>) {
        let Some(parent) = parent else { return };
        let id = parent
            .orchestration_instance
            .as_ref()
            .expect("SDKs read it unchecked");
        let name = parent.name.as_deref().unwrap_or_default();
        self.word(&format!(
            "parent={}/{}/{name}{}#{}",
            id.instance_id,
            id.execution_id.as_deref().unwrap_or_default(),
            parent
                .version
                .as_deref()
                .map(|it| format!(" v{it}"))
                .unwrap_or_default(),
            parent.task_scheduled_id,
        ));
    }
}
