//! Tokens of pages: where a listing goes on, handed to a client and accepted back only unchanged.
//!
//! ```text
//!   base64url, not padded:  tag (16) ‖ payload
//! ```
//!
//! The tag covers the kind of listing and the task hub as well. A token is authentic, not secret: its payload can be read
//! by whoever has it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use longhaul_types::HubId;

use crate::seal::{Seal, TAG_BYTES};

/// Puts `payload` into a token for one kind of listing in one hub. `key` is the cluster's, [`crate::Setup::token_key`].
#[must_use]
pub fn seal(kind: &'static str, hub: HubId, payload: &[u8], key: &[u8; 32]) -> String {
    let tag = seal_of(kind, key).tag(&[&hub.0.to_le_bytes(), payload]);
    URL_SAFE_NO_PAD.encode([&tag, payload].concat())
}

/// The payload of a token that [`seal`] made for this kind of listing in this hub with this key; `None` for any other
/// text.
#[must_use]
pub fn open(kind: &'static str, hub: HubId, token: &str, key: &[u8; 32]) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (tag, payload) = bytes.split_first_chunk::<TAG_BYTES>()?;
    if !seal_of(kind, key).fits(tag, &[&hub.0.to_le_bytes(), payload]) {
        return None;
    }
    bytes.drain(..TAG_BYTES);
    Some(bytes)
}

fn seal_of(kind: &str, key: &[u8; 32]) -> Seal {
    Seal::new(key, &format!("page of {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [3; 32];
    const HUB: HubId = HubId(1);

    #[test]
    fn payloads_come_back() {
        for payload in [&b""[..], b"after order-17", &[0xff; 300]] {
            let token = seal("instances", HUB, payload, &KEY);
            assert_eq!(
                open("instances", HUB, &token, &KEY).as_deref(),
                Some(payload)
            );
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            assert!(token.chars().all(plain), "{token}");
        }
    }

    #[test]
    fn any_changed_character_makes_a_token_worthless() {
        let token = seal("instances", HUB, b"after order-17", &KEY);
        for place in 0..token.len() {
            for other in ["A", "b", "7", "-", "=", "é", ""] {
                let mut changed = token.clone();
                changed.replace_range(place..=place, other);
                if changed != token {
                    let opened = open("instances", HUB, &changed, &KEY);
                    assert_eq!(opened, None, "{other:?} at {place}");
                }
            }
        }
        for end in 0..token.len() {
            assert_eq!(open("instances", HUB, &token[..end], &KEY), None);
        }
        assert_eq!(open("instances", HUB, &format!("{token}A"), &KEY), None);
    }

    #[test]
    fn a_token_is_good_for_one_kind_one_hub_and_one_key() {
        let token = seal("instances", HUB, b"x", &KEY);
        assert_eq!(open("entities", HUB, &token, &KEY), None);
        assert_eq!(open("instances", HubId(2), &token, &KEY), None);
        assert_eq!(open("instances", HUB, &token, &[4; 32]), None);
    }
}
