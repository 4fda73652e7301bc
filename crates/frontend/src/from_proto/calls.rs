//! Calls of clients that steer an instance.

use bytes::Bytes;
use longhaul_engine::history::event;
use longhaul_engine::{Command, InstanceKey};
use longhaul_proto::sidecar::{
    RaiseEventRequest, ResumeRequest, RewindInstanceRequest, SuspendRequest, TerminateRequest,
};
use longhaul_types::Timestamp;

use crate::limits::Limits;
use crate::refusals::Refusal;
use crate::refusals::rows::{EVENT_INPUT, EVENT_NAME, REASON, TERMINATE_OUTPUT};

pub(crate) fn raise_event(
    key: InstanceKey,
    request: RaiseEventRequest,
    now: Timestamp,
    limits: &Limits,
) -> Result<Command, Refusal> {
    let name = EVENT_NAME.name(request.name, limits)?;
    let input = EVENT_INPUT.payload(request.input, limits)?;
    let event = event::event_raised(now, &name, input.as_deref());
    Ok(Command::RaiseEvent { key, event })
}

pub(crate) fn terminate(
    key: InstanceKey,
    request: TerminateRequest,
    limits: &Limits,
) -> Result<Command, Refusal> {
    let output = TERMINATE_OUTPUT.payload(request.output, limits)?;
    Ok(Command::Terminate {
        key,
        output,
        recurse: request.recursive,
    })
}

pub(crate) fn suspend(
    key: InstanceKey,
    request: SuspendRequest,
    limits: &Limits,
) -> Result<Command, Refusal> {
    let reason = REASON.payload(request.reason, limits)?;
    Ok(Command::Suspend { key, reason })
}

pub(crate) fn resume(
    key: InstanceKey,
    request: ResumeRequest,
    limits: &Limits,
) -> Result<Command, Refusal> {
    let reason = REASON.payload(request.reason, limits)?;
    Ok(Command::Resume { key, reason })
}

/// Why an instance is rewound.
pub(crate) fn rewind_reason(
    request: RewindInstanceRequest,
    limits: &Limits,
) -> Result<Option<Bytes>, Refusal> {
    REASON.payload(request.reason, limits)
}

#[cfg(test)]
mod tests {
    use longhaul_types::HubId;

    use super::*;
    use crate::refusals::rows::{INSTANCE_ID, ORCHESTRATION_ID};
    use crate::refusals::rules::{
        ID_CONTROL, ID_LENGTH, ID_RESERVED, NAME_LENGTH, PAYLOAD_SIZE, REQUIRED,
    };

    const HUB: HubId = HubId(3);

    fn key() -> InstanceKey {
        ORCHESTRATION_ID
            .orchestration(HUB, "order-1")
            .expect("valid")
    }

    #[test]
    fn entities_can_be_asked_for_but_not_steered() {
        assert!(INSTANCE_ID.instance(HUB, "@counter@a").is_ok());
        let steered = ORCHESTRATION_ID.orchestration(HUB, "@counter@a");
        let refusal = steered.expect_err("an entity");
        assert!(refusal.is(&ORCHESTRATION_ID, &ID_RESERVED), "{refusal}");
        let long = "x".repeat(101);
        for (bad, rule) in [
            ("", &REQUIRED),
            ("a\u{0}b", &ID_CONTROL),
            (&long, &ID_LENGTH),
        ] {
            let refusal = INSTANCE_ID.instance(HUB, bad).expect_err(bad);
            assert!(refusal.is(&INSTANCE_ID, rule), "{refusal}");
            let refusal = ORCHESTRATION_ID.orchestration(HUB, bad).expect_err(bad);
            assert!(refusal.is(&ORCHESTRATION_ID, rule), "{refusal}");
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
            raise_event(key(), request, Timestamp::EPOCH, &Limits::of_payload(4))
        };
        let event = event::event_raised(Timestamp::EPOCH, "Paid", Some(b"null"));
        assert_eq!(
            raise("Paid", Some("null")),
            Ok(Command::RaiseEvent { key: key(), event })
        );
        let long = "x".repeat(1025);
        let cases = [
            (raise("", None), &EVENT_NAME, &REQUIRED),
            (raise(&long, None), &EVENT_NAME, &NAME_LENGTH),
            (raise("Paid", Some("12345")), &EVENT_INPUT, &PAYLOAD_SIZE),
        ];
        for (raised, row, rule) in cases {
            let refusal = raised.expect_err("refused");
            assert!(refusal.is(row, rule), "{refusal}");
        }
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
                terminate(key(), request, &Limits::of_payload(8)),
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
                suspend(key(), request, &Limits::of_payload(8)),
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
                resume(key(), request, &Limits::of_payload(8)),
                Ok(Command::Resume {
                    key: key(),
                    reason: expected
                })
            );
        }
    }
}
