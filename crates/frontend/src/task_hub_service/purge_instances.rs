//! PurgeInstances: ended instances and entities go for good, one, several, or all that match.
//!
//! ```text
//!   one, several ─┬─────────────► delete ─► count
//!   matching ─ page by page ─┘      ▲
//!                       recursive: children first, as deep as they go
//! ```
//!
//! A parent leaves last: if the call is cut short, its children can still be found through it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::future::try_join_all;
use longhaul_engine::command::PurgeTarget;
use longhaul_engine::query::InstanceFilter;
use longhaul_engine::{Command, InstanceKey, Reply};
use longhaul_proto::sidecar::{PurgeInstancesRequest, PurgeInstancesResponse};
use longhaul_routing::Home;
use longhaul_types::InstanceId;
use tokio::time::Instant;
use tonic::{Request, Status};

use super::TaskHubService;
use super::pages::Listed;
use crate::from_proto::{self, Purge};
use crate::refusals::rows::PURGE_ID;
use crate::refusals::rules::LIVE;
use crate::status::{self, Repeat};
use crate::{metadata, refusals};

/// Instances deleted in one command at most, so that nothing else waits for long.
const TARGETS_MAX: usize = 128;

/// The answer leaves this much before the caller's deadline, which some SDKs set to the time of the filter.
const ANSWER_MARGIN: Duration = Duration::from_millis(250);

pub(super) async fn call(
    service: &TaskHubService,
    request: Request<PurgeInstancesRequest>,
) -> Result<PurgeInstancesResponse, Status> {
    let began = Instant::now();
    let patience = metadata::timeout(request.metadata());
    let hub = service.hub(request.metadata()).await?;
    let request = request.into_inner();
    let recursive = request.recursive;
    let purge = from_proto::purge(request, hub)?;
    let until = [
        patience.map(|patience| patience.saturating_sub(ANSWER_MARGIN)),
        purge.timeout(),
    ];
    let mut sweep = Sweep {
        service,
        recursive,
        until: until.into_iter().flatten().min().map(|it| began + it),
        pending: Vec::new(),
        deleted: 0,
        live: 0,
    };
    let reached = match purge {
        Purge::One {
            key,
            is_orchestration,
        } => {
            let reached = sweep.all(key.clone()).await?;
            match key {
                Some(key) if sweep.live > 0 && is_orchestration => {
                    return Err(refused(&key));
                }
                Some(_) | None => reached,
            }
        }
        Purge::Batch(keys) => sweep.all(keys).await?,
        Purge::Matching { filter, .. } => sweep.matching(&filter).await?,
    };
    Ok(PurgeInstancesResponse {
        deleted_instance_count: i32::try_from(sweep.deleted).unwrap_or(i32::MAX),
        is_complete: Some(reached == Reached::TheEnd),
    })
}

fn refused(key: &InstanceKey) -> Status {
    let refusal: refusals::Refusal = PURGE_ID.refuse(&LIVE, &key.id);
    refusal.into()
}

/// How far a sweep got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    TheEnd,
    TheTimeLimit,
}

struct Sweep<'a> {
    service: &'a TaskHubService,
    recursive: bool,
    until: Option<Instant>,
    /// To be deleted, none of them the parent of another.
    pending: Vec<PurgeTarget>,
    deleted: u64,
    /// Left because they have not ended.
    live: u64,
}

/// An instance whose children are being looked at.
struct Branch {
    target: PurgeTarget,
    children: Vec<InstanceId>,
    has_children: bool,
}

