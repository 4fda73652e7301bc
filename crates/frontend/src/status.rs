//! The one mapping of refusals, failures and faults to gRPC status.
//!
//! | what | status | the SDKs |
//! |---|---|---|
//! | bad request | as [`crate::refusals`] has it | show the text to the caller |
//! | certainly no effect | UNAVAILABLE | call again by themselves |
//! | outcome unknown | UNKNOWN, or UNAVAILABLE where calling again is harmless | hand UNKNOWN to the caller |
//! | storage broken | INTERNAL | |
//!
//! OUT_OF_RANGE and other INTERNAL answers come from the transport only: see [`crate::transport_refusals`].

use std::time::Duration;

use longhaul_engine::{Reply, Status as InstanceStatus};
use longhaul_routing::{ProposeError, ReadError};
use longhaul_types::InstanceId;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::hubs::UnknownHub;
use crate::refusals::Refusal;
use crate::refusals::rows::{
    HUB_EXISTS, ORCHESTRATION_ID, PENDING, RESTART_STATE, REWIND_STATE, START_ID, START_REUSE,
};
use crate::refusals::rules::{
    HUB_UNKNOWN, ID_TAKEN, NO_INSTANCE, NOT_ENDED, NOT_FAILED, REUSE_CONTRADICTORY,
};
use crate::work_item::MalformedEvent;

/// Every INTERNAL answer of ours begins with this.
pub(crate) const FAULT_PREFIX: &str = "internal fault: ";

/// How long a caller that was turned away for load should keep quiet. Source: gRFC A6, retry pushback.
const OVERLOAD_PUSHBACK: Duration = Duration::from_millis(200);

/// Whether the same call may be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The second one has no further effect.
    Harmless,
    /// Its effect would come twice.
    Doubles,
}

/// What a committed command of a client answers.
pub(crate) fn of_reply(reply: Reply, id: &InstanceId) -> Result<(), Status> {
    match reply {
        Reply::Done => Ok(()),
        Reply::NotFound => Err(no_instance(id).into()),
        Reply::AlreadyExists(status) => {
            let found = format_args!("'{id}' and is {}", name_of(status));
            Err(START_ID.refuse(&ID_TAKEN, found).into())
        }
        Reply::ContradictoryReuse => Err(START_REUSE.refuse(&REUSE_CONTRADICTORY, "").into()),
        Reply::NotEnded(status) => Err(RESTART_STATE.refuse(&NOT_ENDED, name_of(status)).into()),
        Reply::NotFailed(status) => Err(REWIND_STATE.refuse(&NOT_FAILED, name_of(status)).into()),
        Reply::Stale | Reply::Refused | Reply::Purged { .. } | Reply::Received { .. } => {
            Err(fault("a client's command was answered as another one"))
        }
    }
}

/// What a command without an outcome answers.
pub(crate) fn of_propose_error(error: &ProposeError, repeat: Repeat) -> Status {
    match (error, repeat) {
        (ProposeError::NotApplied(why), _) => {
            Status::unavailable(format!("nothing was changed, try again: {why}"))
        }
        (ProposeError::Overloaded, _) => overloaded(),
        (ProposeError::Full { pending, max }, _) => PENDING.full(*pending, *max).into(),
        (ProposeError::Unknown(why), Repeat::Harmless) => {
            Status::unavailable(format!("the outcome is unknown, try again: {why}"))
        }
        (ProposeError::Unknown(why), Repeat::Doubles) => Status::unknown(format!(
            "the outcome is unknown: {why}; look whether it took effect before trying again"
        )),
    }
}

fn overloaded() -> Status {
    let mut status =
        Status::unavailable("nothing was changed: too much work is waiting, try again in a moment");
    status.metadata_mut().insert(
        "grpc-retry-pushback-ms",
        MetadataValue::from(OVERLOAD_PUSHBACK.as_millis() as u64),
    );
    status
}

/// What a read without an answer answers.
pub(crate) fn of_read_error(error: &ReadError) -> Status {
    match error {
        ReadError::Unavailable(why) => Status::unavailable(format!("try again: {why}")),
        ReadError::Fault(broken) => fault(broken),
    }
}

/// The server is stopping; workers and clients connect again elsewhere or later.
pub(crate) fn draining() -> Status {
    Status::unavailable("the server is shutting down: connect again")
}

/// No instance has the id.
pub(crate) fn no_instance(id: &InstanceId) -> Refusal {
    ORCHESTRATION_ID.refuse(&NO_INSTANCE, id)
}

/// Something is broken here.
pub(crate) fn fault(what: impl std::fmt::Display) -> Status {
    Status::internal(format!("{FAULT_PREFIX}{what}"))
}

impl From<UnknownHub> for Status {
    fn from(UnknownHub { name }: UnknownHub) -> Self {
        HUB_EXISTS.refuse(&HUB_UNKNOWN, name).into()
    }
}

