//! PurgeInstances and SkipGracefulOrchestrationTerminations: what is to go.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::InstanceKey;
use longhaul_engine::query::InstanceFilter;
use longhaul_proto::sidecar::purge_instances_request::Request;
use longhaul_proto::sidecar::{
    InstanceBatch, PurgeInstanceFilter, PurgeInstancesRequest,
    SkipGracefulOrchestrationTerminationsRequest,
};
use longhaul_types::{HubId, InstanceId};

use crate::limits::Limits;
use crate::refusals::rows::{
    PURGE, PURGE_BATCH, PURGE_FROM, PURGE_ID, PURGE_STATUS, PURGE_TIMEOUT, PURGE_TO, SKIP,
    SKIP_BATCH, SKIP_REASON,
};
use crate::refusals::rules::BATCH_COUNT;
use crate::refusals::{Refusal, Row};

/// What is purged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Purge {
    /// One instance or entity.
    One {
        /// Which; nothing can have the id of an entity if it is said to be an orchestration.
        key: Option<InstanceKey>,
        /// It is said to be an orchestration: then a live one is a mistake.
        is_orchestration: bool,
    },
    /// Several, without repetition, in order.
    Batch(Vec<InstanceKey>),
    /// Every ended instance that matches, until the time is over.
    Matching {
        /// Which; only terminal statuses.
        filter: InstanceFilter,
        /// How long to go on.
        timeout: Option<Duration>,
    },
}

impl Purge {
    /// How long the caller lets it take.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::Matching { timeout, .. } => *timeout,
            Self::One { .. } | Self::Batch(_) => None,
        }
    }
}

pub(crate) fn purge(request: PurgeInstancesRequest, hub: HubId) -> Result<Purge, Refusal> {
    let is_orchestration = request.is_orchestration;
    Ok(match PURGE.present(request.request)? {
        Request::InstanceId(id) => Purge::One {
            key: purged(&PURGE_ID, hub, &id, is_orchestration)?,
            is_orchestration,
        },
        Request::InstanceBatch(InstanceBatch { instance_ids }) => {
            PURGE_BATCH.count(&BATCH_COUNT, instance_ids.len())?;
            let keys = instance_ids
                .iter()
                .filter_map(|id| purged(&PURGE_BATCH, hub, id, is_orchestration).transpose());
            Purge::Batch(without_repetition(keys.collect::<Result<_, _>>()?))
        }
        Request::PurgeInstanceFilter(filter) => matching(filter, hub)?,
    })
}

fn purged(
    row: &'static Row,
    hub: HubId,
    id: &str,
    is_orchestration: bool,
) -> Result<Option<InstanceKey>, Refusal> {
    match id.starts_with('@') {
        false => row.instance(hub, id).map(Some),
        true if is_orchestration => row.instance(hub, id).map(|_| None),
        true => row.entity(hub, id).map(Some),
    }
}

fn without_repetition(mut keys: Vec<InstanceKey>) -> Vec<InstanceKey> {
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(key.id.clone()));
    keys
}

fn matching(filter: PurgeInstanceFilter, hub: HubId) -> Result<Purge, Refusal> {
    let created = PURGE_FROM.span(filter.created_time_from, &PURGE_TO, filter.created_time_to)?;
    let timeout = filter
        .timeout
        .map(|timeout| PURGE_TIMEOUT.duration(timeout))
        .transpose()?;
    Ok(Purge::Matching {
        filter: InstanceFilter {
            hub,
            statuses: PURGE_STATUS.statuses(&filter.runtime_status)?.terminal(),
            created,
            id_prefix: String::new(),
        },
        // A caller that sets no time sends none or zero.
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
    })
}

/// Whom to end without their workers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// Ids as they were sent; no key if no orchestration can have the id.
    pub(crate) instances: Vec<(String, Option<InstanceKey>)>,
    /// Why.
    pub(crate) reason: Option<Bytes>,
}

