//! What only fuzz targets use from outside: messages of callers as far as the point where a partition would be asked,
//! without a server or a partition around them.

use bytes::Bytes;
use longhaul_engine::batch::BatchAnswer;
use longhaul_engine::command::PurgeTarget;
use longhaul_engine::query::{EndedFilter, EntityQuery, InstanceFilter};
use longhaul_engine::turn::Answer;
use longhaul_engine::{Command, InstanceKey};
use longhaul_partition::{ActivityResult, SessionSpec};
use longhaul_proto::sidecar::*;
use longhaul_types::{ExecutionId, HubId, HubName, Timestamp};
use prost::Message;
use tonic::Status;

use crate::from_proto::{self, NewInstance, Purge, Signal, Skip};
use crate::history_chunks::HistoryChunks;
use crate::limits::Limits;
use crate::paging::{Key, Listing};
use crate::refusals::Refusal;
use crate::refusals::rows::{
    ABANDON_TOKEN, ANSWER_ID, BATCH_TOKEN, ENTITY_ID, HISTORY_ID, INSTANCE_ID, ORCHESTRATION_ID,
};
use crate::rpc::Rpc;

/// Work items out on a stream that leaves the number to the server.
const WORK_ITEMS_PER_STREAM: u32 = 100;

/// What a call is about besides its message.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The caller's task hub.
    pub hub: HubId,
    /// Its name.
    pub hub_name: HubName,
    /// The time.
    pub now: Timestamp,
    /// What messages may hold.
    pub limits: Limits,
    /// The cluster's key for tokens.
    pub key: Key,
    /// How many ids were given out.
    pub ids: u128,
}

/// What a call asks for.
#[derive(Debug)]
pub enum Asked {
    /// To be proposed, each to the home of its instance.
    Commands(Vec<Command>),
    /// A worker's answer to a turn.
    Turn(Answer),
    /// A worker's answer to an activity.
    Activity(ActivityResult),
    /// A worker's answer to a batch of operations.
    Batch(BatchAnswer),
    /// Work.
    Work(Box<SessionSpec>),
    /// A page of instances, with the token of the page after its last place, if it goes on from one.
    Instances(InstanceFilter, Option<String>),
    /// The same of ended ones.
    Ended(EndedFilter, Option<String>),
    /// The same of entities.
    Entities(EntityQuery, Option<String>),
    /// One instance or entity.
    Look(InstanceKey),
    /// Nothing more.
    Nothing,
}

/// The calls, by name.
#[must_use]
pub fn calls() -> Vec<&'static str> {
    Rpc::ALL.iter().map(|rpc| rpc.name()).collect()
}

/// Reads the message of the call that is number `call` of [`calls`].
///
/// # Errors
/// What the caller would be told.
///
/// # Panics
/// There is no such call.
pub fn read(call: usize, message: &[u8], around: &mut Surroundings) -> Result<Asked, Status> {
    match Rpc::ALL[call] {
        Rpc::Hello => decode(message).map(|()| Asked::Nothing),
        Rpc::CreateTaskHub => decode(message).map(|_: CreateTaskHubRequest| Asked::Nothing),
        Rpc::DeleteTaskHub => decode(message).map(|_: DeleteTaskHubRequest| Asked::Nothing),
        Rpc::CompleteActivityTask
        | Rpc::CompleteOrchestratorTask
        | Rpc::CompleteEntityTask
        | Rpc::AbandonTaskActivityWorkItem
        | Rpc::AbandonTaskOrchestratorWorkItem
        | Rpc::AbandonTaskEntityWorkItem
        | Rpc::GetWorkItems => of_worker(Rpc::ALL[call], message, around),
        Rpc::QueryInstances
        | Rpc::ListInstanceIds
        | Rpc::QueryEntities
        | Rpc::CleanEntityStorage => listing(Rpc::ALL[call], message, around),
        Rpc::GetInstance
        | Rpc::WaitForInstanceStart
        | Rpc::WaitForInstanceCompletion
        | Rpc::StreamInstanceHistory
        | Rpc::GetEntity => look(Rpc::ALL[call], message, around.hub),
        _ => command(Rpc::ALL[call], message, around),
    }
}

