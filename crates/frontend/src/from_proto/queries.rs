//! QueryInstances and ListInstanceIds: which instances, from where on, and how many.

use longhaul_engine::query::{EndedFilter, InstanceFilter, TimePosition};
use longhaul_proto::sidecar::{ListInstanceIdsRequest, QueryInstancesRequest};
use longhaul_types::{HubId, HubName};

use crate::paging::{self, Key, Listing};
use crate::refusals::Refusal;
use crate::refusals::rows::{
    LIST_FROM, LIST_STATUS, LIST_TO, LIST_TOKEN, QUERY, QUERY_FROM, QUERY_HUBS, QUERY_PREFIX,
    QUERY_STATUS, QUERY_TO, QUERY_TOKEN,
};
use crate::refusals::rules::HUB_NAME_COUNT;
use crate::to_proto::Detail;

/// A page of instances.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InstancePage {
    /// Which.
    pub(crate) filter: InstanceFilter,
    /// Those after this place.
    pub(crate) after: Option<TimePosition>,
    /// At most this many.
    pub(crate) size: usize,
    /// How much of each.
    pub(crate) detail: Detail,
    /// What the token of the next page is made for.
    pub(crate) listing: Listing,
}

/// `None` if the query is about other task hubs, of which a call never sees anything.
pub(crate) fn instance_query(
    request: QueryInstancesRequest,
    hub: HubId,
    hub_name: &HubName,
    key: &Key,
) -> Result<Option<InstancePage>, Refusal> {
    let query = QUERY.present(request.query)?;
    let id_prefix = query.instance_id_prefix.unwrap_or_default();
    QUERY_PREFIX.short(&id_prefix)?;
    let filter = InstanceFilter {
        hub,
        statuses: QUERY_STATUS.statuses(&query.runtime_status)?,
        created: QUERY_FROM.span(query.created_time_from, &QUERY_TO, query.created_time_to)?,
        id_prefix,
    };
    let listing = Listing::of_instances(&filter);
    let token = query.continuation_token.as_deref();
    let after = listing.position(&QUERY_TOKEN, token, key)?;
    QUERY_HUBS.count(&HUB_NAME_COUNT, query.task_hub_names.len())?;
    let is_ours = |name: &String| name.eq_ignore_ascii_case(hub_name.as_str());
    if !query.task_hub_names.is_empty() && !query.task_hub_names.iter().any(is_ours) {
        return Ok(None);
    }
    Ok(Some(InstancePage {
        filter,
        after,
        size: paging::size(query.max_instance_count),
        detail: Detail::of(query.fetch_inputs_and_outputs),
        listing,
    }))
}

/// A page of ids of ended instances.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndedPage {
    /// Which.
    pub(crate) filter: EndedFilter,
    /// Those after this place.
    pub(crate) after: Option<TimePosition>,
    /// At most this many.
    pub(crate) size: usize,
    /// What the token of the next page is made for.
    pub(crate) listing: Listing,
}

/// Live statuses among those asked for match nothing.
pub(crate) fn list_ids(
    request: ListInstanceIdsRequest,
    hub: HubId,
    key: &Key,
) -> Result<EndedPage, Refusal> {
    let filter = EndedFilter {
        hub,
        statuses: LIST_STATUS.statuses(&request.runtime_status)?.terminal(),
        completed: LIST_FROM.span(
            request.completed_time_from,
            &LIST_TO,
            request.completed_time_to,
        )?,
    };
    let listing = Listing::of_ended(&filter);
    let token = request.last_instance_key.as_deref();
    Ok(EndedPage {
        after: listing.position(&LIST_TOKEN, token, key)?,
        size: paging::size(request.page_size),
        filter,
        listing,
    })
}

#[cfg(test)]
mod tests {
    use longhaul_engine::Status;
    use longhaul_engine::query::{Span, StatusSet};
    use longhaul_proto::sidecar::InstanceQuery;
    use longhaul_types::{InstanceId, Timestamp};

    use super::*;
    use crate::refusals::rules::{
        PAGE_TOKEN, REQUIRED, Rule, SPAN, STATUS, TEXT_LENGTH, TIMESTAMP,
    };
    use crate::refusals::{Row, rules};

    const HUB: HubId = HubId(4);
    const KEY: Key = [1; 32];

    fn query(query: InstanceQuery) -> Result<Option<InstancePage>, Refusal> {
        let hub_name = HubName::parse("Orders").expect("valid");
        let query = Some(query);
        instance_query(QueryInstancesRequest { query }, HUB, &hub_name, &KEY)
    }

    fn page(asked: InstanceQuery) -> InstancePage {
        query(asked).expect("valid").expect("of this hub")
    }

    fn list(request: ListInstanceIdsRequest) -> Result<EndedPage, Refusal> {
        list_ids(request, HUB, &KEY)
    }

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn place() -> TimePosition {
        TimePosition {
            at: Timestamp::EPOCH,
            id: InstanceId::trusted("order-1"),
        }
    }

    #[test]
    fn a_query_for_nothing_in_particular_is_for_everything() {
        let all = page(InstanceQuery::default());
        let filter = InstanceFilter {
            hub: HUB,
            statuses: StatusSet::ALL,
            created: Span::default(),
            id_prefix: String::new(),
        };
        let expected = InstancePage {
            after: None,
            size: 100,
            detail: Detail::Metadata,
            listing: Listing::of_instances(&filter),
            filter,
        };
        assert_eq!(all, expected);
        let empty_texts = InstanceQuery {
            continuation_token: Some(String::new()),
            instance_id_prefix: Some(String::new()),
            ..Default::default()
        };
        assert_eq!(page(empty_texts), expected);
    }

