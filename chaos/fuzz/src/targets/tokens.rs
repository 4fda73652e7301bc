//! Tokens that come back from workers and clients: where one was made for, how it was changed on its way, and where it is
//! shown.

use longhaul_engine::InstanceKey;
use longhaul_partition::fuzzing::CompletionTokens;
use longhaul_partition::{WorkKind, paging};
use longhaul_types::{HubId, InstanceId, PartitionCount};

use crate::input::Input;

const KEY: [u8; 32] = [0x5A; 32];
const OTHER_KEY: [u8; 32] = [0xA5; 32];

/// Kinds of listings.
const LISTINGS: [&str; 3] = ["instances", "ended instances", "entities"];

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.flag() {
        true => completion(&mut input),
        false => page(&mut input),
    }
    nothing_was_made(input.rest());
}

fn partitions() -> PartitionCount {
    PartitionCount::new(8).expect("a power of two")
}

fn completion(input: &mut Input<'_>) {
    let text = String::from_utf8_lossy(input.chunk());
    let Ok(id) = InstanceId::parse_any(&text) else {
        return;
    };
    let made_for = (HubId(u32::from(input.u8())), WorkKind::ALL[input.below(3)]);
    let (number, nonce) = (input.u64(), input.u64());
    let partition = partitions().partition_of(made_for.0, &id);
    let (key, delivery) = (InstanceKey::new(made_for.0, id), (partition, number, nonce));
    let token = CompletionTokens::new(&KEY).issue(made_for.1, &key, delivery);
    let shown_at = (HubId(u32::from(input.u8())), WorkKind::ALL[input.below(3)]);
    let cluster = if input.flag() { OTHER_KEY } else { KEY };
    let shown = changed(&token, input);
    let opened = CompletionTokens::new(&cluster).open(partitions(), shown_at.0, shown_at.1, &shown);
    let is_good = shown == token && shown_at == made_for && cluster == KEY;
    assert_eq!(opened, is_good.then_some(delivery), "{shown}");
}

fn page(input: &mut Input<'_>) {
    let made_for = (LISTINGS[input.below(3)], HubId(u32::from(input.u8())));
    let shown_at = (LISTINGS[input.below(3)], HubId(u32::from(input.u8())));
    let cluster = if input.flag() { OTHER_KEY } else { KEY };
    let payload = input.chunk();
    let token = paging::seal(made_for.0, made_for.1, payload, &KEY);
    let shown = changed(&token, input);
    let opened = paging::open(shown_at.0, shown_at.1, &shown, &cluster);
    let is_good = shown == token && shown_at == made_for && cluster == KEY;
    assert_eq!(opened.as_deref(), is_good.then_some(payload), "{shown}");
}

/// The token with some characters overwritten, cut off or added.
fn changed(token: &str, input: &mut Input<'_>) -> String {
    let mut bytes = token.as_bytes().to_vec();
    for _ in 0..input.below(4) {
        let (how, at) = (input.below(4), usize::from(input.u16()) % (bytes.len() + 1));
        let byte = input.u8();
        match how {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => bytes[at] ^= byte,
            2 => bytes.truncate(at),
            _ => bytes.insert(at, byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text that is the input's own.
fn nothing_was_made(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for listing in LISTINGS {
        assert_eq!(paging::open(listing, HubId(1), &text, &KEY), None);
    }
    for kind in WorkKind::ALL {
        let opened = CompletionTokens::new(&KEY).open(partitions(), HubId(1), kind, &text);
        assert_eq!(opened, None);
    }
}
