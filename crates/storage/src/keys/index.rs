//! Keys of index entries: kind, hub, status, time, instance id. Entries have no value: the key is all there is to know.
//!
//! ```text
//!   s │ hub │ status │ created_at   │ id      of every instance
//!   f │ hub │ status │ completed_at │ id      of those that ended
//!     └──── lane ────┴──── place ───┘
//! ```
//!
//! Checkpoints keep them: they follow from the records. [`VERSION`] says which there are.

use longhaul_engine::Status;
use longhaul_types::{HubId, InstanceId, Timestamp};

use super::{Kind, text};
use crate::records::Corrupt;

/// Which index entries there are, and what they look like. To be raised with every change of that.
pub const VERSION: u32 = 1;

/// Length of what all entries of a kind, hub and status begin with.
pub const LANE_LEN: usize = 1 + 4 + 1;

/// Length of a time inside a key.
pub const TIME_LEN: usize = 8 + 4;

/// A point in time as bytes that order as times do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortableTime([u8; TIME_LEN]);

/// What the key of an index entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The task hub.
    pub hub: HubId,
    /// Status as clients see it.
    pub status: Status,
    /// When the instance was created, or ended.
    pub at: Timestamp,
    /// The instance.
    pub id: InstanceId,
}

/// Turns the order of signed numbers into that of unsigned ones.
const SIGN: u64 = 1 << 63;

impl From<Timestamp> for SortableTime {
    fn from(at: Timestamp) -> Self {
        let mut bytes = [0; TIME_LEN];
        let (seconds, nanos) = bytes.split_at_mut(8);
        seconds.copy_from_slice(&(at.seconds.cast_unsigned() ^ SIGN).to_be_bytes());
        nanos.copy_from_slice(&at.nanos.to_be_bytes());
        Self(bytes)
    }
}

impl From<SortableTime> for Timestamp {
    fn from(SortableTime(bytes): SortableTime) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3] = bytes;
        let seconds = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]) ^ SIGN;
        Self {
            seconds: seconds.cast_signed(),
            nanos: u32::from_be_bytes([n0, n1, n2, n3]),
        }
    }
}

/// What the keys of all entries of a hub and a status begin with; `kind` is [`Kind::Created`] or [`Kind::Finished`].
#[must_use]
pub fn lane(kind: Kind, hub: HubId, status: Status) -> [u8; LANE_LEN] {
    debug_assert!(
        matches!(kind, Kind::Created | Kind::Finished),
        "{kind:?} has other fields"
    );
    let [h0, h1, h2, h3] = hub.0.to_be_bytes();
    [kind as u8, h0, h1, h2, h3, status as u8]
}

/// Appends where in its lane an entry is.
pub fn put_place(at: SortableTime, id: &InstanceId, out: &mut Vec<u8>) {
    out.extend_from_slice(&at.0);
    text::put(id.as_str(), out);
}

/// The key of an entry.
#[must_use]
pub fn encode(
    kind: Kind,
    hub: HubId,
    status: Status,
    at: SortableTime,
    id: &InstanceId,
) -> Vec<u8> {
    // An id without a zero byte needs exactly this much.
    let mut key = Vec::with_capacity(LANE_LEN + TIME_LEN + id.as_str().len() + 2);
    key.extend_from_slice(&lane(kind, hub, status));
    put_place(at, id, &mut key);
    key
}

/// The first key of a lane that is not before `at`.
#[must_use]
pub fn encode_time(kind: Kind, hub: HubId, status: Status, at: SortableTime) -> Vec<u8> {
    [&lane(kind, hub, status)[..], &at.0].concat()
}

/// What the key of an entry says.
///
/// # Errors
/// [`Corrupt::MalformedKey`] if it is not the key of such an entry.
pub fn decode(kind: Kind, key: &[u8]) -> Result<Entry, Corrupt> {
    let malformed = || Corrupt::MalformedKey("index");
    let rest = key.strip_prefix(&kind.prefix()).ok_or_else(malformed)?;
    let (hub, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let (status, rest) = rest.split_first().ok_or_else(malformed)?;
    let (at, mut rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let id = text::take(&mut rest, "index")?;
    let status = Status::from_wire(i32::from(*status)).ok_or_else(malformed)?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    Ok(Entry {
        hub: HubId(u32::from_be_bytes(*hub)),
        status,
        at: SortableTime(*at).into(),
        id: InstanceId::trusted(id),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::strategies::{any_instance_id, any_status, any_timestamp};

    fn any_entry() -> impl Strategy<Value = Entry> {
        let hub = prop_oneof![0..3_u32, any::<u32>()].prop_map(HubId);
        let at = prop_oneof![any_timestamp(), Just(Timestamp::EPOCH)];
        (hub, any_status(), at, any_instance_id()).prop_map(|(hub, status, at, id)| Entry {
            hub,
            status,
            at,
            id,
        })
    }

    fn key(entry: &Entry) -> Vec<u8> {
        let Entry {
            hub,
            status,
            at,
            id,
        } = entry;
        encode(Kind::Created, *hub, *status, (*at).into(), id)
    }

    proptest! {
        #[test]
        fn keys_round_trip(entry in any_entry()) {
            prop_assert_eq!(&decode(Kind::Created, &key(&entry)).expect("well formed"), &entry);
        }

        #[test]
        fn keys_order_by_hub_status_time_and_id(a in any_entry(), b in any_entry()) {
            let order = |entry: &Entry| (entry.hub, entry.status, entry.at, entry.id.clone());
            prop_assert_eq!(key(&a).cmp(&key(&b)), order(&a).cmp(&order(&b)));
        }

        #[test]
        fn times_order_as_their_bytes_do(a in any_timestamp(), b in any_timestamp()) {
            prop_assert_eq!(SortableTime::from(a).cmp(&SortableTime::from(b)), a.cmp(&b));
            prop_assert_eq!(Timestamp::from(SortableTime::from(a)), a);
        }

        #[test]
        fn a_time_begins_where_its_entries_do(entry in any_entry()) {
            let Entry { hub, status, at, .. } = entry;
            let first = encode_time(Kind::Created, hub, status, at.into());
            prop_assert!(key(&entry).starts_with(&first));
            prop_assert!(first.starts_with(&lane(Kind::Created, hub, status)));
        }
    }

    #[test]
    fn the_layout_never_changes() {
        let at = Timestamp {
            seconds: -1,
            nanos: 258,
        };
        let id = InstanceId::trusted("a");
        let key = encode(
            Kind::Finished,
            HubId(0x0102_0304),
            Status::Failed,
            at.into(),
            &id,
        );
        assert_eq!(
            key,
            b"f\x01\x02\x03\x04\x03\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\x01\x02a\0\x01"
        );
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = b"s\0\0\0\x01\x01\x80\0\0\0\0\0\0\0\0\0\0\0a\0\x01";
        decode(Kind::Created, good).expect("well formed");
        let mut continued_as_new = good.to_vec();
        continued_as_new[5] = 2;
        for bad in [
            &b""[..],
            b"s",
            &good[..17],
            &good[..good.len() - 1],
            &[good, &b"x"[..]].concat(),
            &continued_as_new,
        ] {
            let refused = decode(Kind::Created, bad);
            assert_eq!(refused, Err(Corrupt::MalformedKey("index")), "{bad:?}");
        }
        assert!(decode(Kind::Finished, good).is_err(), "another kind");
    }
}
