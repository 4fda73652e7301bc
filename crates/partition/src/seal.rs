//! Keyed hashes for texts that leave the cluster and come back: who has not got the key cannot make or change one.
//!
//! HMAC-SHA256, cut to 128 bits. Each purpose has a key of its own, derived from the cluster's, so that a text made for
//! one is worth nothing for another.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a tag.
pub(crate) const TAG_BYTES: usize = 16;

/// Authenticates bytes for one purpose. The key schedule is done once; clones are cheap.
#[derive(Clone)]
pub(crate) struct Seal(Hmac<Sha256>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    pub(crate) fn new(key: &[u8; 32], purpose: &str) -> Self {
        let derived = keyed(key).chain_update(purpose).finalize().into_bytes();
        Self(keyed(&derived))
    }

    /// The tag of the concatenation of `parts`, whose layout must leave no doubt where each ends.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let whole = self.over(parts).finalize().into_bytes();
        *whole.first_chunk().expect("a digest is longer")
    }

    /// Whether `tag` is that of `parts`; takes as long for any tag.
    pub(crate) fn fits(&self, tag: &[u8; TAG_BYTES], parts: &[&[u8]]) -> bool {
        self.over(parts).verify_truncated_left(tag).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key may have any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_depend_on_key_purpose_and_content() {
        let seal = Seal::new(&[1; 32], "a");
        let tag = seal.tag(&[b"x", b"yz"]);
        assert!(seal.fits(&tag, &[b"xy", b"z"]), "parts are concatenated");
        assert!(!seal.fits(&tag, &[b"xyz", b"!"]));
        assert!(!Seal::new(&[1; 32], "b").fits(&tag, &[b"xyz"]));
        assert!(!Seal::new(&[2; 32], "a").fits(&tag, &[b"xyz"]));
        for byte in 0..TAG_BYTES {
            let mut other = tag;
            other[byte] ^= 1;
            assert!(!seal.fits(&other, &[b"xyz"]), "byte {byte}");
        }
    }

    /// The value is computed by another implementation: `HMAC(HMAC(key, purpose), content)[..16]`.
    #[test]
    fn tags_are_hmac_sha256() {
        let tag = Seal::new(&[7; 32], "purpose").tag(&[b"content"]);
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0457721c40178a319b3f29aa92d43d71");
    }
}
