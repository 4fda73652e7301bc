//! What the spans of the server are made of, told to whoever listens; without a listener, nothing is computed.
//!
//! These are events and spans of `tracing`, at targets of their own and below every level that logs have by default. The
//! trace contexts in them are for links: what SDKs send each other passes through verbatim, and never through here.

use bytes::Bytes;
use longhaul_engine::InstanceKey;
use longhaul_engine::dispatch::Turn;
use longhaul_partition::Claimed;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::{HistoryEvent, OrchestrationTraceContext, TraceContext};
use prost::Message;
use prost_types::Timestamp;
use tracing::Level;

/// Target of the span around a call, which whoever serves the service makes.
pub const CALL: &str = "longhaul::spans::call";

/// Target of the event that tells, during a call, the trace context that its message carries, as `traceparent`.
pub const CALLER: &str = "longhaul::spans::caller";

/// Target of the event that tells of a work item on its way to a worker: what it is, when it was queued as
/// `queued_nanos` since 1970, and the trace context it belongs to as `traceparent`.
pub const DELIVERED: &str = "longhaul::spans::delivered";

/// The message of this call carries `context`.
pub(crate) fn caller(context: Option<&TraceContext>) {
    if let Some(context) = context {
        tracing::trace!(target: CALLER, traceparent = context.trace_parent.as_str());
    }
}

/// `claimed` is on its way to a worker.
pub(crate) fn delivered(claimed: &Claimed) {
    if !tracing::event_enabled!(target: DELIVERED, Level::TRACE) {
        return;
    }
    match claimed {
        Claimed::Turn { turn, .. } => tell(&Delivery {
            kind: "orchestration",
            name: &turn.context.name,
            key: &turn.context.key,
            task_id: None,
            queued: turn.new.first().and_then(time_of),
            traceparent: context_of_turn(turn),
        }),
        Claimed::Batch { batch, .. } => {
            let key = &batch.context.key;
            tell(&Delivery {
                kind: "entity",
                name: key.id.entity_name().unwrap_or_default(),
                key,
                task_id: None,
                queued: batch.events.first().and_then(time_of),
                // Operations have none.
                traceparent: None,
            });
        }
        Claimed::Activity { key, activity, .. } => tell(&Delivery {
            kind: "activity",
            name: &activity.name,
            key,
            task_id: Some(activity.task_id),
            queued: Some(activity.scheduled_at.as_nanos()),
            traceparent: scheduled_context(&activity.event),
        }),
        // Told where it was encoded.
        Claimed::Encoded(_) => {}
    }
}

struct Delivery<'a> {
    kind: &'static str,
    name: &'a str,
    key: &'a InstanceKey,
    task_id: Option<i32>,
    queued: Option<i128>,
    traceparent: Option<String>,
}

fn tell(delivery: &Delivery<'_>) {
    tracing::trace!(
        target: DELIVERED,
        traceparent = delivery.traceparent,
        queued_nanos = delivery.queued.and_then(|nanos| i64::try_from(nanos).ok()),
        "durabletask.type" = delivery.kind,
        durabletask.task.name = delivery.name,
        durabletask.task.instance_id = delivery.key.id.as_str(),
        durabletask.task.task_id = delivery.task_id,
        longhaul.task_hub_id = delivery.key.hub.0,
    );
}

fn scheduled_context(event: &Bytes) -> Option<String> {
    match HistoryEvent::decode(event.clone()).ok()?.event_type? {
        EventType::TaskScheduled(scheduled) => Some(scheduled.parent_trace_context?.trace_parent),
        _ => None,
    }
}

/// The span that the SDK keeps for the orchestration, in the trace of whoever started it; before there is one, the span
/// of the start.
fn context_of_turn(turn: &Turn) -> Option<String> {
    let parent = TraceContext::decode(turn.parent_trace.clone()?).ok()?;
    let parent = parent.trace_parent;
    let own = turn.trace.clone();
    let own = own.and_then(|trace| OrchestrationTraceContext::decode(trace).ok());
    match own.and_then(|own| own.span_id) {
        Some(span) if span.len() == 16 => with_span(&parent, &span),
        _ => Some(parent),
    }
}

/// `parent`, `version-trace-span-flags`, with another span.
fn with_span(parent: &str, span: &str) -> Option<String> {
    let (before, flags) = parent.rsplit_once('-')?;
    let (trace, _) = before.rsplit_once('-')?;
    Some(format!("{trace}-{span}-{flags}"))
}

