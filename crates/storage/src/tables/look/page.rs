//! Pages of instances by creation time, and the two ways to them.
//!
//! ```text
//!   by time   index entries in order, those with other ids passed over    until the page is full
//!   by id     all records whose ids match, those that come first kept     until there are no more
//! ```
//!
//! Which is shorter depends on how many ids match and on where they are in time, which nobody knows beforehand. So with
//! a prefix both are walked in turns, and the first to arrive answers. They cost the same in every turn, and therefore a
//! page twice as much as the better way alone, at most.
//!
//! A page ends early with [`limits::SEARCH_BYTES_MAX`] bytes of payloads.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::query::TimePosition;
use longhaul_engine::tables::TableFault;
use longhaul_engine::view::InstanceView;
use longhaul_types::limits;

use super::merge::{Merge, Next};
use super::order::{ById, ByTime};
use super::{Look, Record, decode_key};
use crate::keys::Kind;

/// Index entries passed in a turn.
pub(in crate::tables) const ENTRIES: usize = 256;

/// Records read in a turn: reading one costs about as much as passing eight index entries.
pub(in crate::tables) const RECORDS: usize = ENTRIES / 8;

/// The first `limit` instances in this order.
pub(super) fn first(
    look: &Look,
    order: &ByTime<'_>,
    limit: usize,
) -> Result<Vec<InstanceView>, TableFault> {
    let mut by_time = TimeWalk::new(look, order, limit)?;
    if order.id_prefix.is_empty() {
        by_time.go_on()?;
        return by_time.answer();
    }
    let mut by_id = IdWalk::new(look, order, limit)?;
    loop {
        by_id.merge.allow(RECORDS);
        if by_id.go_on()? {
            return Ok(by_id.answer());
        }
        by_time.merge.allow(ENTRIES);
        if by_time.go_on()? {
            return by_time.answer();
        }
    }
}

struct TimeWalk<'a> {
    look: &'a Look,
    merge: Merge<'a>,
    limit: usize,
    found: Vec<Found>,
}

/// Records are read only if the walk answers.
enum Found {
    Entry(Box<[u8]>),
    Instance(Box<InstanceView>),
}

impl<'a> TimeWalk<'a> {
    fn new(look: &'a Look, order: &ByTime<'_>, limit: usize) -> Result<Self, TableFault> {
        Ok(Self {
            look,
            merge: Merge::by_time(look, order)?,
            limit,
            found: Vec::new(),
        })
    }

    /// Walks until it is there or the allowance is used up; answers whether it is there.
    fn go_on(&mut self) -> Result<bool, TableFault> {
        while self.found.len() < self.limit {
            match self.merge.next()? {
                Next::Row { key, .. } => self.found.push(Found::Entry(key.into())),
                Next::Unwritten { key, record } => {
                    let instance = record.as_instance();
                    let view = instance.map(|instance| Box::new(InstanceView::of(key, instance)));
                    self.found.extend(view.map(Found::Instance));
                }
                Next::Paused => return Ok(false),
                Next::End => break,
            }
        }
        Ok(true)
    }

    fn answer(self) -> Result<Vec<InstanceView>, TableFault> {
        let (mut views, mut bytes) = (Vec::new(), 0);
        for found in self.found {
            let view = match found {
                Found::Entry(entry) => self.look.read_indexed(&entry)?,
                Found::Instance(view) => *view,
            };
            bytes += view.payload_bytes();
            views.push(view);
            if bytes >= limits::SEARCH_BYTES_MAX {
                break;
            }
        }
        Ok(views)
    }
}

struct IdWalk<'a> {
    merge: Merge<'a>,
    order: &'a ByTime<'a>,
    first: First,
}

/// What comes first in the order, whatever order it is found in.
struct First {
    limit: usize,
    found: BTreeMap<TimePosition, InstanceView>,
    /// Of the payloads in `found`.
    bytes: usize,
    /// The first of those for which there was no room: nothing from there on is wanted.
    end: Option<TimePosition>,
}

impl<'a> IdWalk<'a> {
    fn new(look: &'a Look, order: &'a ByTime<'a>, limit: usize) -> Result<Self, TableFault> {
        let ids = ById {
            kinds: &[Kind::Instance],
            hub: order.hub,
            id_prefix: order.id_prefix,
            after: None,
        };
        Ok(Self {
            merge: Merge::by_id(look, &ids)?,
            order,
            first: First {
                limit,
                found: BTreeMap::new(),
                bytes: 0,
                end: None,
            },
        })
    }

    /// Walks until it is there or the allowance is used up; answers whether it is there.
    fn go_on(&mut self) -> Result<bool, TableFault> {
        loop {
            match self.merge.next()? {
                Next::Row { key, value } => {
                    let key = decode_key(Kind::Instance, key)?;
                    let record = Record::decode(&key, Bytes::copy_from_slice(value))?;
                    self.first.offer(self.order, &key, &record);
                }
                Next::Unwritten { key, record } => self.first.offer(self.order, key, record),
                Next::Paused => return Ok(false),
                Next::End => return Ok(true),
            }
        }
    }

    fn answer(self) -> Vec<InstanceView> {
        self.first.found.into_values().collect()
    }
}

impl First {
    fn offer(&mut self, order: &ByTime<'_>, key: &InstanceKey, record: &Record) {
        let Some(instance) = record.as_instance() else {
            return;
        };
        let Some(place) = order.position(key, record) else {
            return;
        };
        if self.end.as_ref().is_some_and(|end| *end <= place) {
            return;
        }
        let view = InstanceView::of(key, instance);
        self.bytes += view.payload_bytes();
        self.found.insert(place, view);
        while let Some((_, last)) = self.found.last_key_value() {
            let rest = self.bytes - last.payload_bytes();
            if self.found.len() <= self.limit && rest < limits::SEARCH_BYTES_MAX {
                break;
            }
            self.bytes = rest;
            self.end = self.found.pop_last().map(|(place, _)| place);
        }
    }
}
