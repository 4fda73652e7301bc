//! StartInstance.

use longhaul_engine::InstanceKey;
use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::message::Creation;
use longhaul_proto::sidecar::{CreateInstanceRequest, OrchestrationIdReusePolicy, TraceContext};
use longhaul_types::{ExecutionId, HubId, InstanceId, Timestamp};
use prost::Message;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::limits::Limits;
use crate::refusals::Refusal;
use crate::refusals::rows::{
    START_AT, START_EXECUTION, START_ID, START_INPUT, START_NAME, START_REQUESTED, START_REUSE,
    START_TAGS, START_TRACE, START_VERSION,
};

/// A start as it is proposed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewInstance {
    /// What to create.
    pub(crate) create: CreateInstance,
    /// Whether the same request, sent again, is recognised as the same one.
    pub(crate) recognisable: bool,
}

/// `fresh` gives out ids that were never used.
pub(crate) fn create_instance(
    request: CreateInstanceRequest,
    hub: HubId,
    now: Timestamp,
    limits: &Limits,
    fresh: &mut dyn FnMut() -> ExecutionId,
) -> Result<NewInstance, Refusal> {
    let request_fingerprint = fingerprint(&request);
    let recognisable = !request.instance_id.is_empty() && request_fingerprint != 0;
    let key = if request.instance_id.is_empty() {
        InstanceKey::new(hub, InstanceId::trusted(fresh().as_str()))
    } else {
        START_ID.orchestration(hub, &request.instance_id)?
    };
    let execution = match request.execution_id.filter(|id| !id.is_empty()) {
        Some(id) => {
            START_EXECUTION.short(&id)?;
            ExecutionId::new(id)
        }
        None => fresh(),
    };
    let version = START_VERSION.version(request.version, limits)?;
    let scheduled_start = START_AT.timestamp_if_any(request.scheduled_start_timestamp)?;
    START_REQUESTED.timestamp_if_any(request.request_time)?;
    let tags = START_TAGS.tags(request.tags, limits)?;
    let creation = Creation {
        execution,
        name: START_NAME.name(request.name, limits)?.into(),
        version: version.map(Into::into),
        input: START_INPUT.payload(request.input, limits)?,
        // Source: the JavaScript SDK always sends the field, 1970 if the caller gave none.
        scheduled_start: scheduled_start.filter(|start| *start > now),
        tags: (!tags.is_empty()).then(|| tags.into()),
        parent: None,
        parent_trace: START_TRACE.trace(request.parent_trace_context)?,
        request_fingerprint,
    };
    let create = CreateInstance {
        key,
        creation,
        reuse: reuse_policy(request.orchestration_id_reuse_policy)?,
    };
    Ok(NewInstance {
        create,
        recognisable,
    })
}

/// A policy that is there but empty lets nothing be replaced.
fn reuse_policy(policy: Option<OrchestrationIdReusePolicy>) -> Result<ReusePolicy, Refusal> {
    let Some(policy) = policy else {
        return Ok(ReusePolicy::Default);
    };
    let mut replaceable = Vec::with_capacity(policy.replaceable_status.len().min(8));
    for number in policy.replaceable_status {
        match START_REUSE.status(number)? {
            Some(status) if !replaceable.contains(&status) => replaceable.push(status),
            Some(_) | None => {}
        }
    }
    Ok(ReusePolicy::Replace(replaceable))
}

/// Tells a repeated request from a new one; 0 if the request has neither a time nor an execution id and so cannot be
/// told. The execution id alone would be forgotten once the instance continues as new.
///
/// The instance id needs no part in it: fingerprints are compared for one id only. Every text is preceded by its
/// length, so that no two requests run into the same bytes.
fn fingerprint(request: &CreateInstanceRequest) -> u64 {
    let execution = request.execution_id.as_deref().filter(|id| !id.is_empty());
    let Some(at) = request.request_time else {
        return execution.map_or(0, |id| xxh3_64(id.as_bytes()).max(1));
    };
    let mut hash = Xxh3::new();
    let mut put = |bytes: Option<&[u8]>| {
        hash.update(
            &bytes
                .map_or(u64::MAX, |bytes| bytes.len() as u64)
                .to_le_bytes(),
        );
        hash.update(bytes.unwrap_or_default());
    };
    let time = |at: prost_types::Timestamp| {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&at.seconds.to_le_bytes());
        bytes[8..].copy_from_slice(&at.nanos.to_le_bytes());
        bytes
    };
    put(Some(&time(at)));
    put(Some(request.name.as_bytes()));
    put(request.version.as_deref().map(str::as_bytes));
    put(request.input.as_deref().map(str::as_bytes));
    put(request
        .scheduled_start_timestamp
        .map(time)
        .as_ref()
        .map(<[u8; 12]>::as_slice));
    let trace = request
        .parent_trace_context
        .as_ref()
        .map(TraceContext::encode_to_vec);
    put(trace.as_deref());
    for (key, value) in &request.tags {
        put(Some(key.as_bytes()));
        put(Some(value.as_bytes()));
    }
    hash.digest().max(1)
}

#[cfg(test)]
mod tests;
