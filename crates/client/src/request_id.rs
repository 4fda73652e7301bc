//! Ids of entity operations: GUIDs, as the SDKs send them.

/// The GUID of operation `nth` of `sender`: the same each time it is asked for, another one for any other operation.
///
/// A server drops an operation whose id it has seen, so a sender that repeats itself is understood as long as it keeps to
/// this. Of version 8, whose bits are the maker's own choice; here FNV-1a over sender and number.
pub fn request_id(sender: &str, nth: u64) -> String {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    let hash = fnv1a(sender.bytes().chain([0xff]).chain(nth.to_be_bytes()));
    let bits = hash & !VERSION & !VARIANT | 8 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let group = |from: usize, to: usize| &digits[from..to];
    [
        group(0, 8),
        group(8, 12),
        group(12, 16),
        group(16, 20),
        group(20, 32),
    ]
    .join("-")
}

fn fnv1a(bytes: impl Iterator<Item = u8>) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        for (text, hash) in [
            ("", 0x6c62272e07bb014262b821756295c58d),
            ("a", 0xd228cb696f1a8caf78912b704e4a8964),
            ("foobar", 0x343e1662793c64bf6f0d3597ba446f18),
        ] {
            assert_eq!(fnv1a(text.bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn ids_are_guids_and_differ() {
        let ids: BTreeSet<String> = ["a", "b", "a-1", ""]
            .iter()
            .flat_map(|sender| (0..1_000).map(|nth| request_id(sender, nth)))
            .collect();
        assert_eq!(ids.len(), 4_000);
        assert_eq!(request_id("a", 7), request_id("a", 7));
        for id in ids {
            let groups: Vec<&str> = id.split('-').collect();
            let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(groups[2].starts_with('8'), "{id}");
            assert!(groups[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
    }
}
