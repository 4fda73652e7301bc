//! Pages: how large they are, where they end, and the tokens that lead to the next one.
//!
//! ```text
//!   payload of a token:  version ‖ fingerprint of the query (8) ‖ position
//!   position by time:    seconds (8) ‖ nanoseconds (4) ‖ id        by id:  id
//! ```
//!
//! A token is sealed by [`longhaul_partition::paging`], which ties it to the kind of listing and the task hub. The
//! fingerprint ties it to the filters; the size of the page and how much is shown may change from page to page.

use longhaul_engine::query::{EndedFilter, EntityQuery, InstanceFilter, Span, TimePosition};
use longhaul_partition::paging;
use longhaul_types::{HubId, InstanceId, Timestamp, limits};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use crate::refusals::rules::PAGE_TOKEN;
use crate::refusals::{Refusal, Row};

/// Changes with the layout: an older token is refused, and its owner begins again.
const VERSION: u8 = 1;

/// The cluster's key for tokens.
pub(crate) type Key = [u8; 32];

/// Items of a page, from what was asked for.
pub(crate) fn size(asked_for: i32) -> usize {
    match usize::try_from(asked_for) {
        Ok(0) | Err(_) => limits::PAGE_DEFAULT,
        Ok(size) => size.min(limits::PAGE_MAX),
    }
}

/// A page on its way: full with so many items, or before it is larger than clients accept. A single item is a page,
/// however large.
#[derive(Debug)]
pub(crate) struct Page<M> {
    items: Vec<M>,
    size: usize,
    bytes: usize,
}

/// Whether an item is on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is.
    Yes,
    /// The page is full: the item begins the next one.
    No,
}

/// Tag and length of an item in its page.
const FRAMING_BYTES_MAX: usize = 6;

impl<M: Message> Page<M> {
    /// An empty one for `size` items.
    pub(crate) fn of(size: usize) -> Self {
        Self {
            items: Vec::new(),
            size,
            bytes: 0,
        }
    }

    pub(crate) fn take(&mut self, item: M) -> Taken {
        let bytes = self.bytes + item.encoded_len() + FRAMING_BYTES_MAX;
        let is_too_large = bytes > limits::PAGE_BYTES_MAX && !self.items.is_empty();
        if self.items.len() == self.size || is_too_large {
            return Taken::No;
        }
        self.bytes = bytes;
        self.items.push(item);
        Taken::Yes
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn into_items(self) -> Vec<M> {
        self.items
    }
}

/// A place in a listing.
pub(crate) trait Position: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(bytes: &[u8]) -> Option<Self>;
}

impl Position for InstanceId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        Self::parse_any(std::str::from_utf8(bytes).ok()?).ok()
    }
}

impl Position for TimePosition {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at.seconds.to_le_bytes());
        out.extend_from_slice(&self.at.nanos.to_le_bytes());
        self.id.put(out);
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        let (seconds, rest) = bytes.split_first_chunk()?;
        let (nanos, id) = rest.split_first_chunk()?;
        let at = Timestamp {
            seconds: i64::from_le_bytes(*seconds),
            nanos: u32::from_le_bytes(*nanos),
        };
        Some(Self {
            at,
            id: InstanceId::take(id)?,
        })
    }
}

/// What is listed: pages of one listing follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listing {
    kind: &'static str,
    hub: HubId,
    fingerprint: u64,
}

impl Listing {
    pub(crate) fn of_instances(filter: &InstanceFilter) -> Self {
        let mut fingerprint = Fingerprint::default();
        let statuses = filter.statuses.iter().map(|status| status as u8);
        fingerprint.bytes(&statuses.collect::<Vec<_>>());
        fingerprint.span(filter.created);
        fingerprint.bytes(filter.id_prefix.as_bytes());
        fingerprint.listing("instances", filter.hub)
    }

    pub(crate) fn of_ended(filter: &EndedFilter) -> Self {
        let mut fingerprint = Fingerprint::default();
        let statuses = filter.statuses.iter().map(|status| status as u8);
        fingerprint.bytes(&statuses.collect::<Vec<_>>());
        fingerprint.span(filter.completed);
        fingerprint.listing("ended instances", filter.hub)
    }

    pub(crate) fn of_entities(query: &EntityQuery) -> Self {
        let mut fingerprint = Fingerprint::default();
        fingerprint.bytes(query.id_prefix.as_bytes());
        fingerprint.span(query.modified);
        fingerprint.bytes(&[u8::from(query.transient)]);
        fingerprint.listing("entities", query.hub)
    }

    /// The token of the page after `position`.
    pub(crate) fn token(&self, position: &impl Position, key: &Key) -> String {
        let mut payload = vec![VERSION];
        payload.extend_from_slice(&self.fingerprint.to_le_bytes());
        position.put(&mut payload);
        paging::seal(self.kind, self.hub, &payload, key)
    }

    /// Where a page begins: nowhere in particular without a token, which some SDKs send empty.
    pub(crate) fn position<P: Position>(
        &self,
        row: &'static Row,
        token: Option<&str>,
        key: &Key,
    ) -> Result<Option<P>, Refusal> {
        match token {
            None | Some("") => Ok(None),
            Some(token) => match self.opened(token, key) {
                Some(position) => Ok(Some(position)),
                None => Err(row.refuse(&PAGE_TOKEN, "")),
            },
        }
    }

    fn opened<P: Position>(&self, token: &str, key: &Key) -> Option<P> {
        let payload = paging::open(self.kind, self.hub, token, key)?;
        let (version, rest) = payload.split_first()?;
        let (fingerprint, position) = rest.split_first_chunk()?;
        if *version != VERSION || u64::from_le_bytes(*fingerprint) != self.fingerprint {
            return None;
        }
        P::take(position)
    }
}

/// Every part is preceded by its length, so that no two queries run into the same bytes.
#[derive(Default)]
struct Fingerprint(Xxh3);

impl Fingerprint {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn span(&mut self, span: Span) {
        for end in [span.from, span.to] {
            match end {
                None => self.bytes(&[]),
                Some(at) => {
                    let parts = [&at.seconds.to_le_bytes()[..], &at.nanos.to_le_bytes()[..]];
                    self.bytes(&parts.concat());
                }
            }
        }
    }

    fn listing(self, kind: &'static str, hub: HubId) -> Listing {
        Listing {
            kind,
            hub,
            fingerprint: self.0.digest(),
        }
    }
}

#[cfg(test)]
mod tests;