impl From<MalformedEvent> for Status {
    fn from(malformed: MalformedEvent) -> Self {
        fault(malformed)
    }
}

/// As people write it.
fn name_of(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Running => "running",
        InstanceStatus::Completed => "completed",
        InstanceStatus::Failed => "failed",
        InstanceStatus::Canceled => "canceled",
        InstanceStatus::Terminated => "terminated",
        InstanceStatus::Pending => "pending",
        InstanceStatus::Suspended => "suspended",
    }
}

/// The name of a code in metrics and logs.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use longhaul_types::HubName;

    use super::*;

    fn id() -> InstanceId {
        InstanceId::trusted("order-1")
    }

    #[test]
    fn every_reply_has_its_code_and_a_text_that_helps() {
        let cases = [
            (Reply::NotFound, Code::NotFound, "'order-1'"),
            (
                Reply::AlreadyExists(InstanceStatus::Suspended),
                Code::AlreadyExists,
                "orchestration instance already exists",
            ),
            (
                Reply::AlreadyExists(InstanceStatus::Pending),
                Code::AlreadyExists,
                "is pending",
            ),
            (
                Reply::ContradictoryReuse,
                Code::InvalidArgument,
                "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running \
                 instances",
            ),
            (
                Reply::NotEnded(InstanceStatus::Suspended),
                Code::FailedPrecondition,
                "is suspended, so it cannot be restarted",
            ),
            (
                Reply::NotFailed(InstanceStatus::Completed),
                Code::FailedPrecondition,
                "not allowed while the orchestration instance is completed",
            ),
            (Reply::Stale, Code::Internal, FAULT_PREFIX),
            (Reply::Refused, Code::Internal, FAULT_PREFIX),
            (Reply::Received { through: 1 }, Code::Internal, FAULT_PREFIX),
        ];
        assert!(of_reply(Reply::Done, &id()).is_ok());
        for (reply, code, text) in cases {
            let status = of_reply(reply.clone(), &id()).expect_err("no success");
            assert_eq!(status.code(), code, "{reply:?}");
            assert!(status.message().contains(text), "{status:?}");
        }
    }

    #[test]
    fn only_what_may_be_repeated_is_unavailable() {
        use ProposeError::{Full, NotApplied, Overloaded, Unknown};
        let full = || Full { pending: 7, max: 5 };
        let cases = [
            (
                NotApplied("stopping".into()),
                Repeat::Harmless,
                Code::Unavailable,
            ),
            (
                NotApplied("stopping".into()),
                Repeat::Doubles,
                Code::Unavailable,
            ),
            (Overloaded, Repeat::Harmless, Code::Unavailable),
            (full(), Repeat::Harmless, Code::ResourceExhausted),
            (full(), Repeat::Doubles, Code::ResourceExhausted),
            (Overloaded, Repeat::Doubles, Code::Unavailable),
            (
                Unknown("stopped".into()),
                Repeat::Harmless,
                Code::Unavailable,
            ),
            (Unknown("stopped".into()), Repeat::Doubles, Code::Unknown),
        ];
        for (error, repeat, code) in cases {
            let status = of_propose_error(&error, repeat);
            assert_eq!(status.code(), code, "{error:?} {repeat:?}");
            let unknown = status.message().contains("the outcome is unknown");
            assert_eq!(unknown, matches!(error, Unknown(_)), "{status:?}");
            let pushback = status.metadata().contains_key("grpc-retry-pushback-ms");
            assert_eq!(pushback, matches!(error, Overloaded), "{status:?}");
        }
    }

    #[test]
    fn a_full_instance_says_what_to_do() {
        let full = ProposeError::Full { pending: 7, max: 5 };
        let status = of_propose_error(&full, Repeat::Doubles);
        for part in [
            "nothing was changed",
            "7 events or operations",
            "at most 5",
            "raise limits.pending_events",
        ] {
            assert!(status.message().contains(part), "{part:?} in {status:?}");
        }
    }

    #[test]
    fn a_read_is_tried_again_unless_storage_is_broken() {
        let unavailable = of_read_error(&ReadError::Unavailable("no leader".into()));
        assert_eq!(unavailable.code(), Code::Unavailable);
    }

    #[test]
    fn an_unknown_hub_says_what_to_do() {
        let name = HubName::parse("Orders").expect("valid");
        let status = Status::from(UnknownHub { name });
        assert_eq!(status.code(), Code::NotFound);
        assert!(
            status.message().starts_with("Task hub not found: Orders"),
            "{status:?}"
        );
        for fix in [
            "TaskHub=...",
            "hubs.create",
            "--hub Orders",
            "DTS_TASK_HUB_NAMES",
            "hubs.dynamic",
            "`longhaul dev`",
            "CreateTaskHub",
            "hubs.manage_over_rpc",
        ] {
            assert!(status.message().contains(fix), "{fix:?} in {status:?}");
        }
    }
}
