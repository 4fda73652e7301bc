//! Keys of rows: two of them, the first with its length before it.

use std::fmt::Debug;

use longhaul_storage::keys::history::RunKey;
use longhaul_storage::keys::index::Entry;
use longhaul_storage::keys::{Kind, end_of, index, instance, outbox};

use crate::input::Input;

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let (one, two) = (input.chunk(), input.rest());
    for key in [one, two] {
        prefixes_end(key);
    }
    let Some(kind) = Kind::of(one) else {
        return;
    };
    match kind {
        Kind::Instance | Kind::Entity | Kind::Active => both(
            [one, two],
            |key| instance::decode(kind, key).ok(),
            |it| instance::encode(kind, it),
            |it| it.clone(),
        ),
        Kind::History => both(
            [one, two],
            |key| RunKey::decode(key).ok(),
            RunKey::encode,
            |it| (it.instance.clone(), it.execution.clone(), it.number),
        ),
        Kind::Outbox => both(
            [one, two],
            |key| outbox::decode(key).ok(),
            |(target, number)| outbox::encode(*target, *number).to_vec(),
            |it| *it,
        ),
        Kind::Created | Kind::Finished => both(
            [one, two],
            |key| index::decode(kind, key).ok(),
            |it: &Entry| index::encode(kind, it.hub, it.status, it.at.into(), &it.id),
            |it| (it.hub, it.status as u8, it.at, it.id.clone()),
        ),
        Kind::Partition => {}
    }
}

/// Keys that say something are the only ones that say it, and order as what they say.
fn both<T: Debug, O: Ord>(
    keys: [&[u8]; 2],
    decode: impl Fn(&[u8]) -> Option<T>,
    encode: impl Fn(&T) -> Vec<u8>,
    order: impl Fn(&T) -> O,
) {
    let read = keys.map(|key| {
        let read = decode(key)?;
        assert_eq!(encode(&read), key, "{read:?}");
        Some(order(&read))
    });
    if let [Some(one), Some(two)] = read {
        assert_eq!(one.cmp(&two), keys[0].cmp(keys[1]), "{keys:?}");
    }
}

/// Everything that begins with a prefix lies between it and its end.
fn prefixes_end(prefix: &[u8]) {
    let last = [prefix, &[u8::MAX; 3]].concat();
    match end_of(prefix) {
        Some(end) => assert!(prefix < &end[..] && last < end),
        None => assert!(prefix.iter().all(|byte| *byte == u8::MAX)),
    }
}
