//! What stores, logs and configurations hold, and tokens.

use std::fs;
use std::path::{Path, PathBuf};

use longhaul_engine::history::event;
use longhaul_engine::{InstanceKey, Status};
use longhaul_server::config::default_file;
use longhaul_storage::keys::history::RunKey;
use longhaul_storage::keys::{Kind, index, instance, outbox};
use longhaul_types::{ExecutionId, HubId, InstanceId, PartitionId, Timestamp};

use super::Seed;
use super::output::Output;

const AT: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanos: 7,
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|it| it.to_digit(16)).collect();
    let bytes = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    bytes
        .map(|byte| u8::try_from(byte).expect("two digits"))
        .collect()
}

/// The released bytes of each record, in all kinds they could be taken for.
pub(super) fn stored_records() -> Vec<Seed> {
    let dir = repository().join("crates/storage/testdata");
    let files = fs::read_dir(dir).expect("the golden bytes are there");
    let mut seeds = Vec::new();
    for path in files.map(|file| file.expect("listed").path()) {
        let name = path.file_stem().expect("named").to_string_lossy();
        let prefixes = [
            "command",
            "instance",
            "entity",
            "message",
            "partition",
            "history",
            "incarnation",
            "snapshot",
        ];
        let kind = prefixes.iter().position(|prefix| name.starts_with(prefix));
        let kind = u8::try_from(kind.unwrap_or(0)).expect("few");
        let record = from_hex(&fs::read_to_string(&path).expect("read"));
        seeds.push((name.into_owned(), [&[kind][..], &record].concat()));
    }
    seeds
}

pub(super) fn log_records() -> Vec<Seed> {
    let file = repository().join("crates/replication/testdata/raft_v1.txt");
    let golden = fs::read_to_string(file).expect("the golden bytes are there");
    let records = golden.lines().filter_map(|line| line.split_once(": "));
    records
        .map(|(name, hex)| {
            let prefixes = ["vote", "log_id", "entry", "membership", "note"];
            let kind = prefixes.iter().position(|prefix| name.starts_with(prefix));
            let kind = u8::try_from(kind.expect("a kind of record")).expect("few");
            (name.to_owned(), [&[kind][..], &from_hex(hex)].concat())
        })
        .collect()
}

/// Each kind of key, followed by one a little further on.
pub(super) fn keys() -> Vec<Seed> {
    let key = |id: &str| InstanceKey::new(HubId(7), InstanceId::trusted(id));
    let run = |id: &str, number| RunKey::new(&key(id), &ExecutionId::new("e1"), number).encode();
    let entry = |kind, id: &str, at: Timestamp| {
        let id = InstanceId::trusted(id);
        index::encode(kind, HubId(7), Status::Completed, at.into(), &id)
    };
    let later = Timestamp {
        seconds: -1,
        nanos: 9,
    };
    let pairs = [
        (
            "instance",
            instance::record(&key("a")),
            instance::record(&key("a\0b")),
        ),
        (
            "entity",
            instance::record(&key("@c@1")),
            instance::record(&key("@c@2")),
        ),
        (
            "active",
            instance::encode(Kind::Active, &key("a")),
            vec![b'l'],
        ),
        ("history", run("a", 1), run("a", u32::MAX)),
        (
            "created",
            entry(Kind::Created, "a", AT),
            entry(Kind::Created, "b", later),
        ),
        (
            "finished",
            entry(Kind::Finished, "a", AT),
            entry(Kind::Finished, "a", AT),
        ),
        (
            "outbox",
            outbox::encode(PartitionId(3), 1).to_vec(),
            outbox::encode(PartitionId(3), u64::MAX).to_vec(),
        ),
    ];
    let seeds = pairs.into_iter().map(|(name, one, two)| {
        let input = Output::default().chunk(&one).bytes(&two);
        (name.to_owned(), input.done())
    });
    seeds.collect()
}

