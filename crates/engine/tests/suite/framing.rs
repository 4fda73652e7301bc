//! Framed events: whatever goes in comes out, and damage is found without a panic.

use bytes::{Bytes, BytesMut};
use longhaul_engine::history::{Frames, History, frame, framed_len};
use proptest::collection::vec;
use proptest::prelude::*;

fn framed(events: &[Vec<u8>]) -> Bytes {
    let mut out = BytesMut::new();
    for event in events {
        frame(&mut out, event);
    }
    out.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_come_back_in_order(events in vec(vec(any::<u8>(), 0..300), 0..20)) {
        let bytes = framed(&events);
        prop_assert_eq!(bytes.len(), events.iter().map(|it| framed_len(it.len())).sum::<usize>());
        let back: Result<Vec<Bytes>, _> = Frames::new(bytes).collect();
        prop_assert_eq!(back.expect("well-formed"), events);
    }

    #[test]
    fn any_bytes_are_frames_up_to_the_first_damage(bytes in vec(prop_oneof![Just(0x1Au8), 0..4u8, any::<u8>()], 0..60)) {
        let bytes = Bytes::from(bytes);
        let mut whole = BytesMut::new();
        let mut damage = None;
        for item in Frames::new(bytes.clone()) {
            prop_assert_eq!(damage, None, "nothing follows damage");
            match item {
                Ok(event) => frame(&mut whole, &event),
                Err(malformed) => damage = Some(malformed.at),
            }
        }
        match damage {
            None => prop_assert!(whole.len() <= bytes.len()),
            Some(at) => prop_assert!(at < bytes.len()),
        }
    }

    /// Wherever the runs are sealed, tail and sealed runs together are what was appended.
    #[test]
    fn sealing_keeps_every_byte(runs in vec(vec(vec(any::<u8>(), 0..40), 1..4), 0..20), seal_bytes in 1usize..200) {
        let mut history = History::default();
        let (mut sealed, mut expected, mut events) = (BytesMut::new(), BytesMut::new(), 0);
        for run in &runs {
            let run_bytes = framed(run);
            expected.extend_from_slice(&run_bytes);
            events += run.len() as u64;
            if let Some(row) = history.append(run_bytes, run.len() as u64, seal_bytes) {
                prop_assert!(row.len() >= seal_bytes && history.tail.is_empty());
                sealed.extend_from_slice(&row);
            }
        }
        prop_assert_eq!((history.events, history.bytes), (events, expected.len() as u64));
        for run in &history.tail {
            sealed.extend_from_slice(run);
        }
        prop_assert_eq!(sealed, expected);
    }
}
