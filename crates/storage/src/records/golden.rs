//! Bytes that were once written must be read forever: `testdata/` holds them.
//!
//! `LONGHAUL_REWRITE_GOLDEN=1 cargo test` writes the files anew. Only for records that are new: a changed file means
//! that data of users cannot be read any more.

use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;

use super::*;

const BYTES_PER_LINE: usize = 32;

fn check<T: Debug + PartialEq>(
    name: &str,
    value: &T,
    encoded: &[u8],
    decode: impl FnOnce(Bytes) -> Result<T, Corrupt>,
) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    let path = path.with_extension("hex");
    if std::env::var_os("LONGHAUL_REWRITE_GOLDEN").is_some() {
        std::fs::write(&path, to_hex(encoded)).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("the file can be read");
    assert_eq!(
        decode(from_hex(&kept)).as_ref(),
        Ok(value),
        "{name}: old bytes read differently"
    );
    assert_eq!(to_hex(encoded), kept, "{name}: written differently");
}

fn to_hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(BYTES_PER_LINE);
    lines
        .map(|line| {
            line.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                + "\n"
        })
        .collect()
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let bytes = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
    bytes.collect()
}

fn encoded(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

#[test]
fn records_keep_their_bytes() {
    for (name, instance) in [
        ("instance", samples::instance()),
        ("instance-plain", samples::plain_instance()),
        ("instance-rewound", samples::rewound_instance()),
    ] {
        let record = encoded(|out| put_instance(&instance, out));
        check(name, &instance, &record, decode_instance);
    }
    for (name, entity) in [
        ("entity", samples::entity()),
        ("entity-plain", samples::plain_entity()),
    ] {
        let record = encoded(|out| put_entity(&entity, out));
        check(name, &entity, &record, decode_entity);
    }
    let run = Bytes::from_static(b"\x1A\x05event");
    check(
        "history-run",
        &run,
        &encoded(|out| put_history_run(&run, out)),
        decode_history_run,
    );
    for (name, row) in [
        ("partition-row", samples::partition_row()),
        ("partition-row-indexed", samples::indexed_partition_row()),
        (
            "partition-row-requests",
            samples::partition_row_with_requests(),
        ),
    ] {
        let record = encoded(|out| put_partition_row(&row, out));
        check(name, &row, &record, decode_partition_row);
    }
    for (name, message) in samples::messages() {
        let record = encoded(|out| put_message(&message, out));
        check(name, &message, &record, decode_message);
    }
    let manifest = samples::manifest();
    check(
        "snapshot-manifest",
        &manifest,
        &manifest.encode(),
        SnapshotManifest::decode,
    );
    check(
        "incarnation",
        &5,
        &encode_incarnation(5),
        decode_incarnation,
    );
}

#[test]
fn commands_keep_their_bytes() {
    let mut commands = samples::commands();
    commands.extend(samples::management_commands());
    commands.extend(samples::entity_commands());
    for (name, command) in commands {
        let batch = samples::batch_of(vec![command]);
        check(name, &batch, &encode_batch(&batch), decode_batch);
    }
    let empty = samples::batch_of(Vec::new());
    check("batch-empty", &empty, &encode_batch(&empty), decode_batch);
}
