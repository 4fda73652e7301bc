//! A full and a plain message for every call.

use std::collections::BTreeMap;

use longhaul_frontend::fuzzing::calls;
use longhaul_proto::sidecar::purge_instances_request::Request as Purge;
use longhaul_proto::sidecar::*;
use prost::Message;
use prost_types::Timestamp;

use super::Seed;
use super::commands::{answer, batch_result};

pub(super) fn seeds() -> Vec<Seed> {
    calls()
        .iter()
        .enumerate()
        .flat_map(|(number, name)| {
            let number = u8::try_from(number).expect("few");
            let messages = messages(name).into_iter().enumerate();
            messages.map(move |(nth, message)| {
                let input = [&[number][..], &message].concat();
                (format!("{name}-{nth}"), input)
            })
        })
        .collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn at(seconds: i64) -> Option<Timestamp> {
    let nanos = 500_000_000;
    Some(Timestamp { seconds, nanos })
}

fn tags() -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), "billing".to_owned())])
}

fn trace() -> Option<TraceContext> {
    Some(TraceContext {
        trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        trace_state: text("a=b"),
        ..Default::default()
    })
}

fn ids() -> Option<InstanceBatch> {
    Some(InstanceBatch {
        instance_ids: vec!["order-1".into(), "@counter@a".into(), "order-1".into()],
    })
}

fn encoded<const N: usize>(messages: [&dyn Encode; N]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| message.encoded()).collect()
}

trait Encode {
    fn encoded(&self) -> Vec<u8>;
}

