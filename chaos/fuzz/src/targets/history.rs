//! Runs of framed history, each with its length before it; events in them may be repeated to make them many.

use bytes::{Bytes, BytesMut};
use longhaul_engine::dispatch::without_rewinds;
use longhaul_engine::history::{Frames, frame, framed_len, read};
use longhaul_frontend::fuzzing::history_chunks;
use longhaul_types::limits::HISTORY_CHUNK_BYTES_MAX;

use crate::input::Input;

/// Bytes of a history that is worth the time.
const HISTORY_BYTES_MAX: usize = 1 << 20;

pub(crate) fn run(input: &[u8]) {
    let runs = runs(Input::new(input));
    let events = events(&runs);
    if let Some(events) = &events {
        for event in events {
            drop(format!("{:?}", read::read(event)));
        }
    }
    let chunks = history_chunks(runs.clone());
    assert_eq!(chunks.is_ok(), events.is_some(), "damage is noticed");
    if let (Ok(chunks), Some(events)) = (chunks, &events) {
        hold(&chunks, events);
    }
    assert_eq!(without_rewinds(runs).is_ok(), events.is_some());
}

fn runs(mut input: Input<'_>) -> Vec<Bytes> {
    let (mut runs, mut bytes) = (Vec::new(), 0);
    while !input.is_empty() {
        let times = match input.below(8) {
            7 => usize::from(input.u16()),
            few => few,
        };
        let chunk = input.chunk();
        let run = match input.flag() {
            true => chunk.repeat(times),
            false => framed(chunk).repeat(times),
        };
        bytes += run.len();
        if bytes > HISTORY_BYTES_MAX {
            break;
        }
        runs.push(run.into());
    }
    runs
}

fn framed(event: &[u8]) -> Bytes {
    let mut run = BytesMut::new();
    frame(&mut run, event);
    run.freeze()
}

/// The events, unless a run is damaged.
fn events(runs: &[Bytes]) -> Option<Vec<Bytes>> {
    let frames = runs.iter().cloned().flat_map(Frames::new);
    frames.collect::<Result<_, _>>().ok()
}

/// The chunks hold the events, in order, and are no larger than they have to be.
fn hold(chunks: &[Bytes], events: &[Bytes]) {
    let mut rest = events;
    for chunk in chunks {
        let (mut bytes, mut count) = (0, 0);
        while bytes < chunk.len() {
            let event = &rest[count];
            bytes += framed_len(event.len());
            assert!(chunk[..bytes].ends_with(event), "event {count}");
            count += 1;
        }
        assert_eq!(bytes, chunk.len(), "a chunk holds whole events");
        assert!(count == 1 || bytes <= HISTORY_CHUNK_BYTES_MAX, "{bytes}");
        rest = &rest[count..];
    }
    assert!(rest.is_empty(), "{} events are missing", rest.len());
}
