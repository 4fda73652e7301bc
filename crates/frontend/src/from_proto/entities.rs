//! Calls of clients about entities.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::InstanceKey;
use longhaul_engine::history::event::INBOUND;
use longhaul_engine::query::EntityQuery;
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::{
    CleanEntityStorageRequest, EntityOperationSignaledEvent, HistoryEvent, QueryEntitiesRequest,
    SignalEntityRequest,
};
use longhaul_types::{HubId, InstanceId, Timestamp};
use prost::Message;

use crate::limits::Limits;
use crate::paging::{self, Key, Listing};
use crate::refusals::Refusal;
use crate::refusals::rows::{
    CLEAN_TOKEN, ENTITIES, ENTITIES_FROM, ENTITIES_PREFIX, ENTITIES_TO, ENTITIES_TOKEN, ENTITY_ID,
    SIGNAL_AT, SIGNAL_INPUT, SIGNAL_NAME, SIGNAL_REQUEST, SIGNAL_REQUESTED,
};
use crate::refusals::rules::PAGE_TOKEN;
use crate::to_proto::{EntityDetail, timestamp};

/// A signal that is due within this time is due now.
const DUE_MARGIN: Duration = Duration::from_millis(100);

/// A client's signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    /// Whom it is for.
    pub(crate) key: InstanceKey,
    /// By which a repetition is recognised.
    pub(crate) request_id: Arc<str>,
    /// Encoded EntityOperationSignaled `HistoryEvent`.
    pub(crate) operation: Bytes,
    /// Not before this time.
    pub(crate) due: Option<Timestamp>,
}

/// `fresh` gives random bytes for the id of a request that has none. Its text is a GUID: the .NET worker parses it.
pub(crate) fn signal(
    request: SignalEntityRequest,
    hub: HubId,
    now: Timestamp,
    limits: &Limits,
    fresh: impl FnOnce() -> [u8; 16],
) -> Result<Signal, Refusal> {
    let key = ENTITY_ID.entity(hub, &request.instance_id)?;
    let operation = SIGNAL_NAME.name(request.name, limits)?;
    SIGNAL_INPUT.fits(request.input.as_deref(), limits)?;
    SIGNAL_REQUEST.short(&request.request_id)?;
    SIGNAL_REQUESTED.timestamp_if_any(request.request_time)?;
    let scheduled = SIGNAL_AT.timestamp_if_any(request.scheduled_time)?;
    let request_id = match request.request_id.is_empty() {
        true => guid(fresh()),
        false => request.request_id,
    };
    let signaled = EntityOperationSignaledEvent {
        request_id: request_id.clone(),
        operation,
        scheduled_time: request.scheduled_time,
        input: request.input,
        target_instance_id: Some(key.id.as_str().to_owned()),
    };
    let event = HistoryEvent {
        event_id: INBOUND,
        timestamp: Some(timestamp(now)),
        event_type: Some(EventType::EntityOperationSignaled(signaled)),
    };
    Ok(Signal {
        key,
        request_id: request_id.into(),
        operation: event.encode_to_vec().into(),
        due: scheduled.filter(|at| *at > now + DUE_MARGIN),
    })
}

/// A random UUID.
fn guid(random: [u8; 16]) -> String {
    const VERSION: u128 = 0xF << 76;
    const VARIANT: u128 = 0b11 << 62;
    let bits = u128::from_be_bytes(random) & !(VERSION | VARIANT) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// A page of entities.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EntityPage {
    /// Which.
    pub(crate) query: EntityQuery,
    /// Those after this one.
    pub(crate) after: Option<InstanceId>,
    /// At most this many.
    pub(crate) size: usize,
    /// How much of each.
    pub(crate) detail: EntityDetail,
    /// What the token of the next page is made for.
    pub(crate) listing: Listing,
}

pub(crate) fn entity_query(
    request: QueryEntitiesRequest,
    hub: HubId,
    key: &Key,
) -> Result<EntityPage, Refusal> {
    let asked = ENTITIES.present(request.query)?;
    let prefix = asked.instance_id_starts_with.unwrap_or_default();
    ENTITIES_PREFIX.short(&prefix)?;
    let query = EntityQuery {
        hub,
        id_prefix: with_lower_case_name(prefix),
        modified: ENTITIES_FROM.span(
            asked.last_modified_from,
            &ENTITIES_TO,
            asked.last_modified_to,
        )?,
        transient: asked.include_transient,
    };
    let listing = Listing::of_entities(&query);
    let token = asked.continuation_token.as_deref();
    Ok(EntityPage {
        after: listing.position(&ENTITIES_TOKEN, token, key)?,
        size: paging::size(asked.page_size.unwrap_or(0)),
        detail: EntityDetail::of(asked.include_state),
        query,
        listing,
    })
}

