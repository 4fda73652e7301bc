//! GetWorkItems: what a worker stream asks for.

use longhaul_partition::{Capabilities, Filters, NameFilter, SessionSpec};
use longhaul_proto::sidecar::{GetWorkItemsRequest, WorkItemFilters, WorkerCapability};
use longhaul_types::HubId;

use crate::limits::Limits;
use crate::refusals::rows::{
    FILTER_ACTIVITIES, FILTER_ENTITIES, FILTER_ORCHESTRATIONS, WORK_ACTIVITIES, WORK_ENTITIES,
    WORK_TURNS,
};
use crate::refusals::rules::FILTER_COUNT;
use crate::refusals::{Refusal, Row};

/// Work items of one kind that may be out on one stream, whatever it asks for.
const WORK_ITEMS_PER_STREAM_MAX: u32 = 10_000;

/// `default_limit` stands for 0.
pub(crate) fn session_spec(
    request: GetWorkItemsRequest,
    hub: HubId,
    worker_id: Option<String>,
    default_limit: u32,
    limits: &Limits,
) -> Result<SessionSpec, Refusal> {
    let limit =
        |row: &'static Row, value| row.limit(value, default_limit, WORK_ITEMS_PER_STREAM_MAX);
    let items = [
        limit(&WORK_TURNS, request.max_concurrent_orchestration_work_items)?,
        limit(&WORK_ACTIVITIES, request.max_concurrent_activity_work_items)?,
        limit(&WORK_ENTITIES, request.max_concurrent_entity_work_items)?,
    ];
    let history_streaming = WorkerCapability::HistoryStreaming as i32;
    Ok(SessionSpec {
        hub,
        worker_id,
        limits: items,
        filters: request
            .work_item_filters
            .map(|asked| filters(asked, limits))
            .transpose()?,
        capabilities: Capabilities {
            history_streaming: request.capabilities.contains(&history_streaming),
        },
    })
}

fn filters(filters: WorkItemFilters, limits: &Limits) -> Result<Filters, Refusal> {
    let WorkItemFilters {
        orchestrations,
        activities,
        entities,
    } = filters;
    let orchestrations = orchestrations.into_iter().map(|it| (it.name, it.versions));
    let activities = activities.into_iter().map(|it| (it.name, it.versions));
    let entities = entities.into_iter().map(|it| (it.name, Vec::new()));
    Ok(Filters {
        orchestrations: names(&FILTER_ORCHESTRATIONS, orchestrations, limits)?,
        activities: names(&FILTER_ACTIVITIES, activities, limits)?,
        entities: names(&FILTER_ENTITIES, entities, limits)?,
    })
}

