//! Answers to batches, part by part.

use longhaul_proto::sidecar::{
    OperationResult as WireResult, OperationResultFailure, OperationResultSuccess,
    SendSignalAction, StartNewOrchestrationAction, TaskFailureDetails, TraceContext,
};
use longhaul_types::Timestamp;

use super::*;

fn answer(result: EntityBatchResult) -> BatchAnswer {
    batch_answer(result, &Limits::of_payload(8))
}

fn success(result: Option<&str>) -> WireResult {
    let success = OperationResultSuccess {
        result: result.map(str::to_owned),
        ..Default::default()
    };
    WireResult {
        result_type: Some(operation_result::ResultType::Success(success)),
    }
}

fn details(error_type: &str) -> TaskFailureDetails {
    TaskFailureDetails {
        error_type: error_type.into(),
        ..Default::default()
    }
}

fn failed(failure_details: Option<TaskFailureDetails>) -> WireResult {
    let failure = OperationResultFailure {
        failure_details,
        ..Default::default()
    };
    WireResult {
        result_type: Some(operation_result::ResultType::Failure(failure)),
    }
}

fn action(kind: OperationActionType) -> OperationAction {
    OperationAction {
        id: 7,
        operation_action_type: Some(kind),
    }
}

fn decoded(details: &Bytes) -> TaskFailureDetails {
    TaskFailureDetails::decode(details.as_ref()).expect("decodes")
}

fn debug(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

#[test]
fn results_keep_their_order_and_absent_and_empty_apart() {
    let got = answer(EntityBatchResult {
        results: vec![
            success(None),
            success(Some("")),
            failed(Some(details("Mine"))),
            failed(None),
        ],
        entity_state: Some(String::new()),
        ..Default::default()
    });
    let failures = [details("Mine"), TaskFailureDetails::default()]
        .map(|details| OperationResult::Failed(details.encode_to_vec().into()));
    let [mine, unexplained] = failures;
    let expected = [
        OperationResult::Completed(None),
        OperationResult::Completed(Some(Bytes::new())),
        mine,
        unexplained,
    ];
    assert_eq!(debug(&got.results), debug(&expected));
    assert_eq!(got.state.as_deref(), Some(&b""[..]));
    assert!(got.failure.is_none() && !got.requires_state);
    assert!(answer(EntityBatchResult::default()).state.is_none());
}

#[test]
fn a_worker_can_say_that_it_could_do_nothing() {
    let got = answer(EntityBatchResult {
        failure_details: Some(details("Broken")),
        requires_state: true,
        ..Default::default()
    });
    assert!(got.requires_state);
    assert_eq!(decoded(&got.failure.expect("given")).error_type, "Broken");
}

#[test]
fn actions_arrive_whole_and_in_order() {
    let at = Some(prost_types::Timestamp {
        seconds: 9,
        nanos: 1,
    });
    let trace = TraceContext {
        trace_parent: "00-1-2-01".into(),
        ..Default::default()
    };
    let signal = SendSignalAction {
        instance_id: "@e@k".into(),
        name: "Op".into(),
        input: Some("in".into()),
        scheduled_time: at,
        ..Default::default()
    };
    let start = StartNewOrchestrationAction {
        instance_id: "o".into(),
        name: "Order".into(),
        version: Some("2".into()),
        input: None,
        scheduled_time: at,
        parent_trace_context: Some(trace.clone()),
        ..Default::default()
    };
    let got = answer(EntityBatchResult {
        actions: vec![
            action(OperationActionType::StartNewOrchestration(start)),
            action(OperationActionType::SendSignal(signal)),
        ],
        ..Default::default()
    });
    let at = Some(Timestamp {
        seconds: 9,
        nanos: 1,
    });
    let expected = [
        EntityAction::Start {
            instance: "o".into(),
            name: "Order".into(),
            version: Some("2".into()),
            input: None,
            scheduled: at,
            trace: Some(trace.encode_to_vec().into()),
        },
        EntityAction::Signal {
            target: "@e@k".into(),
            operation: "Op".into(),
            input: Some("in".into()),
            scheduled: at,
        },
    ];
    assert_eq!(debug(&got.actions), debug(&expected));
}

#[test]
fn a_result_that_cannot_be_kept_fails_its_operation_alone() {
    let got = answer(EntityBatchResult {
        results: vec![
            success(Some("123456789")),
            WireResult { result_type: None },
            success(Some("12345678")),
        ],
        entity_state: Some("kept".into()),
        ..Default::default()
    });
    let [
        OperationResult::Failed(large),
        OperationResult::Failed(unknown),
        OperationResult::Completed(_),
    ] = &got.results[..]
    else {
        panic!("{got:?}")
    };
    let text = decoded(large).error_message;
    assert!(text.contains("result has 9 bytes"), "{text}");
    let text = decoded(unknown).error_message;
    assert!(text.contains("neither"), "{text}");
    assert_eq!(got.state.as_deref(), Some(&b"kept"[..]));
}

#[test]
fn whatever_else_cannot_be_kept_fails_the_batch() {
    let bad_time = Some(prost_types::Timestamp {
        seconds: 0,
        nanos: -1,
    });
    let large = || Some("123456789".to_owned());
    let signal = |input, scheduled_time| {
        action(OperationActionType::SendSignal(SendSignalAction {
            input,
            scheduled_time,
            ..Default::default()
        }))
    };
    let started = |start| action(OperationActionType::StartNewOrchestration(start));
    let start = |input, scheduled_time| {
        started(StartNewOrchestrationAction {
            input,
            scheduled_time,
            ..Default::default()
        })
    };
    let unknown = OperationAction {
        id: 7,
        operation_action_type: None,
    };
    let cases = [
        (vec![], large(), "entityState has 9 bytes"),
        (
            vec![signal(large(), None)],
            None,
            "sendSignal.input has 9 bytes",
        ),
        (
            vec![signal(None, bad_time)],
            None,
            "sendSignal.scheduledTime",
        ),
        (
            vec![start(large(), None)],
            None,
            "startNewOrchestration.input has 9 bytes",
        ),
        (
            vec![start(None, bad_time)],
            None,
            "startNewOrchestration.scheduledTime",
        ),
        (vec![signal(None, None), unknown], None, "action 7"),
        (
            vec![action(OperationActionType::SendSignal(SendSignalAction {
                name: "x".repeat(1025),
                ..Default::default()
            }))],
            None,
            "sendSignal.name has 1025 bytes",
        ),
        (
            vec![started(StartNewOrchestrationAction {
                name: "x".repeat(1025),
                ..Default::default()
            })],
            None,
            "startNewOrchestration.name has 1025 bytes",
        ),
        (
            vec![started(StartNewOrchestrationAction {
                version: Some("x".repeat(1025)),
                ..Default::default()
            })],
            None,
            "startNewOrchestration.version has 1025 bytes",
        ),
        (
            vec![signal(None, None); 10_001],
            None,
            "actions has 10001 entries, but at most 10000",
        ),
    ];
    for (actions, entity_state, expected) in cases {
        let got = answer(EntityBatchResult {
            results: vec![success(None)],
            actions,
            entity_state,
            ..Default::default()
        });
        assert!(got.results.is_empty() && got.actions.is_empty() && got.state.is_none());
        let text = decoded(&got.failure.expect("refused")).error_message;
        assert!(text.contains(expected), "{text}");
    }
}