/// The part of a prefix that is about the name, as names are kept; the key stays as it is.
fn with_lower_case_name(prefix: String) -> String {
    let Some(rest) = prefix.strip_prefix('@') else {
        return prefix;
    };
    match rest.split_once('@') {
        Some((name, key)) => format!("@{}@{key}", name.to_lowercase()),
        None => prefix.to_lowercase(),
    }
}

/// Empty entities and locks of owners that are gone never stay, so a sweep has no pages: a token cannot have come from
/// here.
pub(crate) fn clean_entity_storage(request: &CleanEntityStorageRequest) -> Result<(), Refusal> {
    match request.continuation_token.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(CLEAN_TOKEN.refuse(&PAGE_TOKEN, "")),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_engine::query::Span;

    use super::*;
    use crate::refusals::Row;
    use crate::refusals::rules::{
        ID_CONTROL, ID_LENGTH, ID_NOT_ENTITY, NAME_LENGTH, PAYLOAD_SIZE, REQUIRED, Rule, SPAN,
        TEXT_LENGTH, TIMESTAMP,
    };

    const HUB: HubId = HubId(6);
    const KEY: Key = [2; 32];
    const NOW: Timestamp = Timestamp {
        seconds: 1_000,
        nanos: 0,
    };

    fn request() -> SignalEntityRequest {
        SignalEntityRequest {
            instance_id: "@Counter@Key".into(),
            name: "Add".into(),
            ..Default::default()
        }
    }

    fn send(request: SignalEntityRequest) -> Result<Signal, Refusal> {
        signal(request, HUB, NOW, &Limits::of_payload(4), || [0xAB; 16])
    }

    fn at(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos })
    }

    #[test]
    fn a_signal_becomes_an_inbound_event() {
        let sent = send(SignalEntityRequest {
            input: Some(String::new()),
            request_id: "my own".into(),
            scheduled_time: at(1_000, 100_000_001),
            ..request()
        })
        .expect("valid");
        assert_eq!(
            sent.key,
            InstanceKey::new(HUB, InstanceId::trusted("@counter@Key"))
        );
        assert_eq!(&*sent.request_id, "my own");
        let due = Timestamp {
            seconds: 1_000,
            nanos: 100_000_001,
        };
        assert_eq!(sent.due, Some(due));
        let event = HistoryEvent::decode(sent.operation).expect("decodes");
        let signaled = EntityOperationSignaledEvent {
            request_id: "my own".into(),
            operation: "Add".into(),
            scheduled_time: at(1_000, 100_000_001),
            input: Some(String::new()),
            target_instance_id: Some("@counter@Key".into()),
        };
        let expected = HistoryEvent {
            event_id: -1,
            timestamp: at(1_000, 0),
            event_type: Some(EventType::EntityOperationSignaled(signaled)),
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn a_signal_for_now_or_earlier_is_not_scheduled() {
        for scheduled_time in [
            None,
            at(0, 0),
            at(999, 0),
            at(1_000, 0),
            at(1_000, 100_000_000),
        ] {
            let sent = send(SignalEntityRequest {
                scheduled_time,
                ..request()
            });
            assert_eq!(sent.expect("valid").due, None, "{scheduled_time:?}");
        }
    }

    #[test]
    fn a_request_without_an_id_gets_a_guid() {
        let sent = send(request()).expect("valid");
        assert_eq!(&*sent.request_id, "abababab-abab-4bab-abab-abababababab");
        assert_eq!(guid([0xFF; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(guid([0; 16]), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn malformed_signals_are_refused() {
        let send_with = |change: fn(&mut SignalEntityRequest)| {
            let mut changed = request();
            change(&mut changed);
            send(changed)
        };
        let cases: [(_, &'static Row, &'static Rule); 11] = [
            (
                send_with(|it| it.instance_id.clear()),
                &ENTITY_ID,
                &REQUIRED,
            ),
            (
                send_with(|it| it.instance_id = "counter".into()),
                &ENTITY_ID,
                &ID_NOT_ENTITY,
            ),
            (
                send_with(|it| it.instance_id = "@counter".into()),
                &ENTITY_ID,
                &ID_NOT_ENTITY,
            ),
            (
                send_with(|it| it.instance_id = format!("@c@{}", "k".repeat(98))),
                &ENTITY_ID,
                &ID_LENGTH,
            ),
            (
                send_with(|it| it.instance_id = "@c@\n".into()),
                &ENTITY_ID,
                &ID_CONTROL,
            ),
            (send_with(|it| it.name.clear()), &SIGNAL_NAME, &REQUIRED),
            (
                send_with(|it| it.name = "x".repeat(1025)),
                &SIGNAL_NAME,
                &NAME_LENGTH,
            ),
            (
                send_with(|it| it.request_id = "x".repeat(1025)),
                &SIGNAL_REQUEST,
                &TEXT_LENGTH,
            ),
            (
                send_with(|it| it.input = Some("12345".into())),
                &SIGNAL_INPUT,
                &PAYLOAD_SIZE,
            ),
            (
                send_with(|it| it.scheduled_time = at(0, -1)),
                &SIGNAL_AT,
                &TIMESTAMP,
            ),
            (
                send_with(|it| it.request_time = at(i64::MAX, 0)),
                &SIGNAL_REQUESTED,
                &TIMESTAMP,
            ),
        ];
        for (sent, row, rule) in cases {
            let refusal = sent.expect_err("malformed");
            assert!(refusal.is(row, rule), "{refusal}");
        }
    }

    fn query(asked: longhaul_proto::sidecar::EntityQuery) -> Result<EntityPage, Refusal> {
        let query = Some(asked);
        entity_query(QueryEntitiesRequest { query }, HUB, &KEY)
    }

    #[test]
    fn only_the_name_in_a_prefix_loses_its_case() {
        let prefix = |prefix: &str| {
            let asked = longhaul_proto::sidecar::EntityQuery {
                instance_id_starts_with: Some(prefix.to_owned()),
                ..Default::default()
            };
            query(asked).expect("valid").query.id_prefix
        };
        let cases = [
            ("", ""),
            ("@", "@"),
            ("@Cou", "@cou"),
            ("@Counter@", "@counter@"),
            ("@Counter@Key@More", "@counter@Key@More"),
            ("Counter", "Counter"),
        ];
        for (sent, expected) in cases {
            assert_eq!(prefix(sent), expected);
        }
    }

    #[test]
    fn every_part_of_a_query_arrives() {
        let asked = longhaul_proto::sidecar::EntityQuery {
            last_modified_from: at(1, 0),
            last_modified_to: at(2, 0),
            include_state: true,
            include_transient: true,
            page_size: Some(3),
            continuation_token: Some(String::new()),
            ..Default::default()
        };
        let first = query(asked.clone()).expect("valid");
        let second = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let expected = EntityQuery {
            hub: HUB,
            id_prefix: String::new(),
            modified: Span {
                from: second(1),
                to: second(2),
            },
            transient: true,
        };
        assert_eq!(first.query, expected);
        assert_eq!((first.after, first.size), (None, 3));
        assert_eq!(first.detail, EntityDetail::WithState);
        let last = InstanceId::trusted("@counter@a");
        let next = query(longhaul_proto::sidecar::EntityQuery {
            continuation_token: Some(first.listing.token(&last, &KEY)),
            page_size: None,
            ..asked
        })
        .expect("valid");
        assert_eq!((next.after, next.size), (Some(last), 100));
    }

    #[test]
    fn malformed_queries_are_refused() {
        let query_with = |change: fn(&mut longhaul_proto::sidecar::EntityQuery)| {
            let mut changed = longhaul_proto::sidecar::EntityQuery::default();
            change(&mut changed);
            query(changed)
        };
        let cases: [(_, &'static Row, &'static Rule); 5] = [
            (
                entity_query(QueryEntitiesRequest { query: None }, HUB, &KEY),
                &ENTITIES,
                &REQUIRED,
            ),
            (
                query_with(|it| it.instance_id_starts_with = Some("x".repeat(1025))),
                &ENTITIES_PREFIX,
                &TEXT_LENGTH,
            ),
            (
                query_with(|it| {
                    (it.last_modified_from, it.last_modified_to) = (at(2, 0), at(1, 0))
                }),
                &ENTITIES_FROM,
                &SPAN,
            ),
            (
                query_with(|it| it.last_modified_to = at(0, 1_000_000_000)),
                &ENTITIES_TO,
                &TIMESTAMP,
            ),
            (
                query_with(|it| it.continuation_token = Some("@counter@a".into())),
                &ENTITIES_TOKEN,
                &PAGE_TOKEN,
            ),
        ];
        for (asked, row, rule) in cases {
            let refusal = asked.expect_err("malformed");
            assert!(refusal.is(row, rule), "{refusal}");
        }
    }

    #[test]
    fn a_sweep_begins_at_the_beginning() {
        let sweep = |token: Option<&str>| {
            clean_entity_storage(&CleanEntityStorageRequest {
                continuation_token: token.map(str::to_owned),
                ..Default::default()
            })
        };
        assert_eq!(sweep(None), Ok(()));
        assert_eq!(sweep(Some("")), Ok(()));
        let refusal = sweep(Some("x")).expect_err("not ours");
        assert!(refusal.is(&CLEAN_TOKEN, &PAGE_TOKEN), "{refusal}");
    }
}
