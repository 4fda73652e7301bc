//! Instances and entities as clients see them.

use bytes::Bytes;
use longhaul_engine::InstanceView;
use longhaul_engine::query::EntityView;
use longhaul_proto::sidecar::{EntityMetadata, OrchestrationState, TaskFailureDetails};
use longhaul_types::Timestamp;
use prost::{DecodeError, Message};

/// How much of an instance is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything but input, output and failure details. Source: a .NET suite wants those three absent.
    Metadata,
    /// Everything.
    Full,
}

impl Detail {
    /// By the flag of the request.
    pub(crate) fn of(get_inputs_and_outputs: bool) -> Self {
        if get_inputs_and_outputs {
            Self::Full
        } else {
            Self::Metadata
        }
    }
}

/// # Errors
/// [`DecodeError`] if the stored failure details are damaged.
pub(crate) fn orchestration_state(
    view: &InstanceView,
    detail: Detail,
) -> Result<OrchestrationState, DecodeError> {
    let (input, output, failure) = match detail {
        Detail::Metadata => (None, None, None),
        Detail::Full => (
            view.input.as_ref(),
            view.output.as_ref(),
            view.failure.as_ref(),
        ),
    };
    Ok(OrchestrationState {
        instance_id: view.key.id.as_str().to_owned(),
        name: view.name.as_ref().to_owned(),
        version: view.version.as_deref().map(str::to_owned),
        orchestration_status: view.status.to_wire(),
        scheduled_start_timestamp: view.scheduled_start.map(timestamp),
        created_timestamp: Some(timestamp(view.created_at)),
        last_updated_timestamp: Some(timestamp(view.updated_at)),
        input: input.map(text),
        output: output.map(text),
        custom_status: view.custom_status.as_ref().map(text),
        failure_details: failure
            .map(|encoded| TaskFailureDetails::decode(encoded.as_ref()))
            .transpose()?,
        execution_id: Some(view.execution.as_str().to_owned()),
        completed_timestamp: view.completed_at.map(timestamp),
        parent_instance_id: view
            .parent
            .as_ref()
            .map(|parent| parent.as_str().to_owned()),
        tags: view.tags.as_deref().cloned().unwrap_or_default(),
    })
}

/// How much of an entity is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntityDetail {
    /// Everything but the state.
    Metadata,
    /// Everything.
    WithState,
}

impl EntityDetail {
    /// By the flag of the request.
    pub(crate) fn of(include_state: bool) -> Self {
        if include_state {
            Self::WithState
        } else {
            Self::Metadata
        }
    }
}

pub(crate) fn entity_metadata(view: &EntityView, detail: EntityDetail) -> EntityMetadata {
    let state = match detail {
        EntityDetail::Metadata => None,
        EntityDetail::WithState => view.state.as_ref(),
    };
    EntityMetadata {
        instance_id: view.id.as_str().to_owned(),
        last_modified_time: Some(timestamp(view.modified_at)),
        backlog_queue_size: i32::try_from(view.backlog).unwrap_or(i32::MAX),
        locked_by: view.locked_by.as_ref().map(|it| it.as_str().to_owned()),
        serialized_state: state.map(text),
    }
}

pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.nanos).expect("nanoseconds are below one second");
    prost_types::Timestamp {
        seconds: at.seconds,
        nanos,
    }
}

