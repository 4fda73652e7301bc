//! Texts inside keys: any bytes, ordered as they are, and it is known where they end.
//!
//! ```text
//! a byte 0x00 in the text   00 FF
//! the end of the text       00 01
//! ```
//!
//! The end sorts before anything that could follow in a longer text, so `"a" < "a\0" < "ab"` holds for the encodings.

use crate::records::Corrupt;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xFF;
const END: u8 = 0x01;

/// Appends `text`, escaped and terminated.
pub fn put(text: &str, out: &mut Vec<u8>) {
    put_prefix(text, out);
    out.extend_from_slice(&[ESCAPE, END]);
}

/// Appends what exactly the texts that begin with `prefix` begin with.
pub fn put_prefix(prefix: &str, out: &mut Vec<u8>) {
    let mut rest = prefix.as_bytes();
    while let Some(zero) = rest.iter().position(|byte| *byte == ESCAPE) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[ESCAPE, ESCAPED_ZERO]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
}

/// Takes a text from the front of `key`.
///
/// # Errors
/// [`Corrupt::MalformedKey`] if there is none, naming `kind`.
pub fn take(key: &mut &[u8], kind: &'static str) -> Result<String, Corrupt> {
    let malformed = || Corrupt::MalformedKey(kind);
    let mut text = Vec::new();
    loop {
        let zero = key
            .iter()
            .position(|byte| *byte == ESCAPE)
            .ok_or_else(malformed)?;
        text.extend_from_slice(&key[..zero]);
        let escaped = *key.get(zero + 1).ok_or_else(malformed)?;
        *key = &key[zero + 2..];
        match escaped {
            ESCAPED_ZERO => text.push(ESCAPE),
            END => return String::from_utf8(text).map_err(|_| malformed()),
            _ => return Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put(text, &mut out);
        out
    }

    /// Texts over few characters, so that prefixes and zeros meet often.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec!['\0', '\u{1}', 'a', 'b', 'ÿ', '\u{10FFFF}']),
            0..6,
        )
        .prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn texts_round_trip_and_leave_what_follows(text in any_text(), tail in any::<Vec<u8>>()) {
            let mut key = encoded(&text);
            key.extend_from_slice(&tail);
            let mut rest = &key[..];
            prop_assert_eq!(take(&mut rest, "test").expect("well formed"), text);
            prop_assert_eq!(rest, &tail[..]);
        }

        #[test]
        fn encodings_order_as_texts_do(a in any_text(), b in any_text()) {
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn prefixes_begin_the_texts_that_begin_with_them(prefix in any_text(), text in any_text()) {
            let mut begin = Vec::new();
            put_prefix(&prefix, &mut begin);
            prop_assert_eq!(encoded(&text).starts_with(&begin), text.starts_with(&prefix));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = take(&mut &bytes[..], "test");
        }
    }

    #[test]
    fn a_text_without_an_end_is_refused() {
        for bad in [&b""[..], b"a", b"a\0", b"a\0\x02", b"\xC3\0\x01"] {
            assert_eq!(
                take(&mut &bad[..], "test"),
                Err(Corrupt::MalformedKey("test"))
            );
        }
    }
}
