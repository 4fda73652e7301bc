//! Keys of the records of instances and entities, and of active markers: kind, hub, id.

use longhaul_engine::key::InstanceKey;
use longhaul_types::{HubId, InstanceId};

use super::{Kind, text};
use crate::records::Corrupt;

/// Length of what the keys of all rows of a kind in a hub begin with.
pub const HUB_LEN: usize = 1 + 4;

/// What the record under this key is: the id tells instances and entities apart.
#[must_use]
pub fn kind(key: &InstanceKey) -> Kind {
    match key.id.is_entity() {
        true => Kind::Entity,
        false => Kind::Instance,
    }
}

/// The key of the record of an instance or entity.
#[must_use]
pub fn record(key: &InstanceKey) -> Vec<u8> {
    encode(kind(key), key)
}

/// What the keys of all rows of this kind in a hub begin with.
#[must_use]
pub fn hub(kind: Kind, hub: HubId) -> [u8; HUB_LEN] {
    let [h0, h1, h2, h3] = hub.0.to_be_bytes();
    [kind as u8, h0, h1, h2, h3]
}

/// The key of a record or marker; `kind` is [`Kind::Instance`], [`Kind::Entity`] or [`Kind::Active`].
#[must_use]
pub fn encode(kind: Kind, key: &InstanceKey) -> Vec<u8> {
    debug_assert!(
        matches!(kind, Kind::Instance | Kind::Entity | Kind::Active),
        "{kind:?} has other fields"
    );
    // An id without a zero byte needs exactly this much.
    let mut out = Vec::with_capacity(1 + 4 + key.id.as_str().len() + 2);
    out.push(kind as u8);
    put(key, &mut out);
    out
}

/// The instance or entity that the key of a record or marker names.
///
/// # Errors
/// [`Corrupt::MalformedKey`] if it is not the key of such a row.
pub fn decode(kind: Kind, key: &[u8]) -> Result<InstanceKey, Corrupt> {
    let malformed = || Corrupt::MalformedKey("instance");
    let mut rest = key.strip_prefix(&kind.prefix()).ok_or_else(malformed)?;
    let key = take(&mut rest)?;
    if rest.is_empty() {
        Ok(key)
    } else {
        Err(malformed())
    }
}

/// Appends `I`.
pub(super) fn put(key: &InstanceKey, out: &mut Vec<u8>) {
    out.extend_from_slice(&key.hub.0.to_be_bytes());
    text::put(key.id.as_str(), out);
}

/// Takes `I` from the front.
pub(super) fn take(rest: &mut &[u8]) -> Result<InstanceKey, Corrupt> {
    let (hub, after) = rest
        .split_first_chunk()
        .ok_or(Corrupt::MalformedKey("instance"))?;
    *rest = after;
    let id = text::take(rest, "instance")?;
    Ok(InstanceKey::new(
        HubId(u32::from_be_bytes(*hub)),
        InstanceId::trusted(id),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::strategies::any_instance_key;

    proptest! {
        #[test]
        fn keys_round_trip(key in any_instance_key()) {
            for kind in [Kind::Instance, Kind::Entity, Kind::Active] {
                prop_assert_eq!(&decode(kind, &encode(kind, &key)).expect("well formed"), &key);
            }
        }

        #[test]
        fn keys_of_a_hub_begin_alike(key in any_instance_key()) {
            prop_assert!(record(&key).starts_with(&hub(kind(&key), key.hub)));
        }

        #[test]
        fn encodings_order_as_keys_do(a in any_instance_key(), b in any_instance_key()) {
            let encoded = |key| encode(Kind::Instance, key);
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        }
    }

    #[test]
    fn the_layout_never_changes() {
        let key = InstanceKey::new(HubId(0x0102_0304), InstanceId::trusted("a\0b"));
        assert_eq!(
            encode(Kind::Instance, &key),
            b"i\x01\x02\x03\x04a\0\xFFb\0\x01"
        );
        assert_eq!(
            encode(Kind::Active, &key),
            b"l\x01\x02\x03\x04a\0\xFFb\0\x01"
        );
        let entity = InstanceKey::new(HubId(1), InstanceId::trusted("@a@b"));
        assert_eq!(record(&entity), b"e\0\0\0\x01@a@b\0\x01");
    }

    #[test]
    fn other_bytes_are_refused() {
        for bad in [
            &b""[..],
            b"i",
            b"i\0\0\0",
            b"i\0\0\0\x01a",
            b"l\0\0\0\x01a\0\x01",
            b"i\0\0\0\x01a\0\x01x",
        ] {
            assert_eq!(
                decode(Kind::Instance, bad),
                Err(Corrupt::MalformedKey("instance")),
                "{bad:?}"
            );
        }
    }
}
