//! Encoded messages reach the wire unchanged and survive a round trip.

use bytes::Bytes;
use longhaul_proto::{
    raw::{EncodedHistoryChunk, EncodedWorkItem},
    sidecar::{ActivityRequest, HistoryChunk, HistoryEvent, WorkItem, work_item::Request},
};
use prost::Message;

#[test]
fn encoded_work_item_is_written_verbatim() {
    let item = WorkItem {
        request: Some(Request::ActivityRequest(ActivityRequest {
            name: "greet".into(),
            input: Some(String::new()),
            ..Default::default()
        })),
        completion_token: "token".into(),
    };
    let bytes = item.encode_to_vec();
    let encoded = EncodedWorkItem(Bytes::from(bytes.clone()));
    assert_eq!(encoded.encoded_len(), bytes.len());
    assert_eq!(encoded.encode_to_vec(), bytes);
    assert_eq!(
        WorkItem::decode(encoded.encode_to_vec().as_slice()),
        Ok(item)
    );
}

#[test]
fn encoded_history_chunk_decodes_to_the_bytes_it_was_read_from() {
    let event = |event_id| HistoryEvent {
        event_id,
        ..Default::default()
    };
    let bytes = HistoryChunk {
        events: vec![event(-1), event(7)],
    }
    .encode_to_vec();
    let mut chunk = EncodedHistoryChunk::decode(bytes.as_slice()).expect("decodes");
    assert_eq!(chunk.0, bytes);
    chunk.clear();
    assert_eq!(chunk.encoded_len(), 0);
}

#[test]
fn fields_of_every_wire_type_survive_and_a_cut_one_is_refused() {
    let mut bytes = Vec::new();
    prost::encoding::uint64::encode(1, &300, &mut bytes);
    prost::encoding::fixed32::encode(2, &7, &mut bytes);
    prost::encoding::fixed64::encode(3, &9, &mut bytes);
    prost::encoding::string::encode(4, &"text".to_owned(), &mut bytes);
    assert_eq!(
        EncodedWorkItem::decode(bytes.as_slice()).map(|item| item.0),
        Ok(Bytes::from(bytes.clone()))
    );
    assert!(EncodedWorkItem::decode(&bytes[..bytes.len() - 1]).is_err());
}