/// The messages in which framed runs of history are streamed.
///
/// # Errors
/// The history is damaged.
pub fn history_chunks(runs: Vec<Bytes>) -> Result<Vec<Bytes>, String> {
    let mut chunks = HistoryChunks::new(runs);
    let next = || chunks.next_chunk().transpose();
    std::iter::from_fn(next)
        .map(|chunk| chunk.map(|it| it.0).map_err(|error| error.to_string()))
        .collect()
}

fn decode<M: Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::invalid_argument(error.to_string()))
}

impl Surroundings {
    fn fresh(&mut self) -> ExecutionId {
        self.ids += 1;
        ExecutionId::from_random(self.ids.to_be_bytes())
    }
}

fn command(rpc: Rpc, message: &[u8], around: &mut Surroundings) -> Result<Asked, Status> {
    let (hub, now, limits) = (around.hub, around.now, around.limits.clone());
    let orchestration = |id: &str| ORCHESTRATION_ID.orchestration(hub, id);
    Ok(Asked::Commands(match rpc {
        Rpc::StartInstance => {
            let fresh = &mut || around.fresh();
            let NewInstance { create, .. } =
                from_proto::create_instance(decode(message)?, hub, now, &limits, fresh)?;
            vec![Command::CreateInstance(Box::new(create))]
        }
        Rpc::RaiseEvent => {
            let request: RaiseEventRequest = decode(message)?;
            let key = orchestration(&request.instance_id)?;
            vec![from_proto::raise_event(key, request, now, &limits)?]
        }
        Rpc::TerminateInstance => {
            let request: TerminateRequest = decode(message)?;
            let key = orchestration(&request.instance_id)?;
            vec![from_proto::terminate(key, request, &limits)?]
        }
        Rpc::SuspendInstance => {
            let request: SuspendRequest = decode(message)?;
            let key = orchestration(&request.instance_id)?;
            vec![from_proto::suspend(key, request, &limits)?]
        }
        Rpc::ResumeInstance => {
            let request: ResumeRequest = decode(message)?;
            let key = orchestration(&request.instance_id)?;
            vec![from_proto::resume(key, request, &limits)?]
        }
        Rpc::RestartInstance => {
            let request: RestartInstanceRequest = decode(message)?;
            let key = orchestration(&request.instance_id)?;
            let execution = around.fresh();
            vec![Command::Restart { key, execution }]
        }
        Rpc::RewindInstance => {
            let request: RewindInstanceRequest = decode(message)?;
            let key = orchestration(&request.instance_id)?;
            vec![Command::Rewind {
                key,
                execution: around.fresh(),
                reason: from_proto::rewind_reason(request, &limits)?,
            }]
        }
        Rpc::PurgeInstances => purged(from_proto::purge(decode(message)?, hub)?),
        Rpc::SkipGracefulOrchestrationTerminations => {
            let Skip { instances, reason } = from_proto::skip(decode(message)?, hub, &limits)?;
            let keys = instances.into_iter().filter_map(|(_, key)| key);
            let end = |key| Command::ForceTerminate {
                key,
                reason: reason.clone(),
            };
            keys.map(end).collect()
        }
        Rpc::SignalEntity => {
            around.ids += 1;
            let random = around.ids.to_be_bytes();
            let signal = from_proto::signal(decode(message)?, hub, now, &limits, || random)?;
            let Signal {
                key,
                request_id,
                operation: event,
                due,
            } = signal;
            vec![Command::SignalEntity {
                key,
                request_id,
                event,
                due,
            }]
        }
        other => unreachable!("{} is no command", other.name()),
    }))
}

