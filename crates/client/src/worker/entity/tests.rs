//! Batches and what comes of them.

use longhaul_proto::sidecar::{
    EntityOperationCalledEvent, EntityOperationSignaledEvent, TimerFiredEvent,
};

use super::*;

fn event(event_type: EventType) -> HistoryEvent {
    HistoryEvent {
        event_id: -1,
        timestamp: None,
        event_type: Some(event_type),
    }
}

fn signal(operation: &str) -> HistoryEvent {
    event(EventType::EntityOperationSignaled(
        EntityOperationSignaledEvent {
            request_id: format!("signal {operation}"),
            operation: operation.to_owned(),
            input: Some(".".to_owned()),
            ..Default::default()
        },
    ))
}

fn call(operation: &str) -> HistoryEvent {
    event(EventType::EntityOperationCalled(
        EntityOperationCalledEvent {
            request_id: format!("call {operation}"),
            operation: operation.to_owned(),
            input: Some("!".to_owned()),
            parent_instance_id: Some("caller".to_owned()),
            parent_execution_id: Some("first".to_owned()),
            ..Default::default()
        },
    ))
}

/// Writes down what happens to it.
fn diary(state: Option<&str>, operation: &Operation<'_>) -> Result<Operated, TaskFailureDetails> {
    let written = format!(
        "{}{}{}",
        state.unwrap_or_default(),
        operation.name,
        operation.input.unwrap_or_default()
    );
    match operation.name {
        "fail" => Err(actions::failure("Torn", "no paper")),
        "panic" => panic!("broken"),
        "burn" => Ok(Operated::default()),
        _ => Ok(Operated {
            state: Some(written),
            result: state.map(str::to_owned),
        }),
    }
}

fn run(state: Option<&str>, operations: Vec<HistoryEvent>) -> Option<EntityBatchResult> {
    let request = EntityRequest {
        instance_id: "@diary@mine".to_owned(),
        execution_id: "any".to_owned(),
        entity_state: state.map(str::to_owned),
        operation_requests: operations,
    };
    run_batch(&diary, &request, "token".to_owned())
}

fn told(result: &OperationResult) -> &str {
    match result.result_type.as_ref() {
        Some(ResultType::Success(success)) => success.result.as_deref().unwrap_or("-"),
        Some(ResultType::Failure(failure)) => failure
            .failure_details
            .as_ref()
            .map_or("failed", |details| &details.error_type),
        None => "nothing",
    }
}

#[test]
fn operations_build_on_each_other_and_failures_leave_no_trace() {
    for (case, before, operations, results, after) in [
        ("nothing to do", Some("s"), vec![], vec![], Some("s")),
        (
            "the first makes the state",
            None,
            vec![signal("a"), call("b")],
            vec!["-", "a."],
            Some("a.b!"),
        ),
        (
            "failures and panics",
            Some("s"),
            vec![call("fail"), call("a"), signal("panic"), call("b")],
            vec!["Torn", "s", "Panic", "sa!"],
            Some("sa!b!"),
        ),
        (
            "deleted and made anew",
            Some("s"),
            vec![signal("burn"), call("a")],
            vec!["-", "-"],
            Some("a!"),
        ),
        (
            "deleted",
            Some("s"),
            vec![signal("a"), signal("burn")],
            vec!["s", "-"],
            None,
        ),
    ] {
        let batch = run(before, operations).expect("all are operations");
        let told: Vec<&str> = batch.results.iter().map(told).collect();
        assert_eq!(
            (told, batch.entity_state.as_deref()),
            (results, after),
            "{case}"
        );
        assert_eq!(batch.completion_token, "token", "{case}");
        assert_eq!(batch.failure_details, None, "{case}");
    }
}

#[test]
fn results_say_whose_they_are() {
    let batch = run(None, vec![signal("a"), call("b")]).expect("all are operations");
    let caller = OrchestrationInstance {
        instance_id: "caller".to_owned(),
        execution_id: Some("first".to_owned()),
    };
    let infos: Vec<_> = batch
        .operation_infos
        .iter()
        .map(|info| (info.request_id.as_str(), info.response_destination.clone()))
        .collect();
    assert_eq!(infos, [("signal a", None), ("call b", Some(caller))]);
}

#[test]
fn a_batch_with_anything_else_is_not_run() {
    let timer = event(EventType::TimerFired(TimerFiredEvent::default()));
    assert_eq!(run(None, vec![signal("a"), timer]), None);
}

#[test]
fn names_in_ids() {
    for (id, name) in [
        ("@counter@1", Some("counter")),
        ("@Counter@a@b", Some("counter")),
        ("@counter@", Some("counter")),
        ("@counter", None),
        ("counter@1", None),
        ("", None),
    ] {
        assert_eq!(name_of(id).as_deref(), name, "{id}");
    }
}