    #[test]
    fn every_part_of_a_query_arrives() {
        let asked = InstanceQuery {
            runtime_status: vec![1, 2, 0, 1],
            created_time_from: at(5),
            created_time_to: at(5),
            max_instance_count: 7,
            instance_id_prefix: Some("@Ord".into()),
            fetch_inputs_and_outputs: true,
            ..Default::default()
        };
        let first = page(asked.clone());
        let end = Some(Timestamp {
            seconds: 5,
            nanos: 0,
        });
        let statuses = [Status::Completed, Status::Running].into_iter().collect();
        assert_eq!(
            first.filter,
            InstanceFilter {
                hub: HUB,
                statuses,
                created: Span { from: end, to: end },
                id_prefix: "@Ord".into(),
            }
        );
        assert_eq!((first.size, first.detail), (7, Detail::Full));
        let second = page(InstanceQuery {
            continuation_token: Some(first.listing.token(&place(), &KEY)),
            max_instance_count: 8,
            fetch_inputs_and_outputs: false,
            ..asked
        });
        assert_eq!(second.after, Some(place()));
    }

    #[test]
    fn a_query_about_other_hubs_finds_nothing() {
        let named = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            query(InstanceQuery {
                task_hub_names: names.collect(),
                ..Default::default()
            })
            .expect("valid")
        };
        assert!(named(&["others", "ORDERS"]).is_some());
        assert!(named(&["others", "", "Orders2"]).is_none());
    }

    #[test]
    fn malformed_queries_are_refused() {
        let query_of = |change: fn(&mut InstanceQuery)| {
            let mut changed = InstanceQuery::default();
            change(&mut changed);
            query(changed)
        };
        let cases: [(_, &'static Row, &'static Rule); 8] = [
            (
                query_of(|it| it.runtime_status = vec![8]),
                &QUERY_STATUS,
                &STATUS,
            ),
            (
                query_of(|it| it.runtime_status = vec![1, -1]),
                &QUERY_STATUS,
                &STATUS,
            ),
            (
                query_of(|it| it.created_time_from = at(i64::MIN)),
                &QUERY_FROM,
                &TIMESTAMP,
            ),
            (
                query_of(|it| it.created_time_to = at(i64::MAX)),
                &QUERY_TO,
                &TIMESTAMP,
            ),
            (
                query_of(|it| (it.created_time_from, it.created_time_to) = (at(6), at(5))),
                &QUERY_FROM,
                &SPAN,
            ),
            (
                query_of(|it| it.instance_id_prefix = Some("x".repeat(1025))),
                &QUERY_PREFIX,
                &TEXT_LENGTH,
            ),
            (
                query_of(|it| it.continuation_token = Some("0".into())),
                &QUERY_TOKEN,
                &PAGE_TOKEN,
            ),
            (
                query_of(|it| it.task_hub_names = vec![String::new(); 1001]),
                &QUERY_HUBS,
                &HUB_NAME_COUNT,
            ),
        ];
        for (asked, row, rule) in cases {
            let refusal = asked.expect_err("malformed");
            assert!(refusal.is(row, rule), "{refusal}");
        }
        let none = QueryInstancesRequest { query: None };
        let hub_name = HubName::parse("Orders").expect("valid");
        let refusal = instance_query(none, HUB, &hub_name, &KEY).expect_err("no query");
        assert!(refusal.is(&QUERY, &REQUIRED), "{refusal}");
    }

    #[test]
    fn only_ended_instances_are_listed() {
        let statuses = |runtime_status| {
            let request = ListInstanceIdsRequest {
                runtime_status,
                ..Default::default()
            };
            list(request).expect("valid").filter.statuses
        };
        assert_eq!(statuses(vec![]), StatusSet::ALL.terminal());
        assert_eq!(statuses(vec![0, 3]), StatusSet::NONE.with(Status::Failed));
        assert_eq!(statuses(vec![0, 2, 6]), StatusSet::NONE);
    }

    #[test]
    fn listing_goes_on_where_it_ended() {
        let asked = ListInstanceIdsRequest {
            completed_time_from: at(1),
            completed_time_to: at(2),
            page_size: -3,
            ..Default::default()
        };
        let first = list(ListInstanceIdsRequest {
            last_instance_key: Some(String::new()),
            ..asked.clone()
        })
        .expect("valid");
        assert_eq!((first.after, first.size), (None, 100));
        let key = Some(first.listing.token(&place(), &KEY));
        let second = list(ListInstanceIdsRequest {
            last_instance_key: key,
            ..asked
        });
        assert_eq!(second.expect("valid").after, Some(place()));
        let cases: [(_, &'static Row, &'static Rule); 3] = [
            (
                ListInstanceIdsRequest {
                    runtime_status: vec![99],
                    ..Default::default()
                },
                &LIST_STATUS,
                &STATUS,
            ),
            (
                ListInstanceIdsRequest {
                    completed_time_from: at(2),
                    completed_time_to: at(1),
                    ..Default::default()
                },
                &LIST_FROM,
                &rules::SPAN,
            ),
            (
                ListInstanceIdsRequest {
                    last_instance_key: Some("order-1".into()),
                    ..Default::default()
                },
                &LIST_TOKEN,
                &PAGE_TOKEN,
            ),
        ];
        for (request, row, rule) in cases {
            let refusal = list(request).expect_err("malformed");
            assert!(refusal.is(row, rule), "{refusal}");
        }
    }
}
