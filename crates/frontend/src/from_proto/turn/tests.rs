//! Answers to turns, action by action.

use longhaul_engine::turn::OperationRequest;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::send_entity_message_action::EntityMessageType;
use longhaul_proto::sidecar::*;

use super::*;

const NOW: Timestamp = Timestamp {
    seconds: 77,
    nanos: 5,
};

fn respond(response: OrchestratorResponse) -> Answer {
    answer(response, NOW, &Limits::of_payload(8))
}

fn act(kind: OrchestratorActionType) -> Action {
    let action = OrchestratorAction {
        id: 4,
        orchestrator_action_type: Some(kind),
    };
    let mut answer = respond(OrchestratorResponse {
        actions: vec![action],
        ..Default::default()
    });
    let decided = answer.actions.pop().expect("one action");
    assert_eq!(decided.id, 4);
    decided.action
}

fn refusal(kind: OrchestratorActionType) -> String {
    match act(kind) {
        Action::Refused(reason) => reason,
        action => panic!("not refused: {action:?}"),
    }
}

fn complete(status: i32) -> CompleteOrchestrationAction {
    CompleteOrchestrationAction {
        orchestration_status: status,
        ..Default::default()
    }
}

fn entity_message(message: EntityMessageType) -> OrchestratorActionType {
    OrchestratorActionType::SendEntityMessage(SendEntityMessageAction {
        entity_message_type: Some(message),
    })
}

fn debug(action: &Action) -> String {
    format!("{action:?}")
}

#[test]
fn every_action_arrives_whole() {
    let trace = TraceContext {
        trace_parent: "00-1-2-01".into(),
        ..Default::default()
    };
    let trace_bytes: bytes::Bytes = trace.encode_to_vec().into();
    let tags: longhaul_engine::instance::Tags = [("k".to_owned(), "v".to_owned())].into();
    let text = |text: &str| Some(bytes::Bytes::from(text.to_owned()));
    let cases = [
        (
            OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
                name: "a".into(),
                version: Some("1".into()),
                input: Some("in".into()),
                tags: tags.clone(),
                parent_trace_context: Some(trace.clone()),
            }),
            Action::ScheduleTask {
                name: "a".into(),
                version: Some("1".into()),
                input: text("in"),
                tags: tags.clone(),
                trace: Some(trace_bytes.clone()),
            },
        ),
        (
            OrchestratorActionType::CreateTimer(CreateTimerAction {
                fire_at: Some(prost_types::Timestamp {
                    seconds: -9,
                    nanos: 1,
                }),
            }),
            Action::CreateTimer {
                fire_at: Timestamp {
                    seconds: -9,
                    nanos: 1,
                },
            },
        ),
        (
            OrchestratorActionType::CreateSubOrchestration(CreateSubOrchestrationAction {
                instance_id: "c".into(),
                name: "Child".into(),
                version: None,
                input: Some(String::new()),
                parent_trace_context: Some(trace),
                tags: tags.clone(),
            }),
            Action::CreateChild {
                instance: "c".into(),
                name: "Child".into(),
                version: None,
                input: text(""),
                tags,
                trace: Some(trace_bytes),
            },
        ),
        (
            OrchestratorActionType::SendEvent(SendEventAction {
                instance: Some(OrchestrationInstance {
                    instance_id: "o".into(),
                    execution_id: Some("ignored".into()),
                }),
                name: "Paid".into(),
                data: None,
            }),
            Action::SendEvent {
                instance: "o".into(),
                name: "Paid".into(),
                data: None,
            },
        ),
        (
            entity_message(EntityMessageType::EntityOperationSignaled(
                EntityOperationSignaledEvent {
                    request_id: "r".into(),
                    operation: "Op".into(),
                    scheduled_time: Some(prost_types::Timestamp {
                        seconds: 9,
                        nanos: 1,
                    }),
                    input: Some("in".into()),
                    target_instance_id: Some("@E@k".into()),
                },
            )),
            Action::EntityOperation(OperationRequest {
                call: false,
                target: "@E@k".into(),
                request_id: "r".into(),
                operation: "Op".into(),
                input: text("in"),
                scheduled: Some(Timestamp {
                    seconds: 9,
                    nanos: 1,
                }),
            }),
        ),
        (
            entity_message(EntityMessageType::EntityOperationCalled(
                EntityOperationCalledEvent {
                    request_id: "r".into(),
                    operation: "Op".into(),
                    scheduled_time: Some(prost_types::Timestamp::default()),
                    target_instance_id: Some("@E@k".into()),
                    parent_instance_id: Some("ignored".into()),
                    ..Default::default()
                },
            )),
            Action::EntityOperation(OperationRequest {
                call: true,
                target: "@E@k".into(),
                request_id: "r".into(),
                operation: "Op".into(),
                input: None,
                scheduled: Some(Timestamp::EPOCH),
            }),
        ),
        (
            entity_message(EntityMessageType::EntityLockRequested(
                EntityLockRequestedEvent {
                    critical_section_id: "s".into(),
                    lock_set: vec!["@B@k".into(), "@a@k".into()],
                    position: 0,
                    parent_instance_id: Some("o".into()),
                },
            )),
            Action::LockEntities {
                section: "s".into(),
                lock_set: vec!["@B@k".into(), "@a@k".into()],
                position: 0,
                parent: text("o"),
            },
        ),
        (
            entity_message(EntityMessageType::EntityUnlockSent(EntityUnlockSentEvent {
                critical_section_id: "s".into(),
                parent_instance_id: None,
                target_instance_id: Some("@a@k".into()),
            })),
            Action::UnlockEntity {
                section: "s".into(),
                parent: None,
                target: "@a@k".into(),
            },
        ),
        (
            OrchestratorActionType::TerminateOrchestration(TerminateOrchestrationAction {
                instance_id: "o".into(),
                reason: Some("why".into()),
                recurse: true,
            }),
            Action::Terminate {
                instance: "o".into(),
                reason: text("why"),
                recurse: true,
            },
        ),
    ];
    for (sent, expected) in cases {
        assert_eq!(debug(&act(sent)), debug(&expected));
    }
}

