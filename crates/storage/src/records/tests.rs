//! Properties of all encodings: they round-trip, and nothing panics on bytes that nobody encoded.

use bytes::Bytes;
use proptest::prelude::*;

use super::strategies::{
    any_batch, any_entity, any_instance, any_manifest, any_message, any_partition_row,
};
use super::*;

fn encoded(put: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    put(&mut out);
    out.into()
}

proptest! {
    #[test]
    fn batches_round_trip(batch in any_batch()) {
        prop_assert_eq!(decode_batch(encode_batch(&batch)), Ok(batch));
    }

    #[test]
    fn instances_round_trip(instance in any_instance()) {
        let record = encoded(|out| put_instance(&instance, out));
        prop_assert_eq!(decode_instance(record), Ok(instance));
    }

    #[test]
    fn entities_round_trip(entity in any_entity()) {
        let record = encoded(|out| put_entity(&entity, out));
        prop_assert_eq!(decode_entity(record), Ok(entity));
    }

    #[test]
    fn messages_round_trip(message in any_message()) {
        let record = encoded(|out| put_message(&message, out));
        prop_assert_eq!(decode_message(record), Ok(message));
    }

    #[test]
    fn partition_rows_round_trip(row in any_partition_row()) {
        let record = encoded(|out| put_partition_row(&row, out));
        prop_assert_eq!(decode_partition_row(record), Ok(row));
    }

    #[test]
    fn manifests_round_trip(manifest in any_manifest()) {
        prop_assert_eq!(SnapshotManifest::decode(manifest.encode()), Ok(manifest));
    }

    #[test]
    fn incarnations_and_history_runs_round_trip(number: u64, framed: Vec<u8>) {
        let framed = Bytes::from(framed);
        let run = encoded(|out| put_history_run(&framed, out));
        prop_assert_eq!(decode_history_run(run), Ok(framed));
        prop_assert_eq!(decode_incarnation(encode_incarnation(number)), Ok(number));
    }

    #[test]
    fn damaged_bytes_never_panic(
        batch in any_batch(),
        instance in any_instance(),
        entity in any_entity(),
        at in any::<prop::sample::Index>(),
        damage in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = encode_batch(&batch).to_vec();
        put_instance(&instance, &mut bytes);
        put_entity(&entity, &mut bytes);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= damage }
        let bytes = Bytes::from(bytes);
        let _ = decode_batch(bytes.clone());
        let _ = decode_instance(bytes.clone());
        let _ = decode_entity(bytes.clone());
        let _ = decode_message(bytes.clone());
        let _ = decode_partition_row(bytes.clone());
        let _ = decode_history_run(bytes.clone());
        let _ = SnapshotManifest::decode(bytes);
    }
}

#[test]
fn decoded_payloads_are_slices_of_what_was_read() {
    let entry = encode_batch(&super::samples::batch());
    let range = entry.as_ptr_range();
    let batch = decode_batch(entry).expect("well formed");
    let payload = super::samples::first_payload(&batch);
    assert!(!payload.is_empty());
    assert!(range.contains(&payload.as_ptr()), "the payload was copied");
}
