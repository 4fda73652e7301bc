//! Calls of clients that steer an instance.

use longhaul_engine::history::event;
use longhaul_engine::{Command, InstanceKey};
use longhaul_proto::sidecar::{RaiseEventRequest, ResumeRequest, SuspendRequest, TerminateRequest};
use longhaul_types::{HubId, InstanceId, Timestamp};

use super::{Invalid, name, payload};

/// The key of an orchestration.
pub(crate) fn orchestration(hub: HubId, id: &str) -> Result<InstanceKey, Invalid> {
    Ok(InstanceKey::new(hub, InstanceId::parse(id)?))
}

/// The key of an orchestration or an entity, where asking for an entity is no mistake.
pub(crate) fn instance(hub: HubId, id: &str) -> Result<InstanceKey, Invalid> {
    Ok(InstanceKey::new(hub, InstanceId::parse_any(id)?))
}

pub(crate) fn raise_event(
    key: InstanceKey,
    request: RaiseEventRequest,
    now: Timestamp,
    payload_bytes_max: usize,
) -> Result<Command, Invalid> {
    let name = name("name", request.name)?;
    let input = payload("input", request.input, payload_bytes_max)?;
    let event = event::event_raised(now, &name, input.as_deref());
    Ok(Command::RaiseEvent { key, event })
}

pub(crate) fn terminate(
    key: InstanceKey,
    request: TerminateRequest,
    payload_bytes_max: usize,
) -> Result<Command, Invalid> {
    let output = payload("output", request.output, payload_bytes_max)?;
    Ok(Command::Terminate {
        key,
        output,
        recurse: request.recursive,
    })
}

pub(crate) fn suspend(
    key: InstanceKey,
    request: SuspendRequest,
    payload_bytes_max: usize,
) -> Result<Command, Invalid> {
    let reason = payload("reason", request.reason, payload_bytes_max)?;
    Ok(Command::Suspend { key, reason })
}

pub(crate) fn resume(
    key: InstanceKey,
    request: ResumeRequest,
    payload_bytes_max: usize,
) -> Result<Command, Invalid> {
    let reason = payload("reason", request.reason, payload_bytes_max)?;
    Ok(Command::Resume { key, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: HubId = HubId(3);

    fn key() -> InstanceKey {
        orchestration(HUB, "order-1").expect("valid")
    }

    #[test]
    fn entities_can_be_asked_for_but_not_steered() {
        assert!(instance(HUB, "@counter@a").is_ok());
        assert!(orchestration(HUB, "@counter@a").is_err());
        for bad in ["", "a\u{0}b", &"x".repeat(101)] {
            assert!(
                matches!(instance(HUB, bad), Err(Invalid::InstanceId(_))),
                "{bad:?}"
            );
            assert!(
                matches!(orchestration(HUB, bad), Err(Invalid::InstanceId(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_event_needs_a_name_and_keeps_its_case() {
        let raise = |name: &str, input: Option<&str>| {
            let request = RaiseEventRequest {
                instance_id: "order-1".into(),
                name: name.into(),
                input: input.map(Into::into),
            };
            raise_event(key(), request, Timestamp::EPOCH, 4)
        };
        let event = event::event_raised(Timestamp::EPOCH, "Paid", Some(b"null"));
        assert_eq!(
            raise("Paid", Some("null")),
            Ok(Command::RaiseEvent { key: key(), event })
        );
        assert_eq!(raise("", None), Err(Invalid::Missing { field: "name" }));
        let long = "x".repeat(1025);
        assert_eq!(
            raise(&long, None),
            Err(Invalid::NameTooLong {
                field: "name",
                bytes: 1025
            })
        );
        let too_large = Invalid::PayloadTooLarge {
            field: "input",
            bytes: 5,
            max: 4,
        };
        assert_eq!(raise("Paid", Some("12345")), Err(too_large));
    }

    #[test]
    fn absent_and_empty_texts_stay_different() {
        for text in [None, Some(String::new()), Some("why".to_owned())] {
            let expected = text.clone().map(bytes::Bytes::from);
            let request = TerminateRequest {
                instance_id: String::new(),
                output: text.clone(),
                recursive: true,
            };
            assert_eq!(
                terminate(key(), request, 8),
                Ok(Command::Terminate {
                    key: key(),
                    output: expected.clone(),
                    recurse: true
                })
            );
            let request = SuspendRequest {
                instance_id: String::new(),
                reason: text.clone(),
            };
            assert_eq!(
                suspend(key(), request, 8),
                Ok(Command::Suspend {
                    key: key(),
                    reason: expected.clone()
                })
            );
            let request = ResumeRequest {
                instance_id: String::new(),
                reason: text,
            };
            assert_eq!(
                resume(key(), request, 8),
                Ok(Command::Resume {
                    key: key(),
                    reason: expected
                })
            );
        }
    }
}
