//! Which text the server has chosen for which made-up name: one text for one name, for good.

use std::collections::BTreeMap;

/// What is known of made-up names so far.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, String>);

/// Hex digits of an id that the server makes up.
const DIGITS: usize = 32;

impl Names {
    /// Whether both texts say the same. A name that was not heard of before is what the other text has in its place.
    pub(crate) fn agree(&mut self, model: &str, engine: &str) -> bool {
        let (mut model, mut engine) = (model, engine);
        while let Some(at) = model.find('«') {
            let end = at + model[at..].find('»').expect("names are whole") + '»'.len_utf8();
            let same = engine.get(..at) == Some(&model[..at]);
            let Some(text) = engine.get(at..at + DIGITS).filter(|it| same && is_hex(it)) else {
                return false;
            };
            if !self.is_called(&model[at..end], text) {
                return false;
            }
            model = &model[end..];
            engine = &engine[at + DIGITS..];
        }
        model == engine
    }

    fn is_called(&mut self, name: &str, text: &str) -> bool {
        if let Some(known) = self.0.get(name) {
            return known == text;
        }
        let fresh = self.0.values().all(|known| known != text);
        self.0.insert(name.to_owned(), text.to_owned());
        fresh
    }

    /// The text with every name in it replaced.
    pub(crate) fn spelled(&self, model: &str) -> String {
        let mut text = String::new();
        let mut rest = model;
        while let Some(at) = rest.find('«') {
            let end = at + rest[at..].find('»').expect("names are whole") + '»'.len_utf8();
            text.push_str(&rest[..at]);
            text.push_str(self.0.get(&rest[at..end]).map_or(&rest[at..end], |it| it));
            rest = &rest[end..];
        }
        text + rest
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}
