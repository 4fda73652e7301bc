//! Queries: every page of every partition, while others change what is read.

use bytes::Bytes;
use longhaul_engine::query::{EntityQuery, InstanceFilter, Span, StatusSet, TimePosition};
use longhaul_engine::{InstanceView, Status};
use longhaul_routing::{Home, ReadError, Router};
use longhaul_types::{InstanceId, Timestamp};

use crate::dice::Dice;
use crate::moment::{Found, Moment, View, Wanted};
use crate::sabotage::Sabotage;
use crate::searches;
use crate::world::{HUB, World};

/// Something to ask for.
pub(super) fn wanted(dice: &mut Dice) -> Wanted {
    let prefix = dice.pick(&["", "", "run-", "hold-", "again-", "@ledger@"]);
    let ended = [Status::Completed, Status::Failed, Status::Terminated];
    let statuses = match dice.below(4) {
        0 => vec![Status::Completed],
        1 => ended.to_vec(),
        2 => vec![Status::Running, Status::Pending, Status::Suspended],
        _ => vec![],
    };
    Wanted {
        entities: prefix.starts_with('@'),
        prefix: prefix.to_owned(),
        statuses,
    }
}

/// Reads what there is.
pub(crate) async fn list(world: &World, router: &Router) {
    for prefix in ["", "@"] {
        let wanted = Wanted {
            prefix: prefix.to_owned(),
            statuses: vec![],
            entities: !prefix.is_empty(),
        };
        read(world, router, wanted, &mut Dice::new(0, "list")).await;
    }
}

/// Reads every page.
pub(super) async fn read(world: &World, router: &Router, wanted: Wanted, dice: &mut Dice) {
    let query = world.number();
    world.note(Moment::QueryAsked {
        query,
        wanted: wanted.clone(),
    });
    let mut complete = true;
    for home in router.all() {
        let pages = Pages {
            world,
            home,
            wanted: &wanted,
            size: usize::try_from(dice.between(1, 5)).expect("small"),
        };
        match pages.all(dice).await {
            Ok(found) => world.note(Moment::PartitionRead { query, found }),
            Err(_) => complete = false,
        }
    }
    world.note(Moment::QueryAnswered { query, complete });
}

struct Pages<'a> {
    world: &'a World,
    home: Home,
    wanted: &'a Wanted,
    size: usize,
}

impl Pages<'_> {
    async fn all(&self, dice: &mut Dice) -> Result<Vec<Found>, ReadError> {
        let mut all: Vec<Found> = Vec::new();
        loop {
            let page = match self.wanted.entities {
                true => self.entities(all.last()).await?,
                false => self.instances(all.last()).await?,
            };
            let last = page.len() < self.size;
            let sabotaged = self.world.sabotage() == Sabotage::SkippedRow;
            let skips = sabotaged && !all.is_empty() && page.len() > 1;
            all.extend(page.into_iter().skip(usize::from(skips)));
            if last {
                return Ok(all);
            }
            // Others go on meanwhile.
            if !self.world.healed() {
                tokio::time::sleep(dice.millis(0, 60)).await;
            }
        }
    }

    async fn instances(&self, after: Option<&Found>) -> Result<Vec<Found>, ReadError> {
        let statuses = match self.wanted.statuses.is_empty() {
            true => StatusSet::ALL,
            false => self.wanted.statuses.iter().copied().collect(),
        };
        let filter = InstanceFilter {
            hub: HUB,
            statuses,
            created: Span::default(),
            id_prefix: self.wanted.prefix.clone(),
        };
        let after = after.map(|it| TimePosition {
            at: it.at,
            id: InstanceId::trusted(it.id.as_str()),
        });
        let searching = self.home.query_instances(filter, after, self.size);
        let page = searches::finished(searching).await?;
        Ok(page.iter().map(found).collect())
    }

    async fn entities(&self, after: Option<&Found>) -> Result<Vec<Found>, ReadError> {
        let query = EntityQuery {
            hub: HUB,
            id_prefix: self.wanted.prefix.clone(),
            modified: Span::default(),
            transient: false,
        };
        let after = after.map(|it| InstanceId::trusted(it.id.as_str()));
        let searching = self.home.query_entities(query, after, self.size);
        let page = searches::finished(searching).await?;
        let found = page.into_iter().map(|view| Found {
            id: view.id.to_string(),
            at: Timestamp::EPOCH,
            ended: None,
            view: None,
            state: view.state.as_ref().map(text),
        });
        Ok(found.collect())
    }
}

fn found(view: &InstanceView) -> Found {
    Found {
        id: view.key.id.to_string(),
        at: view.created_at,
        ended: view.completed_at,
        view: Some(seen(view)),
        state: None,
    }
}

/// What a client makes of an instance.
pub(super) fn seen(view: &InstanceView) -> View {
    View {
        execution: view.execution.to_string(),
        status: view.status,
        input: view.input.as_ref().map(text).unwrap_or_default(),
        output: view.output.as_ref().map(text),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