#[test]
fn only_a_terminal_status_or_a_new_generation_ends_an_execution() {
    for status in [
        Status::Completed,
        Status::Failed,
        Status::Canceled,
        Status::Terminated,
    ] {
        let details = TaskFailureDetails {
            error_type: "E".into(),
            ..Default::default()
        };
        let action = act(OrchestratorActionType::CompleteOrchestration(
            CompleteOrchestrationAction {
                result: Some("r".into()),
                details: Some("not kept".into()),
                failure_details: Some(details.clone()),
                ..complete(status.to_wire())
            },
        ));
        let expected = Action::Complete {
            status,
            result: Some("r".into()),
            failure: Some(details.encode_to_vec().into()),
        };
        assert_eq!(debug(&action), debug(&expected));
    }
    for status in [0, 6, 7, 8, -1] {
        let reason = refusal(OrchestratorActionType::CompleteOrchestration(complete(
            status,
        )));
        assert!(reason.contains(&format!("status {status}")), "{reason}");
    }
}

#[test]
fn carried_over_events_become_inbound_and_get_a_time() {
    let raised = |name: &str| {
        EventType::EventRaised(EventRaisedEvent {
            name: name.into(),
            input: Some("1".into()),
        })
    };
    let own_time = prost_types::Timestamp {
        seconds: 3,
        nanos: 0,
    };
    let event = |event_id, timestamp, event_type| HistoryEvent {
        event_id,
        timestamp,
        event_type,
    };
    let action = act(OrchestratorActionType::CompleteOrchestration(
        CompleteOrchestrationAction {
            result: Some("next".into()),
            new_version: Some("2".into()),
            carryover_events: vec![
                event(9, None, Some(raised("a"))),
                event(-1, Some(own_time), Some(raised("b"))),
                event(2, None, None),
            ],
            ..complete(2)
        },
    ));
    let Action::ContinueAsNew {
        input,
        version,
        carryover,
    } = action
    else {
        panic!("not continued as new: {action:?}")
    };
    assert_eq!(
        (input.as_deref(), version.as_deref()),
        (Some(&b"next"[..]), Some("2"))
    );
    let carryover: Vec<_> = carryover
        .into_iter()
        .map(|bytes| HistoryEvent::decode(bytes).expect("decodes"))
        .collect();
    let now = prost_types::Timestamp {
        seconds: 77,
        nanos: 5,
    };
    assert_eq!(
        carryover,
        [
            event(-1, Some(now), Some(raised("a"))),
            event(-1, Some(own_time), Some(raised("b")))
        ]
    );
}

