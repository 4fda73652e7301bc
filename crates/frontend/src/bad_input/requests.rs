//! A good request for every call, small and with something in every part that must be there.

use longhaul_proto::sidecar::purge_instances_request::Request as Purge;
use longhaul_proto::sidecar::*;
use prost::Message;

use super::world::{ENDED, LIVE, ended_query, entity_query, instance_query};
use crate::rpc::Rpc;

/// Encoded, and without effect when it is sent first to the world.
pub(super) fn good(rpc: Rpc) -> Vec<u8> {
    let live = || LIVE.to_owned();
    let ended = || ENDED.to_owned();
    let entity = || "@counter@a".to_owned();
    let stale = || "stale".to_owned();
    match rpc {
        Rpc::Hello => Vec::new(),
        Rpc::StartInstance => CreateInstanceRequest {
            name: "Order".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GetInstance => GetInstanceRequest {
            instance_id: live(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::WaitForInstanceStart | Rpc::WaitForInstanceCompletion => GetInstanceRequest {
            instance_id: ended(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::RaiseEvent => RaiseEventRequest {
            instance_id: live(),
            name: "Paid".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::TerminateInstance => TerminateRequest {
            instance_id: ended(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::SuspendInstance => SuspendRequest {
            instance_id: live(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::ResumeInstance => ResumeRequest {
            instance_id: live(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::RestartInstance => RestartInstanceRequest {
            instance_id: ended(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::RewindInstance => RewindInstanceRequest {
            instance_id: ended(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::QueryInstances => QueryInstancesRequest {
            query: Some(instance_query()),
        }
        .encode_to_vec(),
        Rpc::ListInstanceIds => ended_query().encode_to_vec(),
        Rpc::PurgeInstances => PurgeInstancesRequest {
            request: Some(Purge::InstanceId("missing".into())),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::StreamInstanceHistory => StreamInstanceHistoryRequest {
            instance_id: ended(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::SkipGracefulOrchestrationTerminations => {
            SkipGracefulOrchestrationTerminationsRequest {
                instance_batch: Some(InstanceBatch {
                    instance_ids: vec![ended()],
                }),
                reason: None,
            }
            .encode_to_vec()
        }
        Rpc::GetWorkItems => GetWorkItemsRequest {
            work_item_filters: Some(WorkItemFilters::default()),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::CompleteActivityTask => ActivityResponse {
            instance_id: live(),
            completion_token: stale(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::CompleteOrchestratorTask => OrchestratorResponse {
            instance_id: live(),
            completion_token: stale(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::CompleteEntityTask => EntityBatchResult {
            completion_token: stale(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::AbandonTaskActivityWorkItem => AbandonActivityTaskRequest {
            completion_token: stale(),
        }
        .encode_to_vec(),
        Rpc::AbandonTaskOrchestratorWorkItem => AbandonOrchestrationTaskRequest {
            completion_token: stale(),
        }
        .encode_to_vec(),
        Rpc::AbandonTaskEntityWorkItem => AbandonEntityTaskRequest {
            completion_token: stale(),
        }
        .encode_to_vec(),
        Rpc::SignalEntity => SignalEntityRequest {
            instance_id: entity(),
            name: "add".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GetEntity => GetEntityRequest {
            instance_id: entity(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::QueryEntities => QueryEntitiesRequest {
            query: Some(entity_query()),
        }
        .encode_to_vec(),
        Rpc::CleanEntityStorage => CleanEntityStorageRequest::default().encode_to_vec(),
        Rpc::CreateTaskHub => CreateTaskHubRequest::default().encode_to_vec(),
        Rpc::DeleteTaskHub => DeleteTaskHubRequest::default().encode_to_vec(),
    }
}