fn names(
    row: &'static Row,
    named: impl ExactSizeIterator<Item = (String, Vec<String>)>,
    limits: &Limits,
) -> Result<Vec<NameFilter>, Refusal> {
    row.count(&FILTER_COUNT, named.len())?;
    let mut count_of_versions = 0;
    named
        .map(|(name, versions)| {
            count_of_versions += versions.len();
            row.count(&FILTER_COUNT, count_of_versions)?;
            let versions = versions.into_iter();
            let versions =
                versions.filter_map(|version| row.version(Some(version), limits).transpose());
            Ok(NameFilter {
                name: row.name_if_any(name, limits)?,
                versions: versions.collect::<Result<_, _>>()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use longhaul_proto::sidecar::{ActivityFilter, EntityFilter, OrchestrationFilter};

    use super::*;
    use crate::refusals::rules::{FILTERS_MAX, NAME_LENGTH, NEGATIVE_LIMIT, VERSION_LENGTH};

    fn spec(request: GetWorkItemsRequest) -> Result<SessionSpec, Refusal> {
        session_spec(
            request,
            HubId(2),
            Some("host,1,ab".to_owned()),
            100,
            &Limits::default(),
        )
    }

    #[test]
    fn limits_are_the_default_what_was_asked_for_or_refused() {
        let limits = |orchestrations, activities, entities| {
            spec(GetWorkItemsRequest {
                max_concurrent_orchestration_work_items: orchestrations,
                max_concurrent_activity_work_items: activities,
                max_concurrent_entity_work_items: entities,
                ..Default::default()
            })
            .map(|spec| spec.limits)
        };
        assert_eq!(limits(0, 0, 0), Ok([100, 100, 100]));
        assert_eq!(
            limits(1, 0, i32::MAX),
            Ok([1, 100, WORK_ITEMS_PER_STREAM_MAX])
        );
        let cases = [
            (limits(-1, 1, 1), &WORK_TURNS),
            (limits(1, i32::MIN, 1), &WORK_ACTIVITIES),
            (limits(1, 1, -5), &WORK_ENTITIES),
        ];
        for (limits, row) in cases {
            let refusal = limits.expect_err("negative");
            assert!(refusal.is(row, &NEGATIVE_LIMIT), "{refusal}");
        }
    }

    #[test]
    fn no_filters_and_empty_filters_differ() {
        assert_eq!(
            spec(GetWorkItemsRequest::default()).expect("valid").filters,
            None
        );
        let empty = GetWorkItemsRequest {
            work_item_filters: Some(WorkItemFilters::default()),
            ..Default::default()
        };
        assert_eq!(
            spec(empty).expect("valid").filters,
            Some(Filters::default())
        );
    }

    #[test]
    fn filters_keep_names_and_versions() {
        let versions = || vec![String::new(), "2".to_owned()];
        let asked = WorkItemFilters {
            orchestrations: vec![OrchestrationFilter {
                name: "O".into(),
                versions: versions(),
            }],
            activities: vec![ActivityFilter {
                name: "A".into(),
                versions: Vec::new(),
            }],
            entities: vec![EntityFilter {
                name: "Counter".into(),
            }],
        };
        let got = filters(asked, &Limits::default());
        let expected = Filters {
            orchestrations: vec![NameFilter {
                name: "O".into(),
                versions: versions(),
            }],
            activities: vec![NameFilter {
                name: "A".into(),
                versions: Vec::new(),
            }],
            entities: vec![NameFilter {
                name: "Counter".into(),
                versions: Vec::new(),
            }],
        };
        assert_eq!(got, Ok(expected));
    }

    #[test]
    fn filters_have_bounds() {
        let entities = |entities| WorkItemFilters {
            entities,
            ..Default::default()
        };
        let activity = |activity| WorkItemFilters {
            activities: vec![activity],
            ..Default::default()
        };
        let long = || "x".repeat(Limits::default().name_bytes + 1);
        let cases = [
            (
                entities(vec![EntityFilter::default(); FILTERS_MAX + 1]),
                &FILTER_ENTITIES,
                &FILTER_COUNT,
            ),
            (
                entities(vec![EntityFilter { name: long() }]),
                &FILTER_ENTITIES,
                &NAME_LENGTH,
            ),
            (
                activity(ActivityFilter {
                    name: "A".into(),
                    versions: vec![String::new(); FILTERS_MAX + 1],
                }),
                &FILTER_ACTIVITIES,
                &FILTER_COUNT,
            ),
            (
                activity(ActivityFilter {
                    name: "A".into(),
                    versions: vec![long()],
                }),
                &FILTER_ACTIVITIES,
                &VERSION_LENGTH,
            ),
        ];
        for (case, row, rule) in cases {
            let refusal = filters(case, &Limits::default()).expect_err("too much");
            assert!(refusal.is(row, rule), "{refusal}");
        }
        let most = entities(vec![EntityFilter::default(); FILTERS_MAX]);
        assert!(filters(most, &Limits::default()).is_ok());
    }

    #[test]
    fn capabilities_this_server_does_not_know_are_ignored() {
        let streams = |capabilities| {
            let request = GetWorkItemsRequest {
                capabilities,
                ..Default::default()
            };
            spec(request).expect("valid").capabilities.history_streaming
        };
        assert!(!streams(vec![]));
        assert!(!streams(vec![0, 2, 3, 77, -1]));
        assert!(streams(vec![3, 1]));
    }
}
