//! GetWorkItems: what a worker stream asks for.

use longhaul_partition::{Capabilities, Filters, NameFilter, SessionSpec};
use longhaul_proto::sidecar::{GetWorkItemsRequest, WorkItemFilters, WorkerCapability};
use longhaul_types::HubId;

use super::{FILTERS_MAX, Invalid, WORK_ITEMS_PER_STREAM_MAX};

/// `default_limit` stands for 0.
pub(crate) fn session_spec(
    request: GetWorkItemsRequest,
    hub: HubId,
    worker_id: Option<String>,
    default_limit: u32,
) -> Result<SessionSpec, Invalid> {
    let limit = |field, value: i32| match u32::try_from(value) {
        Ok(0) => Ok(default_limit),
        Ok(limit) => Ok(limit.min(WORK_ITEMS_PER_STREAM_MAX)),
        Err(_) => Err(Invalid::NegativeLimit { field, value }),
    };
    let limits = [
        limit(
            "maxConcurrentOrchestrationWorkItems",
            request.max_concurrent_orchestration_work_items,
        )?,
        limit(
            "maxConcurrentActivityWorkItems",
            request.max_concurrent_activity_work_items,
        )?,
        limit(
            "maxConcurrentEntityWorkItems",
            request.max_concurrent_entity_work_items,
        )?,
    ];
    let history_streaming = WorkerCapability::HistoryStreaming as i32;
    Ok(SessionSpec {
        hub,
        worker_id,
        limits,
        filters: request.work_item_filters.map(filters).transpose()?,
        capabilities: Capabilities {
            history_streaming: request.capabilities.contains(&history_streaming),
        },
    })
}

fn filters(filters: WorkItemFilters) -> Result<Filters, Invalid> {
    let named = |(name, versions)| NameFilter { name, versions };
    bounded("orchestrations", filters.orchestrations.len())?;
    bounded("activities", filters.activities.len())?;
    bounded("entities", filters.entities.len())?;
    Ok(Filters {
        orchestrations: filters
            .orchestrations
            .into_iter()
            .map(|filter| named((filter.name, filter.versions)))
            .collect(),
        activities: filters
            .activities
            .into_iter()
            .map(|filter| named((filter.name, filter.versions)))
            .collect(),
        entities: filters
            .entities
            .into_iter()
            .map(|filter| named((filter.name, Vec::new())))
            .collect(),
    })
}

fn bounded(field: &'static str, count: usize) -> Result<(), Invalid> {
    if count > FILTERS_MAX {
        return Err(Invalid::TooManyFilters { field, count });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use longhaul_proto::sidecar::{ActivityFilter, EntityFilter, OrchestrationFilter};

    use super::*;

    fn spec(request: GetWorkItemsRequest) -> Result<SessionSpec, Invalid> {
        session_spec(request, HubId(2), Some("host,1,ab".to_owned()), 100)
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
        for refused in [limits(-1, 1, 1), limits(1, i32::MIN, 1), limits(1, 1, -5)] {
            assert!(
                matches!(refused, Err(Invalid::NegativeLimit { .. })),
                "{refused:?}"
            );
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
        let got = filters(WorkItemFilters {
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
        });
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
        let many = vec![EntityFilter::default(); FILTERS_MAX + 1];
        let refused = filters(WorkItemFilters {
            entities: many,
            ..Default::default()
        });
        assert!(matches!(
            refused,
            Err(Invalid::TooManyFilters {
                field: "entities",
                ..
            })
        ));
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