/// Stored texts came as text.
fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use longhaul_engine::{InstanceKey, Status};
    use longhaul_types::{ExecutionId, HubId, InstanceId};

    use super::*;

    fn bare() -> InstanceView {
        InstanceView {
            key: InstanceKey::new(HubId(1), InstanceId::trusted("order-1")),
            name: "Order".into(),
            version: None,
            execution: ExecutionId::from_random([7; 16]),
            status: Status::Pending,
            created_at: Timestamp {
                seconds: 10,
                nanos: 999_999_999,
            },
            updated_at: Timestamp {
                seconds: 11,
                nanos: 0,
            },
            completed_at: None,
            scheduled_start: None,
            input: None,
            output: None,
            failure: None,
            custom_status: None,
            tags: None,
            parent: None,
        }
    }

    fn full() -> InstanceView {
        let failure = TaskFailureDetails {
            error_type: "E".into(),
            ..Default::default()
        };
        InstanceView {
            version: Some("2".into()),
            status: Status::Failed,
            completed_at: Some(Timestamp {
                seconds: 12,
                nanos: 1,
            }),
            scheduled_start: Some(Timestamp {
                seconds: 9,
                nanos: 0,
            }),
            input: Some(Bytes::from_static("\"ü\"".as_bytes())),
            output: Some(Bytes::new()),
            failure: Some(failure.encode_to_vec().into()),
            custom_status: Some(Bytes::from_static(b"0")),
            tags: Some(
                [("k".to_owned(), "v".to_owned())]
                    .into_iter()
                    .collect::<std::collections::BTreeMap<_, _>>()
                    .into(),
            ),
            parent: Some(InstanceId::trusted("parent")),
            ..bare()
        }
    }

    #[test]
    fn what_an_instance_does_not_have_is_absent() {
        let state = orchestration_state(&bare(), Detail::Full).expect("decodes");
        let expected = OrchestrationState {
            instance_id: "order-1".into(),
            name: "Order".into(),
            orchestration_status: 6,
            created_timestamp: Some(prost_types::Timestamp {
                seconds: 10,
                nanos: 999_999_999,
            }),
            last_updated_timestamp: Some(prost_types::Timestamp {
                seconds: 11,
                nanos: 0,
            }),
            execution_id: Some("07".repeat(16)),
            ..Default::default()
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn payloads_and_failure_are_shown_on_request_and_custom_status_always() {
        let state = orchestration_state(&full(), Detail::of(true)).expect("decodes");
        assert_eq!(state.input.as_deref(), Some("\"ü\""));
        assert_eq!(state.output.as_deref(), Some(""));
        assert_eq!(
            state
                .failure_details
                .as_ref()
                .map(|it| it.error_type.as_str()),
            Some("E")
        );
        assert_eq!(state.version.as_deref(), Some("2"));
        assert_eq!(state.parent_instance_id.as_deref(), Some("parent"));
        assert_eq!(state.tags.get("k").map(String::as_str), Some("v"));

        let without = orchestration_state(&full(), Detail::of(false)).expect("decodes");
        assert_eq!(without.custom_status.as_deref(), Some("0"));
        let hidden = OrchestrationState {
            input: None,
            output: None,
            failure_details: None,
            ..state
        };
        assert_eq!(without, hidden);
    }

    #[test]
    fn damaged_failure_details_are_an_error() {
        let damaged = InstanceView {
            failure: Some(Bytes::from_static(&[0x0A, 9])),
            ..full()
        };
        assert!(orchestration_state(&damaged, Detail::Full).is_err());
        assert!(orchestration_state(&damaged, Detail::Metadata).is_ok());
    }

    #[test]
    fn an_entity_shows_its_state_on_request() {
        let view = EntityView {
            id: InstanceId::trusted("@counter@a"),
            state: Some(Bytes::new()),
            modified_at: Timestamp {
                seconds: 3,
                nanos: 4,
            },
            backlog: u32::MAX,
            locked_by: Some(InstanceId::trusted("order-1")),
        };
        let whole = EntityMetadata {
            instance_id: "@counter@a".into(),
            last_modified_time: Some(prost_types::Timestamp {
                seconds: 3,
                nanos: 4,
            }),
            backlog_queue_size: i32::MAX,
            locked_by: Some("order-1".into()),
            serialized_state: Some(String::new()),
        };
        assert_eq!(entity_metadata(&view, EntityDetail::of(true)), whole);
        let hidden = EntityMetadata {
            serialized_state: None,
            ..whole
        };
        assert_eq!(entity_metadata(&view, EntityDetail::of(false)), hidden);
    }
}
