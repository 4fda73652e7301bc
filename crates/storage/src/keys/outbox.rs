//! Keys of messages on their way to other partitions: target, number.

use longhaul_types::PartitionId;

use super::Kind;
use crate::records::Corrupt;

/// Length of what the keys of all messages for one target begin with.
const LANE_LEN: usize = 1 + 2;

/// What the keys of all messages for `target` begin with.
#[must_use]
pub fn lane(target: PartitionId) -> [u8; LANE_LEN] {
    let [high, low] = target.0.to_be_bytes();
    [Kind::Outbox as u8, high, low]
}

/// The key of message `number` for `target`.
#[must_use]
pub fn encode(target: PartitionId, number: u64) -> [u8; LANE_LEN + 8] {
    let mut key = [0; LANE_LEN + 8];
    key[..LANE_LEN].copy_from_slice(&lane(target));
    key[LANE_LEN..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Target and number of the message that a key names.
///
/// # Errors
/// [`Corrupt::MalformedKey`] if it is not the key of such a row.
pub fn decode(key: &[u8]) -> Result<(PartitionId, u64), Corrupt> {
    let malformed = || Corrupt::MalformedKey("outbox");
    let rest = key
        .strip_prefix(&Kind::Outbox.prefix())
        .ok_or_else(malformed)?;
    let (target, number) = rest.split_first_chunk().ok_or_else(malformed)?;
    let number = number.try_into().map_err(|_| malformed())?;
    Ok((
        PartitionId(u16::from_be_bytes(*target)),
        u64::from_be_bytes(number),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_round_trip_and_order(a in any::<(u16, u64)>(), b in any::<(u16, u64)>()) {
            let key = |(target, number)| encode(PartitionId(target), number);
            prop_assert_eq!(decode(&key(a)).expect("well formed"), (PartitionId(a.0), a.1));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert!(key(a).starts_with(&lane(PartitionId(a.0))));
        }
    }

    #[test]
    fn the_layout_never_changes() {
        assert_eq!(encode(PartitionId(258), 7), *b"o\x01\x02\0\0\0\0\0\0\0\x07");
    }

    #[test]
    fn other_bytes_are_refused() {
        for bad in [
            &b""[..],
            b"o",
            b"o\0",
            b"o\0\0\0\0\0\0\0\0\0",
            b"i\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(decode(bad), Err(Corrupt::MalformedKey("outbox")));
        }
    }
}