pub(super) fn tokens() -> Vec<Seed> {
    let completion = |changes: &[u8], shown_kind: u8, other_cluster: u8| {
        let made = Output::default().u8(1).chunk(b"order-1").u8(5).u8(1);
        let shown = made.u64(77).u64(u64::MAX).u8(5).u8(shown_kind);
        shown.u8(other_cluster).bytes(changes).done()
    };
    let page = |changes: &[u8], shown_hub: u8| {
        let made = Output::default().u8(0).u8(0).u8(1);
        let shown = made.u8(0).u8(shown_hub).u8(0);
        shown.chunk(b"after order-17").bytes(changes).done()
    };
    let flipped = [1, 1, 30, 0, 1];
    let cut = [1, 2, 9, 0, 0];
    [
        ("completion", completion(&[0], 1, 0)),
        ("completion-flipped", completion(&flipped, 1, 0)),
        ("completion-cut", completion(&cut, 1, 0)),
        ("completion-of-another-kind", completion(&[0], 2, 0)),
        ("completion-of-another-cluster", completion(&[0], 1, 1)),
        ("page", page(&[0], 1)),
        ("page-flipped", page(&flipped, 1)),
        ("page-of-another-hub", page(&[0], 2)),
        (
            "neither",
            b"\x00\x00\x00\x00\x00\x00\x00\x00\x00AAAA_-AAAA".to_vec(),
        ),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into()
}

pub(super) fn config() -> Vec<Seed> {
    let of = |file: &str, environment: &str| {
        let input = Output::default().chunk(file.as_bytes());
        input.bytes(environment.as_bytes()).done()
    };
    let mut seeds = vec![
        ("default".to_owned(), of(&default_file(), "")),
        (
            "environment".to_owned(),
            of(
                "[hubs]\ncreate = [\"a\", \"b\"]\n",
                "LONGHAUL_HUBS__CREATE=b, c\nDTS_TASK_HUB_NAMES=d\nLONGHAUL_WAL__SEGMENT_SIZE=1GiB\n",
            ),
        ),
        (
            "retention".to_owned(),
            of(
                "[retention]\ndefault_after = \"30d\"\nhubs = [\"a=1d\"]\n",
                "",
            ),
        ),
        (
            "mistakes".to_owned(),
            of(
                "[hub]\nx = 1\n[wal]\nsegment_sise = 2024-01-01\n",
                "LONGHAUL_A__B=1\n",
            ),
        ),
    ];
    for file in ["dev.toml", "single-node.toml"] {
        let text = fs::read_to_string(repository().join("config").join(file)).expect("read");
        seeds.push((file.to_owned(), of(&text, "")));
    }
    seeds
}

pub(super) fn partial_completions() -> Vec<Seed> {
    let part = |out: Output, index: i32, bytes: u32| {
        let index = u32::from_le_bytes(index.to_le_bytes());
        let numbered = out.u32(index).u8(1);
        numbered.u8(2).u8(1).u8(2).u8(1).u8(0).u32(bytes)
    };
    let parts = |all: &[(i32, u32)]| {
        let all = all.iter();
        all.fold(Output::default(), |out, (index, bytes)| {
            part(out, *index, *bytes)
        })
        .done()
    };
    [
        ("in-order", parts(&[(0, 10), (1, 10), (2, 10)])),
        (
            "again-and-backwards",
            parts(&[(2, 10), (1, 10), (1, 12), (-1, 9)]),
        ),
        ("started-over", parts(&[(0, 10), (5, 10), (0, 10)])),
        ("too-large", parts(&[(0, 10), (1, u32::MAX), (2, u32::MAX)])),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into()
}

/// `framed` says that the chunk is a run already.
fn run(out: Output, times: u8, chunk: &[u8], framed: bool) -> Output {
    out.u8(times).chunk(chunk).u8(u8::from(framed))
}

pub(super) fn history() -> Vec<Seed> {
    let key = InstanceId::trusted("order-1");
    let events = [
        event::orchestrator_started(AT),
        event::event_raised(AT, "Paid", Some(b"17")),
        event::task_completed(AT, 1, Some(b"done")),
        event::task_failed(AT, 1, &event::failure_details("Oops", "no luck")),
        event::timer_created(3, AT, AT),
        event::timer_fired(AT, 3, AT),
        event::child_completed(AT, 4, None),
        event::event_sent(5, AT, key.as_str(), "Ping", None),
        event::execution_suspended(AT, Some(b"lunch")),
        event::execution_resumed(AT, None),
        event::execution_rewound(AT, Some(b"fixed")),
        event::execution_terminated(AT, Some(b"stop"), true),
    ];
    let whole = events
        .iter()
        .fold(Output::default(), |out, event| run(out, 1, event, false));
    let many = Output::default().u8(7).u16(1_200);
    let many = many.chunk(&events[1]).u8(0).done();
    vec![
        ("events".to_owned(), whole.done()),
        ("many".to_owned(), many),
        (
            "cut".to_owned(),
            run(Output::default(), 1, &[0x1A, 9, 0], true).done(),
        ),
    ]
}

/// Appends, votes, truncations and purges, then one kind of damage to one file.
pub(super) fn wal_damage() -> Vec<Seed> {
    // Group, byte, operation, length.
    let append = |out: Output, group: u8, len: u16| out.u8(group).u8(9).u8(8).u8(1).u16(len);
    let written = |stop: u8| {
        let mut out = Output::default().u8(15);
        for nth in 0..11 {
            out = append(out, nth % 2, 700);
        }
        let out = out.u8(0).u8(7).u8(0); // vote
        let out = out.u8(0).u8(1).u8(1); // truncate
        let out = out.u8(1).u8(2).u8(2); // purge
        let out = append(out, 1, 100);
        let out = append(out, 0, 10);
        if stop > 1 {
            out.u8(stop).u8(5)
        } else {
            out.u8(stop)
        }
    };
    let damaged = |stop: u8, file: u8, how: u8, at: u16| {
        let out = written(stop).u8(1).u8(file).u8(how).u16(at);
        match how {
            0 => out.chunk(b"LHWBLHWB").done(),
            1 => out.u8(0x80).done(),
            4 => out.u8(3).done(),
            _ => out.done(),
        }
    };
    let mut seeds = vec![
        ("killed".to_owned(), written(1).u8(0).done()),
        ("without-power".to_owned(), written(2).u8(0).done()),
    ];
    for how in 0..6 {
        for file in 0..3 {
            let name = format!("damage-{how}-to-file-{file}");
            seeds.push((
                name,
                damaged(how % 3, file, how, 1_000 + 97 * u16::from(how)),
            ));
        }
    }
    seeds
}

/// Batches of one record each, of every kind.
pub(super) fn wal_forgery() -> Vec<Seed> {
    let record = |out: Output, kind: u8, index: u8, payload: &[u8]| {
        // One record in the batch, no bytes of its own, group 1, kind, a small index, term 1.
        let out = out.u8(0).u8(0).u8(1).u8(kind).u8(0).u8(index).u8(1);
        out.chunk(payload)
    };
    let log = |records: &[(u8, u8)]| {
        let records = records.iter();
        records
            .fold(Output::default(), |out, (kind, index)| {
                record(out, *kind, *index, b"payload")
            })
            .done()
    };
    [
        ("entries", log(&[(1, 0), (1, 1), (1, 2), (3, 0), (4, 0)])),
        ("moved", log(&[(1, 5), (2, 3), (2, 4)])),
        ("hole", log(&[(1, 1), (1, 9)])),
        ("truncated", log(&[(1, 0), (1, 1), (5, 0), (1, 1), (6, 0)])),
        ("purged", log(&[(1, 0), (1, 1), (7, 0), (7, 200), (1, 3)])),
        ("destroyed", log(&[(1, 0), (3, 0), (8, 0), (1, 7)])),
        ("unknown", log(&[(1, 0), (9, 0)])),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into()
}