impl Sweep<'_> {
    async fn all(
        &mut self,
        keys: impl IntoIterator<Item = InstanceKey>,
    ) -> Result<Reached, Status> {
        let mut reached = Reached::TheEnd;
        for key in keys {
            reached = if self.recursive && !key.id.is_entity() {
                match self.ended(key).await? {
                    Some(root) => self.with_descendants(root).await?,
                    None => Reached::TheEnd,
                }
            } else {
                let completed_at = None;
                self.add(PurgeTarget { key, completed_at }).await?;
                self.progress()
            };
            if reached == Reached::TheTimeLimit {
                break;
            }
        }
        self.flush().await?;
        Ok(reached)
    }

    async fn matching(&mut self, filter: &InstanceFilter) -> Result<Reached, Status> {
        for home in self.service.dependencies.router.all() {
            if self.matching_in(&home, filter).await? == Reached::TheTimeLimit {
                return Ok(Reached::TheTimeLimit);
            }
        }
        Ok(Reached::TheEnd)
    }

    async fn matching_in(
        &mut self,
        home: &Home,
        filter: &InstanceFilter,
    ) -> Result<Reached, Status> {
        let mut after = None;
        loop {
            let found = home
                .query_instances(filter.clone(), after, TARGETS_MAX)
                .await
                .map_err(|error| status::of_read_error(&error))?;
            after = found.last().map(Listed::place);
            if after.is_none() {
                return Ok(Reached::TheEnd);
            }
            let mut reached = Reached::TheEnd;
            for view in found {
                let target = PurgeTarget {
                    key: view.key,
                    completed_at: view.completed_at,
                };
                reached = if self.recursive {
                    self.with_descendants(target).await?
                } else {
                    self.add(target).await?;
                    self.progress()
                };
                if reached == Reached::TheTimeLimit {
                    break;
                }
            }
            self.flush().await?;
            if reached == Reached::TheTimeLimit {
                return Ok(reached);
            }
        }
    }

    fn progress(&self) -> Reached {
        match self.until {
            Some(until) if Instant::now() >= until => Reached::TheTimeLimit,
            Some(_) | None => Reached::TheEnd,
        }
    }

    /// Deletes an instance after its children, theirs first. Live ones are left alone with all below them.
    async fn with_descendants(&mut self, root: PurgeTarget) -> Result<Reached, Status> {
        let hub = root.key.hub;
        let mut seen = HashSet::from([root.key.id.clone()]);
        let mut open = vec![self.branch(root).await?];
        while let Some(branch) = open.last_mut() {
            if self.progress() == Reached::TheTimeLimit {
                return Ok(Reached::TheTimeLimit);
            }
            if let Some(child) = branch.children.pop() {
                if seen.insert(child.clone())
                    && let Some(target) = self.ended(InstanceKey::new(hub, child)).await?
                {
                    open.push(self.branch(target).await?);
                }
            } else if let Some(done) = open.pop() {
                if done.has_children {
                    self.flush().await?;
                }
                self.add(done.target).await?;
            }
        }
        Ok(Reached::TheEnd)
    }

    async fn branch(&self, target: PurgeTarget) -> Result<Branch, Status> {
        let home = self.service.dependencies.router.home(&target.key);
        let children = home
            .children(&target.key)
            .await
            .map_err(|error| status::of_read_error(&error))?;
        Ok(Branch {
            target,
            has_children: !children.is_empty(),
            children,
        })
    }

    /// The instance, if there is one and it has ended.
    async fn ended(&mut self, key: InstanceKey) -> Result<Option<PurgeTarget>, Status> {
        let home = self.service.dependencies.router.home(&key);
        let view = home
            .view(&key)
            .await
            .map_err(|error| status::of_read_error(&error))?;
        match view {
            Some(view) if view.status.is_terminal() => Ok(Some(PurgeTarget {
                key,
                completed_at: view.completed_at,
            })),
            Some(_) => {
                self.live += 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn add(&mut self, target: PurgeTarget) -> Result<(), Status> {
        self.pending.push(target);
        if self.pending.len() < TARGETS_MAX {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Status> {
        let router = &self.service.dependencies.router;
        let mut by_home = BTreeMap::new();
        for target in self.pending.drain(..) {
            let home = router.home(&target.key);
            let (_, targets) = by_home.entry(home.id()).or_insert((home, Vec::new()));
            targets.push(target);
        }
        let proposals = by_home
            .into_values()
            .map(|(home, targets)| async move { home.propose(Command::Purge { targets }).await });
        let replies = try_join_all(proposals)
            .await
            .map_err(|error| status::of_propose_error(&error, Repeat::Harmless))?;
        for reply in replies {
            match reply {
                Reply::Purged { count, live } => {
                    self.deleted += u64::from(count);
                    self.live += u64::from(live);
                }
                _ => return Err(status::fault("a purge was answered as another command")),
            }
        }
        Ok(())
    }
}
