//! In which order a search goes, and which keys can be in it.

use std::ops::Range;

use longhaul_engine::Status;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::query::{Span, StatusSet, TimePosition};
use longhaul_types::HubId;

use super::Record;
use crate::keys::index::SortableTime;
use crate::keys::{self, Kind, text};

/// Instances of a hub by creation or completion time, then by id.
pub(super) struct ByTime<'a> {
    /// [`Kind::Created`] or [`Kind::Finished`].
    pub(super) kind: Kind,
    pub(super) hub: HubId,
    pub(super) statuses: StatusSet,
    pub(super) span: Span,
    pub(super) id_prefix: &'a str,
    pub(super) after: Option<&'a TimePosition>,
}

/// Instances, entities or both of a hub by id.
pub(super) struct ById<'a> {
    pub(super) kinds: &'a [Kind],
    pub(super) hub: HubId,
    pub(super) id_prefix: &'a str,
    pub(super) after: Option<&'a InstanceKey>,
}

impl ByTime<'_> {
    /// Whether a key names an instance that is looked for, if its times and its status are.
    pub(super) fn concerns(&self, key: &InstanceKey) -> bool {
        key.hub == self.hub
            && keys::instance::kind(key) == Kind::Instance
            && key.id.as_str().starts_with(self.id_prefix)
    }

    /// Where in the order a record is; `None` if it is not looked for.
    pub(super) fn position(&self, key: &InstanceKey, record: &Record) -> Option<TimePosition> {
        let instance = record.as_instance()?;
        let status = instance.effective_status();
        let at = match self.kind {
            Kind::Finished => instance.completed_at.filter(|_| status.is_terminal())?,
            _ => instance.created_at,
        };
        let is_wanted =
            self.concerns(key) && self.statuses.contains(status) && self.span.contains(at);
        let place = TimePosition {
            at,
            id: key.id.clone(),
        };
        (is_wanted && self.after.is_none_or(|after| *after < place)).then_some(place)
    }

    /// Keys of the entries with this status.
    pub(super) fn range(&self, status: Status) -> Range<Vec<u8>> {
        let lane = keys::index::lane(self.kind, self.hub, status);
        let time =
            |at| keys::index::encode_time(self.kind, self.hub, status, SortableTime::from(at));
        let begin = self.span.from.map_or(lane.to_vec(), time);
        let after = self.after.map(|after| {
            let at = after.at.into();
            next(keys::index::encode(
                self.kind, self.hub, status, at, &after.id,
            ))
        });
        begin.max(after.unwrap_or_default())..self.span.to.map_or_else(|| end(&lane), time)
    }
}

impl ById<'_> {
    /// Keys of the rows of this kind.
    pub(super) fn range(&self, kind: Kind) -> Range<Vec<u8>> {
        let mut begin = keys::instance::hub(kind, self.hub).to_vec();
        text::put_prefix(self.id_prefix, &mut begin);
        let end = end(&begin);
        let after = self
            .after
            .map(|after| next(keys::instance::encode(kind, after)));
        begin.max(after.unwrap_or_default())..end
    }
}

/// The first key after this one.
fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The first key after those with this prefix.
fn end(prefix: &[u8]) -> Vec<u8> {
    keys::end_of(prefix).expect("kinds are below 255")
}
