//! Names of rows inside the column family of a partition replica.
//!
//! A key is a kind byte, then fields whose bytes order as the values do: numbers big-endian, texts escaped and
//! terminated (see [`text`]). `I` stands for an instance key: hub as 4 bytes, then the instance id as a text.
//!
//! | kind | byte | after it | value | written |
//! |---|---|---|---|---|
//! | [`Kind::Partition`] | `a` | – | `PartitionRow`: applied position, membership, outbox numbers | replaced by every checkpoint |
//! | [`Kind::Entity`] | `e` | I | `Entity` | replaced when it changed; removed when nothing is left of it |
//! | [`Kind::Finished`] | `f` | hub, status, completed, id | empty | with its instance, while that has ended |
//! | [`Kind::History`] | `h` | I, execution id, number u32 | `HistoryRun`: one sealed run of events | once; removed with its execution |
//! | [`Kind::Instance`] | `i` | I | `Instance` | replaced when it changed; removed by a purge |
//! | [`Kind::Active`] | `l` | I | empty | while the instance or entity makes work, so that a restart need not read the others |
//! | [`Kind::Outbox`] | `o` | target u16, number u64 | `Message` | once; removed when acknowledged |
//! | [`Kind::Created`] | `s` | hub, status, created, id | empty | with its instance |
//!
//! A byte once given is never reused. Kept free for what is planned: `b` payloads stored apart, `t` far timers.

pub mod history;
pub mod index;
pub mod instance;
pub mod outbox;
pub mod text;

/// What a row is: the first byte of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The one row of the partition itself.
    Partition = b'a',
    /// An entity.
    Entity = b'e',
    /// Finds ended instances by status and completion time.
    Finished = b'f',
    /// A sealed run of history.
    History = b'h',
    /// An instance.
    Instance = b'i',
    /// Marks an instance or entity that makes work.
    Active = b'l',
    /// A message on its way to another partition.
    Outbox = b'o',
    /// Finds instances by status and creation time.
    Created = b's',
}

impl Kind {
    /// Every kind, in key order.
    pub const ALL: [Self; 8] = [
        Self::Partition,
        Self::Entity,
        Self::Finished,
        Self::History,
        Self::Instance,
        Self::Active,
        Self::Outbox,
        Self::Created,
    ];

    /// What every key of this kind begins with.
    #[must_use]
    pub fn prefix(self) -> [u8; 1] {
        [self as u8]
    }

    /// The kind of the row that `key` names.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        let first = *key.first()?;
        Self::ALL.into_iter().find(|kind| *kind as u8 == first)
    }
}

/// The key of the partition's own row.
pub const PARTITION: &[u8] = &[Kind::Partition as u8];

/// The first key after all those that begin with `prefix`; `None` if there is no such key.
#[must_use]
pub fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_distinct_bytes_in_order() {
        assert!(Kind::ALL.is_sorted());
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&kind.prefix()), Some(kind));
        }
        assert_eq!(Kind::of(b""), None);
        assert_eq!(Kind::of(b"z"), None);
    }

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        assert_eq!(end_of(b"a"), Some(b"b".to_vec()));
        assert_eq!(end_of(b"a\xFF\xFF"), Some(b"b".to_vec()));
        assert_eq!(end_of(b"\xFF"), None);
        assert_eq!(end_of(b""), None);
    }
}