#[test]
fn what_cannot_be_done_fails_the_orchestration_with_the_reason() {
    let long = || Some("123456789".to_owned());
    let to_entity = OrchestrationInstance {
        instance_id: "@e@k".into(),
        execution_id: None,
    };
    let timer = |seconds, nanos| CreateTimerAction {
        fire_at: Some(prost_types::Timestamp { seconds, nanos }),
    };
    let name = || "x".repeat(1025);
    let tags = |count| (0..count).map(|it: u32| (it.to_string(), String::new()));
    let cases = [
        (
            OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
                name: name(),
                ..Default::default()
            }),
            "scheduleTask.name has 1025 bytes",
        ),
        (
            OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
                version: Some(name()),
                ..Default::default()
            }),
            "scheduleTask.version has 1025 bytes",
        ),
        (
            OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
                tags: tags(65).collect(),
                ..Default::default()
            }),
            "scheduleTask.tags has 65 entries",
        ),
        (
            OrchestratorActionType::CreateSubOrchestration(CreateSubOrchestrationAction {
                name: name(),
                ..Default::default()
            }),
            "createSubOrchestration.name has 1025 bytes",
        ),
        (
            OrchestratorActionType::CreateSubOrchestration(CreateSubOrchestrationAction {
                version: Some(name()),
                ..Default::default()
            }),
            "createSubOrchestration.version has 1025 bytes",
        ),
        (
            OrchestratorActionType::CreateSubOrchestration(CreateSubOrchestrationAction {
                tags: [(name(), String::new())].into(),
                ..Default::default()
            }),
            "createSubOrchestration.tags has a key of 1025 bytes",
        ),
        (
            OrchestratorActionType::SendEvent(SendEventAction {
                name: name(),
                ..Default::default()
            }),
            "sendEvent.name has 1025 bytes",
        ),
        (
            OrchestratorActionType::CompleteOrchestration(CompleteOrchestrationAction {
                new_version: Some(name()),
                ..complete(2)
            }),
            "completeOrchestration.newVersion has 1025 bytes",
        ),
        (
            entity_message(EntityMessageType::EntityOperationSignaled(
                EntityOperationSignaledEvent {
                    operation: name(),
                    ..Default::default()
                },
            )),
            "entityOperationSignaled.operation has 1025 bytes",
        ),
        (
            entity_message(EntityMessageType::EntityOperationCalled(
                EntityOperationCalledEvent {
                    operation: name(),
                    ..Default::default()
                },
            )),
            "entityOperationCalled.operation has 1025 bytes",
        ),
        (
            OrchestratorActionType::SendEntityMessage(Default::default()),
            "sendEntityMessage",
        ),
        (
            entity_message(EntityMessageType::EntityOperationSignaled(
                EntityOperationSignaledEvent {
                    input: long(),
                    ..Default::default()
                },
            )),
            "input has 9 bytes",
        ),
        (
            entity_message(EntityMessageType::EntityOperationCalled(
                EntityOperationCalledEvent {
                    scheduled_time: Some(prost_types::Timestamp {
                        seconds: 0,
                        nanos: -1,
                    }),
                    ..Default::default()
                },
            )),
            "entityOperationCalled.scheduledTime",
        ),
        (
            entity_message(EntityMessageType::EntityLockRequested(
                EntityLockRequestedEvent {
                    lock_set: vec!["@a@k".into(), "order-1".into()],
                    ..Default::default()
                },
            )),
            "\"order-1\"",
        ),
        (
            OrchestratorActionType::RewindOrchestration(Default::default()),
            "rewindOrchestration",
        ),
        (
            OrchestratorActionType::CreateTimer(Default::default()),
            "fireAt",
        ),
        (
            OrchestratorActionType::CreateTimer(timer(0, 1_000_000_000)),
            "fireAt",
        ),
        (
            OrchestratorActionType::CreateTimer(timer(i64::MIN, 0)),
            "fireAt",
        ),
        (
            OrchestratorActionType::SendEvent(SendEventAction {
                instance: Some(to_entity),
                ..Default::default()
            }),
            "'@e@k'",
        ),
        (
            OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
                input: long(),
                ..Default::default()
            }),
            "input has 9 bytes",
        ),
        (
            OrchestratorActionType::CompleteOrchestration(CompleteOrchestrationAction {
                result: long(),
                ..complete(1)
            }),
            "result has 9 bytes",
        ),
    ];
    for (kind, expected) in cases {
        let reason = refusal(kind);
        assert!(
            reason.contains(expected),
            "{reason:?} should say {expected:?}"
        );
    }
}

