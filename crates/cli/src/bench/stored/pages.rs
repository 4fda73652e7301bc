//! Listings with various filters, read page by page in turn.

use std::{ops::Range, sync::Arc, time::Duration};

use longhaul_client::{Client, InstancePage};
use longhaul_proto::sidecar::{InstanceQuery, OrchestrationState, OrchestrationStatus};
use prost_types::Timestamp;
use tokio::time::timeout;

use super::{
    random::Random,
    store::{Stored, timestamp},
};
use crate::bench::load::{Failure, called, failure};

/// Which instances a listing asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    Running,
    /// Those whose ids begin as that of a random stored one does, but for its last two digits.
    Prefix,
    /// Those created within a random hundredth of the time it took to store them.
    Created,
}

const FILTERS: [Filter; 4] = [
    Filter::All,
    Filter::Running,
    Filter::Prefix,
    Filter::Created,
];
const DIGITS_LEFT_OUT: usize = 2;
const CREATED_SHARE: u32 = 100;

impl Filter {
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Running => "running",
            Self::Prefix => "prefix",
            Self::Created => "created",
        }
    }

    fn query(self, stored: &Stored, random: &mut Random) -> InstanceQuery {
        let any = InstanceQuery::default();
        match self {
            Self::All => any,
            Self::Running => InstanceQuery {
                runtime_status: vec![OrchestrationStatus::Running.into()],
                ..any
            },
            Self::Prefix => {
                let mut id = stored.store.id(random.below(stored.count));
                id.truncate((id.len() - DIGITS_LEFT_OUT).max(stored.store.prefix().len() + 1));
                InstanceQuery {
                    instance_id_prefix: Some(id),
                    ..any
                }
            }
            Self::Created => {
                let Range { start, end } = hundredth(stored, random);
                InstanceQuery {
                    created_time_from: Some(timestamp(start)),
                    created_time_to: Some(timestamp(end)),
                    ..any
                }
            }
        }
    }
}

fn hundredth(stored: &Stored, random: &mut Random) -> Range<Duration> {
    let length = (stored.to - stored.from) / CREATED_SHARE;
    let start = stored.from + length * random.below(CREATED_SHARE as usize) as u32;
    start..start + length
}

/// One listing on its way.
#[derive(Debug)]
struct Listing {
    filter: Filter,
    query: InstanceQuery,
    last: Option<Position>,
}

/// Where an instance is in any listing: by time of creation, then id.
type Position = (i64, i32, String);

/// Reads the next page of each listing in turn, and starts one anew that has come to its end.
pub(super) struct Pages {
    client: Client,
    stored: Arc<Stored>,
    page_size: i32,
    timeout: Duration,
    random: Random,
    listings: Vec<Listing>,
    next: usize,
}

impl Pages {
    pub(super) fn new(
        client: Client,
        stored: Arc<Stored>,
        page_size: i32,
        timeout: Duration,
    ) -> Self {
        let mut random = Random::seeded(stored.count as u64);
        let listings = FILTERS
            .iter()
            .map(|filter| Listing::start(*filter, &stored, page_size, &mut random))
            .collect();
        Self {
            client,
            stored,
            page_size,
            timeout,
            random,
            listings,
            next: 0,
        }
    }

    /// Reads and checks one page.
    pub(super) async fn read_next(&mut self) -> (&'static str, Result<(), Failure>) {
        let at = self.next % self.listings.len();
        self.next += 1;
        let listing = &mut self.listings[at];
        let filter = listing.filter;
        let call = self.client.query_instances(listing.query.clone());
        let outcome = match timeout(self.timeout, call).await {
            Err(_) => Err(failure("QueryInstances: timeout")),
            Ok(Err(error)) => Err(called(error)),
            Ok(Ok(page)) => listing.advance(page),
        };
        if !matches!(outcome, Ok(Progress::More)) {
            *listing = Listing::start(filter, &self.stored, self.page_size, &mut self.random);
        }
        (filter.name(), outcome.map(drop))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    End,
}

impl Listing {
    fn start(filter: Filter, stored: &Stored, page_size: i32, random: &mut Random) -> Self {
        Self {
            filter,
            query: InstanceQuery {
                max_instance_count: page_size,
                ..filter.query(stored, random)
            },
            last: None,
        }
    }

    /// Checks a page and goes on to the next one.
    fn advance(&mut self, page: InstancePage) -> Result<Progress, Failure> {
        let wrong = |what: &str| failure(&format!("page of {}: {what}", self.filter.name()));
        let size = usize::try_from(self.query.max_instance_count).unwrap_or(usize::MAX);
        if page.instances.len() > size {
            return Err(wrong("too long"));
        }
        if page.instances.is_empty() && page.next.is_some() {
            return Err(wrong("empty, yet not the last"));
        }
        for state in &page.instances {
            if !matches(&self.query, state) {
                return Err(wrong("an instance that does not match"));
            }
            let position = position(state);
            if self.last.as_ref().is_some_and(|last| *last >= position) {
                return Err(wrong("out of order"));
            }
            self.last = Some(position);
        }
        self.query.continuation_token = page.next;
        Ok(match self.query.continuation_token {
            Some(_) => Progress::More,
            None => Progress::End,
        })
    }
}

fn position(state: &OrchestrationState) -> Position {
    let (seconds, nanos) = moment(state.created_timestamp.as_ref());
    (seconds, nanos, state.instance_id.clone())
}

fn matches(query: &InstanceQuery, state: &OrchestrationState) -> bool {
    let created = moment(state.created_timestamp.as_ref());
    let statuses = &query.runtime_status;
    let prefix = query.instance_id_prefix.as_deref().unwrap_or_default();
    (statuses.is_empty() || statuses.contains(&state.orchestration_status))
        && state.instance_id.starts_with(prefix)
        && (query.created_time_from.as_ref()).is_none_or(|from| moment(Some(from)) <= created)
        && (query.created_time_to.as_ref()).is_none_or(|to| created < moment(Some(to)))
}

fn moment(time: Option<&Timestamp>) -> (i64, i32) {
    time.map_or((0, 0), |time| (time.seconds, time.nanos))
}

#[cfg(test)]
mod tests;
