//! Pages over all partitions: each hands out its own next items, in order, a few at a time, and they are merged.
//!
//! ```text
//!   partition 0   a d │ f        whoever has the least goes first;
//!   partition 1   b c e │        an empty feed is filled again before anybody goes on
//! ```
//!
//! Items are rendered as they are taken. However large what is stored, not much of it is in memory at once.

use std::collections::VecDeque;

use futures::future::try_join_all;
use longhaul_engine::InstanceView;
use longhaul_engine::query::{EntityView, TimePosition};
use longhaul_routing::{Home, ReadError};
use longhaul_types::limits;
use prost::Message;
use tonic::Status;

use super::TaskHubService;
use crate::paging::{Page, Taken};
use crate::status;

/// Something of which there are pages.
pub(super) trait Listed: Sized {
    /// Its place in the order.
    type Place: Ord + Clone;

    fn place(&self) -> Self::Place;

    /// Bytes of its payloads.
    fn bytes(&self) -> usize;
}

impl Listed for InstanceView {
    type Place = TimePosition;

    fn place(&self) -> TimePosition {
        TimePosition {
            at: self.created_at,
            id: self.key.id.clone(),
        }
    }

    fn bytes(&self) -> usize {
        self.payload_bytes()
    }
}

impl Listed for TimePosition {
    type Place = Self;

    fn place(&self) -> Self {
        self.clone()
    }

    fn bytes(&self) -> usize {
        0
    }
}

impl Listed for EntityView {
    type Place = longhaul_types::InstanceId;

    fn place(&self) -> Self::Place {
        self.id.clone()
    }

    fn bytes(&self) -> usize {
        self.payload_bytes()
    }
}

/// The next page after a place: its items, and the place of the last one if there are more. `read` asks one partition
/// for up to so many items after a place.
pub(super) async fn next_page<T, M, R>(
    service: &TaskHubService,
    size: usize,
    after: Option<T::Place>,
    read: impl Fn(Home, Option<T::Place>, usize) -> R,
    render: impl Fn(&T) -> Result<M, Status>,
) -> Result<(Vec<M>, Option<T::Place>), Status>
where
    T: Listed,
    M: Message,
    R: Future<Output = Result<Vec<T>, ReadError>>,
{
    let homes = service.dependencies.router.all().into_iter();
    let mut feeds: Vec<Feed<T>> = homes.map(|home| Feed::new(home, after.clone())).collect();
    let mut page = Page::of(size);
    let mut last = None;
    loop {
        // One more than the page has room for tells whether it is the last.
        let share = share_of(size + 1 - page.len(), feeds.len());
        let hungry = feeds.iter_mut().filter(|feed| feed.is_hungry());
        try_join_all(hungry.map(|feed| feed.fill(share, &read)))
            .await
            .map_err(|error| status::of_read_error(&error))?;
        while feeds.iter().all(|feed| !feed.is_hungry()) {
            let least = feeds
                .iter_mut()
                .filter(|feed| !feed.items.is_empty())
                .min_by_key(|feed| feed.items.front().map(T::place));
            let Some(item) = least.and_then(|feed| feed.items.pop_front()) else {
                return Ok((page.into_items(), None));
            };
            match page.take(render(&item)?) {
                Taken::Yes => last = Some(item.place()),
                Taken::No => return Ok((page.into_items(), last)),
            }
        }
    }
}

/// How many of `items` one of several partitions is asked for: its share, and as many more as chance often gives one of
/// them, since an item too much costs less than another search.
fn share_of(items: usize, partitions: usize) -> usize {
    let share = items.div_ceil(partitions);
    items.min(share + 2 * share.isqrt())
}

/// What one partition has handed out.
struct Feed<T: Listed> {
    home: Home,
    items: VecDeque<T>,
    /// Place of the last item it handed out.
    after: Option<T::Place>,
    has_more: bool,
}

impl<T: Listed> Feed<T> {
    fn new(home: Home, after: Option<T::Place>) -> Self {
        Self {
            home,
            items: VecDeque::new(),
            after,
            has_more: true,
        }
    }

    fn is_hungry(&self) -> bool {
        self.items.is_empty() && self.has_more
    }

    async fn fill<R>(
        &mut self,
        limit: usize,
        read: impl Fn(Home, Option<T::Place>, usize) -> R,
    ) -> Result<(), ReadError>
    where
        R: Future<Output = Result<Vec<T>, ReadError>>,
    {
        let found = read(self.home.clone(), self.after.clone(), limit).await?;
        let bytes: usize = found.iter().map(T::bytes).sum();
        self.has_more = found.len() >= limit || bytes >= limits::SEARCH_BYTES_MAX;
        if let Some(last) = found.last() {
            self.after = Some(last.place());
        }
        self.items = found.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_a_partition_probably_has_and_never_more_than_is_wanted() {
        for (items, partitions, share) in [
            (101, 1, 101),
            (101, 4, 36),
            (101, 8, 19),
            (1, 8, 1),
            (5, 4, 4),
            (1001, 64, 24),
        ] {
            assert_eq!(
                share_of(items, partitions),
                share,
                "{items} of {partitions}"
            );
        }
    }
}