pub(crate) fn skip(
    request: SkipGracefulOrchestrationTerminationsRequest,
    hub: HubId,
    limits: &Limits,
) -> Result<Skip, Refusal> {
    let batch = SKIP.present(request.instance_batch)?;
    SKIP_BATCH.count(&BATCH_COUNT, batch.instance_ids.len())?;
    let reason = SKIP_REASON.payload(request.reason, limits)?;
    let instances = batch.instance_ids.into_iter().map(|id| {
        let key = InstanceId::parse(&id).ok();
        (id, key.map(|id| InstanceKey::new(hub, id)))
    });
    Ok(Skip {
        instances: instances.collect(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use longhaul_engine::Status;
    use longhaul_engine::query::{Span, StatusSet};
    use longhaul_types::Timestamp;

    use super::*;
    use crate::refusals::rules::{
        DURATION, ID_CONTROL, ID_LENGTH, ID_NOT_ENTITY, PAYLOAD_SIZE, REQUIRED, Rule, SPAN, STATUS,
    };

    const HUB: HubId = HubId(2);

    fn key(id: &str) -> InstanceKey {
        InstanceKey::new(HUB, InstanceId::trusted(id))
    }

    fn ask(request: Request, is_orchestration: bool) -> Result<Purge, Refusal> {
        let request = PurgeInstancesRequest {
            request: Some(request),
            is_orchestration,
            recursive: false,
        };
        purge(request, HUB)
    }

    fn one(id: &str, is_orchestration: bool) -> Result<Purge, Refusal> {
        ask(Request::InstanceId(id.to_owned()), is_orchestration)
    }

    fn batch(ids: &[&str]) -> Request {
        Request::InstanceBatch(InstanceBatch {
            instance_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        })
    }

    fn filter(filter: PurgeInstanceFilter) -> Result<Purge, Refusal> {
        ask(Request::PurgeInstanceFilter(filter), false)
    }

    #[test]
    fn one_is_an_orchestration_an_entity_or_neither() {
        let found = |id, is_orchestration| match one(id, is_orchestration) {
            Ok(Purge::One { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(found("order-1", false), Some(key("order-1")));
        assert_eq!(found("order-1", true), Some(key("order-1")));
        assert_eq!(found("@Counter@A", false), Some(key("@counter@A")));
        assert_eq!(found("@Counter@A", true), None);
        assert_eq!(found("@x", true), None);
    }

    #[test]
    fn a_batch_has_each_once_and_in_order() {
        let ids = ["b", "a", "b", "@C@x", "@c@x"];
        let expected = |ids: &[&str]| Ok(Purge::Batch(ids.iter().map(|id| key(id)).collect()));
        assert_eq!(ask(batch(&ids), false), expected(&["b", "a", "@c@x"]));
        assert_eq!(ask(batch(&ids), true), expected(&["b", "a"]));
        assert_eq!(ask(batch(&[]), false), expected(&[]));
        assert!(ask(batch(&["x"; 500]), false).is_ok());
    }

    #[test]
    fn a_filter_matches_ended_instances() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 1 });
        let timeout = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let got = filter(PurgeInstanceFilter {
            created_time_from: at(3),
            created_time_to: None,
            runtime_status: vec![0, 1],
            timeout: timeout(1, 500),
        });
        let from = Some(Timestamp {
            seconds: 3,
            nanos: 1,
        });
        let expected = Purge::Matching {
            filter: InstanceFilter {
                hub: HUB,
                statuses: StatusSet::NONE.with(Status::Completed),
                created: Span { from, to: None },
                id_prefix: String::new(),
            },
            timeout: Some(Duration::new(1, 500)),
        };
        assert_eq!(got, Ok(expected));
        for none in [None, timeout(0, 0)] {
            let got = filter(PurgeInstanceFilter {
                timeout: none,
                ..Default::default()
            });
            match got.expect("valid") {
                Purge::Matching { filter, timeout } => {
                    assert_eq!(filter.statuses, StatusSet::ALL.terminal());
                    assert_eq!(timeout, None);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn malformed_purges_are_refused() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let timeout = |seconds, nanos| {
            filter(PurgeInstanceFilter {
                timeout: Some(prost_types::Duration { seconds, nanos }),
                ..Default::default()
            })
        };
        let spanning = |from, to| {
            filter(PurgeInstanceFilter {
                created_time_from: at(from),
                created_time_to: at(to),
                ..Default::default()
            })
        };
        let long = "x".repeat(101);
        let nothing = purge(PurgeInstancesRequest::default(), HUB);
        let status = filter(PurgeInstanceFilter {
            runtime_status: vec![8],
            ..Default::default()
        });
        let cases: Vec<(_, &'static Row, &'static Rule)> = vec![
            (nothing, &PURGE, &REQUIRED),
            (one("", false), &PURGE_ID, &REQUIRED),
            (one("", true), &PURGE_ID, &REQUIRED),
            (one(&long, false), &PURGE_ID, &ID_LENGTH),
            (one("a\nb", false), &PURGE_ID, &ID_CONTROL),
            (one("@x", false), &PURGE_ID, &ID_NOT_ENTITY),
            (ask(batch(&["x"; 501]), false), &PURGE_BATCH, &BATCH_COUNT),
            (ask(batch(&["x", ""]), false), &PURGE_BATCH, &REQUIRED),
            (
                ask(batch(&["x", "@@k"]), false),
                &PURGE_BATCH,
                &ID_NOT_ENTITY,
            ),
            (spanning(2, 1), &PURGE_FROM, &SPAN),
            (status, &PURGE_STATUS, &STATUS),
            (timeout(-5, 0), &PURGE_TIMEOUT, &DURATION),
            (timeout(0, -1), &PURGE_TIMEOUT, &DURATION),
            (timeout(1, -1), &PURGE_TIMEOUT, &DURATION),
            (timeout(-1, 1), &PURGE_TIMEOUT, &DURATION),
            (timeout(0, 1_000_000_000), &PURGE_TIMEOUT, &DURATION),
            (timeout(i64::MIN, 0), &PURGE_TIMEOUT, &DURATION),
            (timeout(i64::MAX, 0), &PURGE_TIMEOUT, &DURATION),
        ];
        for (asked, row, rule) in cases {
            let refusal = asked.expect_err("malformed");
            assert!(refusal.is(row, rule), "{refusal}");
        }
    }

    #[test]
    fn whoever_cannot_be_ended_stays_in_the_list() {
        let ask = |ids: Option<Vec<&str>>, reason: Option<&str>| {
            let instance_batch = ids.map(|ids| InstanceBatch {
                instance_ids: ids.into_iter().map(str::to_owned).collect(),
            });
            let reason = reason.map(str::to_owned);
            let request = SkipGracefulOrchestrationTerminationsRequest {
                instance_batch,
                reason,
            };
            skip(request, HUB, &Limits::of_payload(4))
        };
        let mixed = vec!["a", "@e@k", "", "a", "b\n"];
        let got = ask(Some(mixed.clone()), Some("why")).expect("valid");
        let expected = mixed
            .into_iter()
            .map(|id| (id.to_owned(), (id == "a").then(|| key("a"))));
        assert_eq!(got.instances, expected.collect::<Vec<_>>());
        assert_eq!(got.reason.as_deref(), Some(&b"why"[..]));
        assert!(ask(Some(vec![]), None).expect("valid").instances.is_empty());
        let cases: [(_, &'static Row, &'static Rule); 3] = [
            (ask(None, None), &SKIP, &REQUIRED),
            (ask(Some(vec!["x"; 501]), None), &SKIP_BATCH, &BATCH_COUNT),
            (
                ask(Some(vec![]), Some("12345")),
                &SKIP_REASON,
                &PAYLOAD_SIZE,
            ),
        ];
        for (asked, row, rule) in cases {
            let refusal = asked.expect_err("malformed");
            assert!(refusal.is(row, rule), "{refusal}");
        }
    }
}
