//! What is said between nodes survives the way.

use longhaul_partition::NameFilter;
use proptest::{collection, option, prelude::*};

use super::*;

const HUB: HubId = HubId(7);

fn names() -> impl Strategy<Value = Vec<NameFilter>> {
    let filter = ("[a-z]{0,8}", collection::vec("[0-9.]{0,4}", 0..3));
    let filter = filter.prop_map(|(name, versions)| NameFilter { name, versions });
    collection::vec(filter, 0..4)
}

fn profile() -> impl Strategy<Value = Profile> {
    let filters = (names(), names(), names());
    let filters = filters.prop_map(|(orchestrations, activities, entities)| Filters {
        orchestrations,
        activities,
        entities,
    });
    let parts = (any::<u32>(), option::of(filters), any::<bool>());
    parts.prop_map(|(hub, filters, history_streaming)| Profile {
        hub: HubId(hub),
        filters,
        capabilities: Capabilities { history_streaming },
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let claim = (
        any::<u64>(),
        option::of(profile()),
        any::<u64>(),
        any::<ByKind<u32>>(),
    );
    let claim = claim.prop_map(|(profile, introduction, stream, slots)| {
        Ask::Claim(Claim {
            profile,
            introduction,
            stream,
            slots,
        })
    });
    let numbers = || collection::vec(any::<u64>(), 0..4);
    let gone = (numbers(), numbers());
    let gone = gone.prop_map(|(streams, profiles)| Ask::Gone(Gone { streams, profiles }));
    prop_oneof![claim, gone]
}

fn kind() -> impl Strategy<Value = WorkKind> {
    prop::sample::select(&WorkKind::ALL[..])
}

fn items() -> impl Strategy<Value = Vec<EncodedItem>> {
    let item = (
        kind(),
        ".{0,8}",
        ".{1,8}",
        collection::vec(any::<u8>(), 0..16),
    );
    let item = item.prop_map(|(kind, token, id, bytes)| EncodedItem {
        kind,
        token,
        key: InstanceKey::new(HUB, InstanceId::trusted(id)),
        bytes: bytes.into(),
    });
    collection::vec(item, 0..6)
}

fn notice() -> impl Strategy<Value = Notice> {
    let ready = (any::<u64>(), kind(), any::<u64>());
    let ready = ready.prop_map(|(profile, kind, look)| Notice::Ready {
        profile,
        kind,
        look: Look(look),
    });
    let freed = collection::btree_map(any::<u64>(), any::<ByKind<u32>>(), 0..4);
    prop_oneof![ready, freed.prop_map(Notice::Freed)]
}

fn looked(look: u64, more: bool, unsent: u32) -> Looked {
    let look = Look(look);
    Looked { look, more, unsent }
}

proptest! {
    #[test]
    fn requests_and_notices_are_what_they_were(ask in ask(), notice in notice()) {
        let bytes = encode_ask(ask.clone());
        prop_assert_eq!(bytes[0], KIND);
        prop_assert_eq!(decode_ask(bytes.slice(1..)), Ok(ask));
        prop_assert_eq!(decode_notice(encode_notice(notice.clone())), Ok(notice));
    }

    #[test]
    fn answers_are_what_they_were_and_no_more_than_asked_for(
        items in items(),
        looks in any::<ByKind<(u64, bool, u8)>>(),
        room in any::<ByKind<bool>>(),
    ) {
        let kinds = looks.map(|(look, more, unsent)| Some(looked(look, more, unsent.into())));
        let given = Given { items, kinds };
        let exact = given.taken().map(|taken| u32::try_from(taken).expect("few"));
        let mut slots = exact;
        for (slots, room) in slots.iter_mut().zip(room) {
            *slots += u32::from(room);
        }
        let bytes = encode_given(given.clone());
        prop_assert_eq!(decode_given(bytes.clone(), HUB, slots), Ok(given));
        for kind in 0..3 {
            if exact[kind] > 0 {
                let mut fewer = exact;
                fewer[kind] -= 1;
                let refused = decode_given(bytes.clone(), HUB, fewer);
                prop_assert_eq!(refused, Err(Malformed::Value("the number of items")));
            }
        }
    }

    #[test]
    fn any_bytes_mean_something_or_nothing(bytes in collection::vec(any::<u8>(), 0..100)) {
        let bytes = Bytes::from(bytes);
        let _ = decode_ask(bytes.clone());
        let _ = decode_notice(bytes.clone());
        let _ = decode_given(bytes, HUB, [3; 3]);
    }
}

#[test]
fn an_answer_says_something_of_every_kind_asked_for() {
    let said = [None, Some(looked(1, false, 0)), None];
    let bytes = encode_given(Given {
        items: Vec::new(),
        kinds: said,
    });
    assert!(decode_given(bytes.clone(), HUB, [0, 5, 0]).is_ok());
    let silent = decode_given(bytes, HUB, [1, 5, 0]);
    assert_eq!(silent, Err(Malformed::Missing("a kind")));
}