fn purged(purge: Purge) -> Vec<Command> {
    let keys = match purge {
        Purge::One { key, .. } => Vec::from_iter(key),
        Purge::Batch(keys) => keys,
        Purge::Matching { .. } => Vec::new(),
    };
    let targets = keys.into_iter().map(|key| PurgeTarget {
        key,
        completed_at: None,
    });
    vec![Command::Purge {
        targets: targets.collect(),
    }]
}

fn of_worker(rpc: Rpc, message: &[u8], around: &Surroundings) -> Result<Asked, Status> {
    let limits = &around.limits;
    let without_token = |token: &str, id: &str| -> Result<(), Refusal> {
        if token.is_empty() {
            ANSWER_ID.orchestration(around.hub, id)?;
        }
        Ok(())
    };
    Ok(match rpc {
        Rpc::CompleteOrchestratorTask => {
            let response: OrchestratorResponse = decode(message)?;
            without_token(&response.completion_token, &response.instance_id)?;
            Asked::Turn(from_proto::answer(response, around.now, limits))
        }
        Rpc::CompleteActivityTask => {
            let response: ActivityResponse = decode(message)?;
            without_token(&response.completion_token, &response.instance_id)?;
            Asked::Activity(from_proto::activity_result(response, limits))
        }
        Rpc::CompleteEntityTask => {
            let result: EntityBatchResult = decode(message)?;
            BATCH_TOKEN.required(&result.completion_token)?;
            Asked::Batch(from_proto::batch_answer(result, limits))
        }
        Rpc::GetWorkItems => Asked::Work(Box::new(from_proto::session_spec(
            decode(message)?,
            around.hub,
            None,
            WORK_ITEMS_PER_STREAM,
            limits,
        )?)),
        Rpc::AbandonTaskActivityWorkItem => {
            let request: AbandonActivityTaskRequest = decode(message)?;
            ABANDON_TOKEN.required(&request.completion_token)?;
            Asked::Nothing
        }
        Rpc::AbandonTaskOrchestratorWorkItem => {
            let request: AbandonOrchestrationTaskRequest = decode(message)?;
            ABANDON_TOKEN.required(&request.completion_token)?;
            Asked::Nothing
        }
        _ => {
            let request: AbandonEntityTaskRequest = decode(message)?;
            ABANDON_TOKEN.required(&request.completion_token)?;
            Asked::Nothing
        }
    })
}

fn listing(rpc: Rpc, message: &[u8], around: &Surroundings) -> Result<Asked, Status> {
    let (hub, key) = (around.hub, &around.key);
    let token = |listing: Listing, after: Option<_>| after.map(|it| listing.token(&it, key));
    Ok(match rpc {
        Rpc::QueryInstances => {
            match from_proto::instance_query(decode(message)?, hub, &around.hub_name, key)? {
                Some(page) => Asked::Instances(page.filter, token(page.listing, page.after)),
                None => Asked::Nothing,
            }
        }
        Rpc::ListInstanceIds => {
            let page = from_proto::list_ids(decode(message)?, hub, key)?;
            Asked::Ended(page.filter, token(page.listing, page.after))
        }
        Rpc::QueryEntities => {
            let page = from_proto::entity_query(decode(message)?, hub, key)?;
            let next = page.after.map(|it| page.listing.token(&it, key));
            Asked::Entities(page.query, next)
        }
        _ => {
            from_proto::clean_entity_storage(&decode(message)?)?;
            Asked::Nothing
        }
    })
}

fn look(rpc: Rpc, message: &[u8], hub: HubId) -> Result<Asked, Status> {
    let key = match rpc {
        Rpc::StreamInstanceHistory => {
            let request: StreamInstanceHistoryRequest = decode(message)?;
            HISTORY_ID.instance(hub, &request.instance_id)?
        }
        Rpc::GetEntity => {
            let request: GetEntityRequest = decode(message)?;
            ENTITY_ID.entity(hub, &request.instance_id)?
        }
        _ => {
            let request: GetInstanceRequest = decode(message)?;
            INSTANCE_ID.instance(hub, &request.instance_id)?
        }
    };
    Ok(Asked::Look(key))
}
