//! Answers to calls.

use longhaul_engine::{Reply, Status};
use longhaul_proto::routing::v1 as wire;
use wire::reply::{self as p, Reply as ReplyBody};
use wire::response::{self as r, Outcome as Body};

use super::values::{
    entity, entity_to_wire, execution, execution_to_wire, id, id_to_wire, instance,
    instance_to_wire, position, position_to_wire, required, status,
};
use super::{Malformed, failure};
use crate::errors::Failure;
use crate::operation::{HistoryPage, Outcome};

pub(super) fn to_wire(outcome: Result<Outcome, Failure>) -> wire::Response {
    let outcome = match outcome {
        Ok(outcome) => outcome_to_wire(outcome),
        Err(failure) => Body::Failure(failure::to_wire(failure)),
    };
    wire::Response {
        outcome: Some(outcome),
    }
}

fn outcome_to_wire(outcome: Outcome) -> Body {
    match outcome {
        Outcome::Reply(reply) => Body::Reply(reply_to_wire(&reply)),
        Outcome::View(view) => Body::View(r::View {
            instance: view.map(|view| instance_to_wire(*view)),
        }),
        Outcome::Entity(view) => Body::Entity(r::Entity {
            entity: view.map(entity_to_wire),
        }),
        Outcome::History(page) => Body::History(r::History {
            page: page.map(page_to_wire),
        }),
        Outcome::Children(ids) => Body::Children(r::Ids {
            ids: ids.iter().map(id_to_wire).collect(),
        }),
        Outcome::Instances(views) => Body::Instances(r::Instances {
            instances: views.into_iter().map(instance_to_wire).collect(),
        }),
        Outcome::Ended(positions) => Body::Ended(r::Ended {
            positions: positions.iter().map(position_to_wire).collect(),
        }),
        Outcome::Entities(views) => Body::Entities(r::Entities {
            entities: views.into_iter().map(entity_to_wire).collect(),
        }),
        Outcome::Done => Body::Done(r::Nothing {}),
    }
}

pub(super) fn from_wire(response: wire::Response) -> Result<Result<Outcome, Failure>, Malformed> {
    Ok(Ok(match required(response.outcome, "outcome")? {
        Body::Failure(failure) => return Ok(Err(failure::from_wire(failure)?)),
        Body::Reply(reply) => Outcome::Reply(self::reply(reply)?),
        Body::View(view) => {
            let view = view.instance.map(instance).transpose()?;
            Outcome::View(view.map(Box::new))
        }
        Body::Entity(view) => Outcome::Entity(view.entity.map(entity).transpose()?),
        Body::History(history) => Outcome::History(history.page.map(page).transpose()?),
        Body::Children(ids) => Outcome::Children(each(ids.ids, |it| id(&it))?),
        Body::Instances(views) => Outcome::Instances(each(views.instances, instance)?),
        Body::Ended(ended) => Outcome::Ended(each(ended.positions, position)?),
        Body::Entities(views) => Outcome::Entities(each(views.entities, entity)?),
        Body::Done(_) => Outcome::Done,
    }))
}

fn each<A, B>(
    items: Vec<A>,
    read: impl Fn(A) -> Result<B, Malformed>,
) -> Result<Vec<B>, Malformed> {
    items.into_iter().map(read).collect()
}

fn page_to_wire(page: HistoryPage) -> r::Page {
    r::Page {
        execution_id: execution_to_wire(&page.execution),
        offset: page.offset,
        encoded_runs: page.runs,
        has_more: page.has_more,
    }
}

fn page(page: r::Page) -> Result<HistoryPage, Malformed> {
    Ok(HistoryPage {
        execution: execution(&page.execution_id)?,
        offset: page.offset,
        runs: page.encoded_runs,
        has_more: page.has_more,
    })
}

fn reply_to_wire(reply: &Reply) -> wire::Reply {
    let nothing = p::Nothing {};
    let number = |status: &Status| status.to_wire();
    let reply = match reply {
        Reply::Done => ReplyBody::Done(nothing),
        Reply::NotFound => ReplyBody::NotFound(nothing),
        Reply::AlreadyExists(status) => ReplyBody::AlreadyExists(number(status)),
        Reply::ContradictoryReuse => ReplyBody::ContradictoryReuse(nothing),
        Reply::Stale => ReplyBody::Stale(nothing),
        Reply::NotEnded(status) => ReplyBody::NotEnded(number(status)),
        Reply::NotFailed(status) => ReplyBody::NotFailed(number(status)),
        Reply::Refused => ReplyBody::Refused(nothing),
        Reply::Purged { count, live } => ReplyBody::Purged(p::Purged {
            count: *count,
            live: *live,
        }),
        Reply::Received { through } => ReplyBody::Received(*through),
    };
    wire::Reply { reply: Some(reply) }
}

fn reply(reply: wire::Reply) -> Result<Reply, Malformed> {
    Ok(match required(reply.reply, "reply")? {
        ReplyBody::Done(_) => Reply::Done,
        ReplyBody::NotFound(_) => Reply::NotFound,
        ReplyBody::AlreadyExists(number) => Reply::AlreadyExists(status(number)?),
        ReplyBody::ContradictoryReuse(_) => Reply::ContradictoryReuse,
        ReplyBody::Stale(_) => Reply::Stale,
        ReplyBody::NotEnded(number) => Reply::NotEnded(status(number)?),
        ReplyBody::NotFailed(number) => Reply::NotFailed(status(number)?),
        ReplyBody::Refused(_) => Reply::Refused,
        ReplyBody::Purged(purged) => Reply::Purged {
            count: purged.count,
            live: purged.live,
        },
        ReplyBody::Received(through) => Reply::Received { through },
    })
}