/// When the event made work: when it came, or when it is for.
fn time_of(event: &Bytes) -> Option<i128> {
    let event = HistoryEvent::decode(event.clone()).ok()?;
    let nanos = |at: Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let scheduled = match event.event_type? {
        EventType::ExecutionStarted(started) => started.scheduled_start_timestamp,
        _ => None,
    };
    let came = event.timestamp.map(nanos);
    came.max(scheduled.map(nanos))
}

#[cfg(test)]
mod tests {
    use longhaul_engine::dispatch::{Past, TurnContext};
    use longhaul_proto::sidecar::{ExecutionStartedEvent, TaskScheduledEvent};
    use longhaul_types::{ExecutionId, HubId, InstanceId};

    use super::*;

    const START: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NOW: longhaul_types::Timestamp = longhaul_types::Timestamp {
        seconds: 5,
        nanos: 7,
    };

    fn context(traceparent: &str) -> TraceContext {
        TraceContext {
            trace_parent: traceparent.to_owned(),
            ..TraceContext::default()
        }
    }

    fn encoded(event_type: EventType) -> Bytes {
        let at = Timestamp {
            seconds: NOW.seconds,
            nanos: 7,
        };
        let event = HistoryEvent {
            event_id: -1,
            timestamp: Some(at),
            event_type: Some(event_type),
        };
        event.encode_to_vec().into()
    }

    fn started(traceparent: Option<&str>, scheduled: Option<i64>) -> Bytes {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        encoded(EventType::ExecutionStarted(ExecutionStartedEvent {
            parent_trace_context: traceparent.map(context),
            scheduled_start_timestamp: scheduled.map(at),
            ..ExecutionStartedEvent::default()
        }))
    }

    fn turn(parent: Option<&str>, span: Option<&str>) -> Turn {
        let trace = span.map(|span| OrchestrationTraceContext {
            span_id: Some(span.to_owned()),
            span_start_time: None,
        });
        Turn {
            context: TurnContext {
                key: InstanceKey::new(HubId(1), InstanceId::trusted("a")),
                execution: ExecutionId::new("e"),
                turn: 1,
                dispatched: 1,
                started_at: NOW,
                name: "Order".into(),
                version: None,
                tags: None,
                parent: None,
                history_bytes: 0,
                history_events: 0,
            },
            past: Past::Streamed,
            new: Vec::new(),
            trace: trace.map(|trace| trace.encode_to_vec().into()),
            parent_trace: parent.map(|parent| context(parent).encode_to_vec().into()),
        }
    }

    #[test]
    fn turn_belongs_to_the_span_of_its_orchestration_or_else_to_its_start() {
        let own = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        for (start, span, expected) in [
            (Some(START), Some("00f067aa0ba902b7"), Some(own)),
            (Some(START), Some("not a span"), Some(START)),
            (Some(START), None, Some(START)),
            (None, Some("00f067aa0ba902b7"), None),
            (Some("malformed"), Some("00f067aa0ba902b7"), None),
        ] {
            let turn = turn(start, span);
            assert_eq!(
                context_of_turn(&turn).as_deref(),
                expected,
                "{start:?} {span:?}"
            );
        }
        let damaged = Turn {
            parent_trace: Some(Bytes::from_static(b"x")),
            ..turn(None, None)
        };
        assert_eq!(context_of_turn(&damaged), None);
    }

    #[test]
    fn activity_belongs_to_what_its_orchestration_scheduled_it_with() {
        let scheduled = |context| {
            encoded(EventType::TaskScheduled(TaskScheduledEvent {
                parent_trace_context: context,
                ..TaskScheduledEvent::default()
            }))
        };
        let with = scheduled_context(&scheduled(Some(context(START))));
        assert_eq!(with.as_deref(), Some(START));
        assert_eq!(scheduled_context(&scheduled(None)), None);
        assert_eq!(scheduled_context(&started(Some(START), None)), None);
        assert_eq!(scheduled_context(&Bytes::from_static(b"x")), None);
    }

    #[test]
    fn work_is_queued_when_its_event_came_or_when_it_is_for() {
        assert_eq!(time_of(&started(None, None)), Some(5_000_000_007));
        assert_eq!(time_of(&started(None, Some(9))), Some(9_000_000_000));
        assert_eq!(time_of(&started(None, Some(1))), Some(5_000_000_007));
        assert_eq!(time_of(&Bytes::from_static(b"x")), None);
    }
}
