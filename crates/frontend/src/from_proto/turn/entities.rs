//! What an orchestration asks of entities.

use longhaul_engine::turn::{Action, OperationRequest};
use longhaul_proto::sidecar::SendEntityMessageAction;
use longhaul_proto::sidecar::send_entity_message_action::EntityMessageType;
use longhaul_types::InstanceId;

use crate::limits::Limits;
use crate::refusals::Refusal;
use crate::refusals::rows::{
    CALL_AT, CALL_INPUT, CALL_NAME, ENTITY_MESSAGE, LOCK_SET, TURN_SIGNAL_AT, TURN_SIGNAL_INPUT,
    TURN_SIGNAL_NAME,
};
use crate::refusals::rules::{ID_NOT_ENTITY, MESSAGE_UNKNOWN};

/// Ids of operations' entities are left to the engine: a call of something that is no entity fails by itself.
pub(super) fn entity_message(
    message: SendEntityMessageAction,
    limits: &Limits,
) -> Result<Action, Refusal> {
    use EntityMessageType as Kind;
    Ok(match message.entity_message_type {
        Some(Kind::EntityOperationSignaled(signal)) => Action::EntityOperation(OperationRequest {
            call: false,
            target: signal.target_instance_id.unwrap_or_default(),
            request_id: signal.request_id,
            operation: TURN_SIGNAL_NAME.name_if_any(signal.operation, limits)?,
            input: TURN_SIGNAL_INPUT.payload(signal.input, limits)?,
            scheduled: TURN_SIGNAL_AT.timestamp_if_any(signal.scheduled_time)?,
        }),
        Some(Kind::EntityOperationCalled(call)) => Action::EntityOperation(OperationRequest {
            call: true,
            target: call.target_instance_id.unwrap_or_default(),
            request_id: call.request_id,
            operation: CALL_NAME.name_if_any(call.operation, limits)?,
            input: CALL_INPUT.payload(call.input, limits)?,
            scheduled: CALL_AT.timestamp_if_any(call.scheduled_time)?,
        }),
        Some(Kind::EntityLockRequested(lock)) => Action::LockEntities {
            section: lock.critical_section_id,
            lock_set: entities(lock.lock_set)?,
            position: lock.position,
            parent: lock.parent_instance_id.map(Into::into),
        },
        Some(Kind::EntityUnlockSent(unlock)) => Action::UnlockEntity {
            section: unlock.critical_section_id,
            parent: unlock.parent_instance_id.map(Into::into),
            target: unlock.target_instance_id.unwrap_or_default(),
        },
        None => return Err(ENTITY_MESSAGE.refuse(&MESSAGE_UNKNOWN, "")),
    })
}

/// A lock of something that is no entity would never be granted.
fn entities(lock_set: Vec<String>) -> Result<Vec<String>, Refusal> {
    match lock_set
        .iter()
        .find(|entity| InstanceId::parse_entity(entity).is_err())
    {
        Some(bad) => Err(LOCK_SET.refuse(&ID_NOT_ENTITY, format_args!("{bad:?}"))),
        None => Ok(lock_set),
    }
}
