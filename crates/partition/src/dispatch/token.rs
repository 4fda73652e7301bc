//! Completion tokens: opaque to workers, impossible to guess or to change, different for every delivery.
//!
//! ```text
//!   base64url, not padded:  lease (8) ‖ nonce (8) ‖ tag (16) ‖ instance id
//! ```
//!
//! The tag also covers what is not in the text: the partition, the task hub of the caller and the kind of work he
//! answers for. So every node of the cluster can tell from the text alone where a token belongs and that it is real; a
//! token in the wrong place is simply unknown.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use longhaul_engine::InstanceKey;
use longhaul_types::{HubId, InstanceId, PartitionCount, PartitionId, limits};

use super::{LeaseId, WorkKind};
use crate::seal::{Seal, TAG_BYTES};

/// Characters of the longest token: an instance id has at most four bytes a character.
const TOKEN_CHARS_MAX: usize = (16 + TAG_BYTES + 4 * limits::INSTANCE_ID_CHARS_MAX).div_ceil(3) * 4;

/// Makes and reads the completion tokens of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Seal);

impl Tokens {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Seal::new(key, "completion token"))
    }

    /// The token of one delivery.
    pub(crate) fn issue(
        &self,
        partition: PartitionId,
        kind: WorkKind,
        key: &InstanceKey,
        lease: LeaseId,
    ) -> String {
        let id = key.id.as_str().as_bytes();
        let bound = bound(partition, key.hub, kind, lease);
        let tag = self.0.tag(&[&bound, id]);
        let mut bytes = Vec::with_capacity(16 + TAG_BYTES + id.len());
        bytes.extend(lease.number.to_be_bytes());
        bytes.extend(lease.nonce.to_be_bytes());
        bytes.extend(tag);
        bytes.extend(id);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Which delivery a token names; `None` unless it was made for this hub and this kind of work.
    pub(crate) fn open(
        &self,
        count: PartitionCount,
        hub: HubId,
        kind: WorkKind,
        token: &str,
    ) -> Option<(PartitionId, LeaseId)> {
        let text = Text::read(token)?;
        let partition = count.partition_of(hub, &text.instance());
        Some((partition, self.fitting(&text, partition, hub, kind)?))
    }

    /// The delivery of a partition that a token names; `None` unless it was made for it, this hub and this kind of work.
    pub(crate) fn lease(
        &self,
        partition: PartitionId,
        hub: HubId,
        kind: WorkKind,
        token: &str,
    ) -> Option<LeaseId> {
        self.fitting(&Text::read(token)?, partition, hub, kind)
    }

    fn fitting(
        &self,
        text: &Text,
        partition: PartitionId,
        hub: HubId,
        kind: WorkKind,
    ) -> Option<LeaseId> {
        let bound = bound(partition, hub, kind, text.lease);
        let fits = self.0.fits(&text.tag, &[&bound, text.id.as_bytes()]);
        fits.then_some(text.lease)
    }
}

/// What a token says, true or not.
struct Text {
    lease: LeaseId,
    tag: [u8; TAG_BYTES],
    id: String,
}

impl Text {
    fn read(token: &str) -> Option<Self> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (number, rest) = bytes.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (tag, id) = rest.split_first_chunk()?;
        Some(Self {
            lease: LeaseId {
                number: u64::from_be_bytes(*number),
                nonce: u64::from_be_bytes(*nonce),
            },
            tag: *tag,
            id: std::str::from_utf8(id).ok()?.to_owned(),
        })
    }

    fn instance(&self) -> InstanceId {
        InstanceId::trusted(&*self.id)
    }
}

/// What a token is bound to beside the instance id, which follows it under the tag.
fn bound(partition: PartitionId, hub: HubId, kind: WorkKind, lease: LeaseId) -> [u8; 23] {
    let mut bound = [0; 23];
    bound[..2].copy_from_slice(&partition.0.to_be_bytes());
    bound[2..6].copy_from_slice(&hub.0.to_be_bytes());
    bound[6] = kind as u8;
    bound[7..15].copy_from_slice(&lease.number.to_be_bytes());
    bound[15..].copy_from_slice(&lease.nonce.to_be_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: HubId = HubId(5);
    const KIND: WorkKind = WorkKind::Activity;
    const LEASE: LeaseId = LeaseId {
        number: 77,
        nonce: u64::MAX - 3,
    };

    fn count() -> PartitionCount {
        PartitionCount::new(8).expect("a power of two")
    }

    fn tokens() -> Tokens {
        Tokens::new(&[9; 32])
    }

    fn token(id: &str) -> (PartitionId, String) {
        let key = InstanceKey::new(HUB, InstanceId::trusted(id));
        let partition = count().partition_of(HUB, &key.id);
        (partition, tokens().issue(partition, KIND, &key, LEASE))
    }

    #[test]
    fn tokens_lead_back_to_their_delivery() {
        let longest = "🜂".repeat(limits::INSTANCE_ID_CHARS_MAX);
        for id in [
            "a",
            "0b3c3d9f6a0e4b7c8d9e0f1a2b3c4d5e",
            "@counter@a b",
            &longest,
        ] {
            let (partition, token) = token(id);
            let opened = tokens().open(count(), HUB, KIND, &token);
            assert_eq!(opened, Some((partition, LEASE)), "{id}");
        }
    }

    #[test]
    fn a_token_is_good_for_one_hub_one_kind_and_one_cluster() {
        let (_, token) = token("a");
        let open = |tokens: Tokens, hub, kind| tokens.open(count(), hub, kind, &token);
        assert!(open(tokens(), HUB, KIND).is_some());
        assert_eq!(open(tokens(), HubId(6), KIND), None);
        assert_eq!(open(tokens(), HUB, WorkKind::Orchestration), None);
        assert_eq!(open(tokens(), HUB, WorkKind::Entity), None);
        assert_eq!(open(Tokens::new(&[8; 32]), HUB, KIND), None);
    }

    #[test]
    fn tokens_of_two_deliveries_cannot_be_put_together() {
        let key = InstanceKey::new(HUB, InstanceId::trusted("a"));
        let partition = count().partition_of(HUB, &key.id);
        let of = |number| {
            let lease = LeaseId { number, ..LEASE };
            let token = tokens().issue(partition, KIND, &key, lease);
            URL_SAFE_NO_PAD.decode(token).expect("base64url")
        };
        let (one, two) = (of(1), of(2));
        let mixed = URL_SAFE_NO_PAD.encode([&one[..16], &two[16..]].concat());
        assert_eq!(tokens().open(count(), HUB, KIND, &mixed), None);
        let whole = URL_SAFE_NO_PAD.encode(&two);
        assert!(tokens().open(count(), HUB, KIND, &whole).is_some());
    }

    #[test]
    fn a_changed_or_cut_text_is_nothing() {
        let (_, token) = token("order-1");
        for place in 0..token.len() {
            for other in ["A", "b", "7", "-", "=", "é", ""] {
                let mut changed = token.clone();
                changed.replace_range(place..=place, other);
                if changed != token {
                    let opened = tokens().open(count(), HUB, KIND, &changed);
                    assert_eq!(opened, None, "{other:?} at {place}");
                }
            }
        }
        for end in 0..token.len() {
            assert_eq!(tokens().open(count(), HUB, KIND, &token[..end]), None);
        }
        for text in [format!("{token}A"), "x".repeat(1 << 20)] {
            assert_eq!(tokens().open(count(), HUB, KIND, &text), None);
        }
    }
}