#[test]
fn an_action_without_a_known_type_is_refused() {
    // Field 12 is no action this server knows.
    let action = OrchestratorAction::decode(&[8, 3, 0x62, 0][..]).expect("decodes");
    let answer = respond(OrchestratorResponse {
        actions: vec![action],
        ..Default::default()
    });
    assert!(matches!(
        &answer.actions[..],
        [Decided {
            id: 3,
            action: Action::Refused(_)
        }]
    ));
}

#[test]
fn the_count_of_events_counts_only_in_a_whole_answer_or_its_first_part() {
    #[expect(
        deprecated,
        reason = "the .NET and Java SDKs still send answers in parts"
    )]
    let count = |num_events_processed, chunk_index| {
        let response = OrchestratorResponse {
            num_events_processed,
            chunk_index,
            ..Default::default()
        };
        respond(response)
    };
    assert_eq!(count(None, None).events_processed, None);
    assert_eq!(count(Some(0), None).events_processed, Some(0));
    assert_eq!(count(Some(5), Some(0)).events_processed, Some(5));
    assert_eq!(count(Some(0), Some(1)).events_processed, None);
    let negative = count(Some(-1), None);
    assert_eq!(negative.events_processed, None);
    assert!(matches!(
        &negative.actions[..],
        [Decided {
            action: Action::Refused(_),
            ..
        }]
    ));
}

#[test]
fn custom_status_and_trace_are_taken_over_and_too_large_a_status_is_refused() {
    let trace = OrchestrationTraceContext {
        span_id: Some("s".into()),
        span_start_time: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 2,
        }),
    };
    let got = respond(OrchestratorResponse {
        custom_status: Some("\"\"".into()),
        orchestration_trace_context: Some(trace.clone()),
        ..Default::default()
    });
    assert_eq!(got.custom_status.as_deref(), Some(&b"\"\""[..]));
    assert_eq!(got.trace.as_deref(), Some(trace.encode_to_vec().as_slice()));
    let refused = respond(OrchestratorResponse {
        custom_status: Some("123456789".into()),
        ..Default::default()
    });
    assert!(refused.custom_status.is_none());
    assert!(matches!(
        &refused.actions[..],
        [Decided {
            action: Action::Refused(_),
            ..
        }]
    ));
}

#[test]
fn an_answer_that_does_too_much_is_refused_as_a_whole() {
    let limits = Limits {
        actions: 3,
        ..Limits::default()
    };
    let timers = |count| {
        let timer = || CreateTimerAction {
            fire_at: Some(Default::default()),
        };
        respond(OrchestratorResponse {
            actions: (0..count)
                .map(|id| OrchestratorAction {
                    id,
                    orchestrator_action_type: Some(OrchestratorActionType::CreateTimer(timer())),
                })
                .collect(),
            custom_status: Some("\"s\"".into()),
            ..Default::default()
        })
    };
    assert_eq!(whole(timers(3), &limits).actions.len(), 3);
    let refused_whole = whole(timers(4), &limits);
    assert_eq!(refused_whole.custom_status.as_deref(), Some(&b"\"s\""[..]));
    let [
        Decided {
            action: Action::Refused(reason),
            ..
        },
    ] = &refused_whole.actions[..]
    else {
        panic!("{refused_whole:?}")
    };
    assert!(
        reason.contains("actions has 4 entries") && reason.contains("limits.actions"),
        "{reason}"
    );
    let mut malformed = timers(4);
    malformed.actions.push(refused("malformed".to_owned()));
    assert_eq!(
        whole(malformed, &limits).actions.len(),
        5,
        "the first reason stays"
    );
}