impl<M: Message> Encode for M {
    fn encoded(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

fn messages(call: &str) -> Vec<Vec<u8>> {
    let id = || "order-1".to_owned();
    let entity = || "@Counter@a".to_owned();
    let token = || "AAAA-token_".to_owned();
    match call {
        "Hello" => vec![Vec::new()],
        "StartInstance" => encoded([
            &start("", "Order"),
            &CreateInstanceRequest {
                version: text("1.2"),
                input: text("{}"),
                scheduled_start_timestamp: at(1_700_000_100),
                orchestration_id_reuse_policy: Some(OrchestrationIdReusePolicy {
                    replaceable_status: vec![1, 3],
                }),
                execution_id: text("e1"),
                tags: tags(),
                parent_trace_context: trace(),
                request_time: at(1_700_000_000),
                ..start("order-1", "Order")
            },
        ]),
        "GetInstance" | "WaitForInstanceStart" | "WaitForInstanceCompletion" => {
            encoded([&GetInstanceRequest {
                instance_id: id(),
                get_inputs_and_outputs: true,
            }])
        }
        "RaiseEvent" => encoded([&RaiseEventRequest {
            instance_id: id(),
            name: "Paid".into(),
            input: text("17"),
        }]),
        "TerminateInstance" => encoded([&TerminateRequest {
            instance_id: id(),
            output: text("enough"),
            recursive: true,
        }]),
        "SuspendInstance" => encoded([&SuspendRequest {
            instance_id: id(),
            reason: text("lunch"),
        }]),
        "ResumeInstance" => encoded([&ResumeRequest {
            instance_id: id(),
            reason: text("back"),
        }]),
        "RestartInstance" => encoded([&RestartInstanceRequest {
            instance_id: id(),
            restart_with_new_instance_id: true,
        }]),
        "RewindInstance" => encoded([&RewindInstanceRequest {
            instance_id: id(),
            reason: text("fixed"),
        }]),
        "QueryInstances" => encoded([
            &QueryInstancesRequest { query: None },
            &QueryInstancesRequest {
                query: Some(InstanceQuery {
                    runtime_status: vec![0, 1],
                    created_time_from: at(1_600_000_000),
                    created_time_to: at(1_800_000_000),
                    task_hub_names: vec!["Default".into()],
                    max_instance_count: 10,
                    continuation_token: text("AAAA"),
                    instance_id_prefix: text("order-"),
                    fetch_inputs_and_outputs: true,
                }),
            },
        ]),
        "ListInstanceIds" => encoded([&ListInstanceIdsRequest {
            runtime_status: vec![1],
            completed_time_from: at(1_600_000_000),
            completed_time_to: at(1_800_000_000),
            page_size: 100,
            last_instance_key: text("AAAA"),
        }]),
        "PurgeInstances" => encoded([
            &purge(Purge::InstanceId(id())),
            &purge(Purge::InstanceBatch(ids().expect("some"))),
            &purge(Purge::PurgeInstanceFilter(PurgeInstanceFilter {
                created_time_from: at(1_600_000_000),
                created_time_to: at(1_800_000_000),
                runtime_status: vec![1],
                timeout: Some(prost_types::Duration {
                    seconds: 30,
                    nanos: 1,
                }),
            })),
        ]),
        "StreamInstanceHistory" => encoded([&StreamInstanceHistoryRequest {
            instance_id: id(),
            execution_id: text("e1"),
            for_work_item_processing: true,
        }]),
        "SkipGracefulOrchestrationTerminations" => {
            encoded([&SkipGracefulOrchestrationTerminationsRequest {
                instance_batch: ids(),
                reason: text("gone"),
            }])
        }
        "GetWorkItems" => encoded([&GetWorkItemsRequest {
            max_concurrent_orchestration_work_items: 10,
            max_concurrent_activity_work_items: 20,
            max_concurrent_entity_work_items: 30,
            capabilities: vec![1],
            work_item_filters: Some(WorkItemFilters {
                orchestrations: vec![OrchestrationFilter {
                    name: "Order".into(),
                    versions: vec!["1".into()],
                }],
                activities: vec![ActivityFilter {
                    name: "Pay".into(),
                    versions: vec!["1".into(), "2".into()],
                }],
                entities: vec![EntityFilter {
                    name: "Counter".into(),
                }],
            }),
        }]),
        "CompleteActivityTask" => encoded([
            &ActivityResponse {
                instance_id: id(),
                task_id: 1,
                result: text("done"),
                completion_token: token(),
                ..Default::default()
            },
            &ActivityResponse {
                instance_id: id(),
                task_id: 1,
                failure_details: failure(),
                ..Default::default()
            },
        ]),
        "CompleteOrchestratorTask" => encoded([
            &OrchestratorResponse {
                instance_id: id(),
                ..Default::default()
            },
            &OrchestratorResponse {
                completion_token: token(),
                custom_status: text("half way"),
                num_events_processed: Some(2),
                orchestration_trace_context: Some(OrchestrationTraceContext {
                    span_id: text("b7ad6b7169203331"),
                    span_start_time: at(1_700_000_000),
                }),
                ..answer(super::commands::every_action())
            },
        ]),
        "CompleteEntityTask" => encoded([&EntityBatchResult {
            completion_token: token(),
            ..batch_result(3)
        }]),
        "AbandonTaskActivityWorkItem" => encoded([&AbandonActivityTaskRequest {
            completion_token: token(),
        }]),
        "AbandonTaskOrchestratorWorkItem" => encoded([&AbandonOrchestrationTaskRequest {
            completion_token: token(),
        }]),
        "AbandonTaskEntityWorkItem" => encoded([&AbandonEntityTaskRequest {
            completion_token: token(),
        }]),
        "SignalEntity" => encoded([&SignalEntityRequest {
            instance_id: entity(),
            name: "add".into(),
            input: text("1"),
            request_id: "r1".into(),
            scheduled_time: at(1_700_000_100),
            parent_trace_context: trace(),
            request_time: at(1_700_000_000),
        }]),
        "GetEntity" => encoded([&GetEntityRequest {
            instance_id: entity(),
            include_state: true,
        }]),
        "QueryEntities" => encoded([&QueryEntitiesRequest {
            query: Some(EntityQuery {
                instance_id_starts_with: text("@counter"),
                last_modified_from: at(1_600_000_000),
                last_modified_to: at(1_800_000_000),
                include_state: true,
                include_transient: true,
                page_size: Some(7),
                continuation_token: text("AAAA"),
            }),
        }]),
        "CleanEntityStorage" => encoded([&CleanEntityStorageRequest {
            continuation_token: text(""),
            remove_empty_entities: true,
            release_orphaned_locks: true,
        }]),
        "CreateTaskHub" => encoded([&CreateTaskHubRequest {
            recreate_if_exists: true,
        }]),
        "DeleteTaskHub" => encoded([&DeleteTaskHubRequest {}]),
        other => panic!("{other} has no seed"),
    }
}

pub(super) fn start(id: &str, name: &str) -> CreateInstanceRequest {
    CreateInstanceRequest {
        instance_id: id.into(),
        name: name.into(),
        ..Default::default()
    }
}

pub(super) fn failure() -> Option<TaskFailureDetails> {
    Some(TaskFailureDetails {
        error_type: "Oops".into(),
        error_message: "no luck".into(),
        stack_trace: text("at the end"),
        inner_failure: Some(Box::default()),
        is_non_retriable: true,
        ..Default::default()
    })
}

fn purge(request: Purge) -> PurgeInstancesRequest {
    PurgeInstancesRequest {
        request: Some(request),
        recursive: true,
        is_orchestration: false,
    }
}
