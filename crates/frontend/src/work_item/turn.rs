//! A turn as an `OrchestratorRequest`.

use bytes::{BufMut, Bytes, BytesMut};
use longhaul_engine::dispatch::{Past, Turn};
use longhaul_engine::history::event::INBOUND;
use longhaul_engine::history::wire::{
    put_bytes, put_int32, put_message, put_string_value, put_text, put_timestamp,
};
use longhaul_proto::raw::EncodedWorkItem;
use longhaul_types::Timestamp;

use super::fields::{len_of, len_of_int32, len_of_string_value, len_of_timestamp};
use super::{put_head, work_item};

/// Field of `WorkItem`.
const ORCHESTRATOR_REQUEST: u32 = 1;

/// `entityParameters { entityMessageReorderWindow: 0 s }`, field 5.
///
/// Source: without it the .NET SDK switches entities off, and it reads the duration without looking.
const ENTITY_PARAMETERS: [u8; 4] = [5 << 3 | 2, 2, 1 << 3 | 2, 0];

/// `requiresHistoryStreaming: true`, field 6.
const REQUIRES_HISTORY_STREAMING: [u8; 2] = [6 << 3, 1];

/// The work item that hands `turn` to a worker.
pub(crate) fn encode_turn(turn: &Turn, token: &str) -> EncodedWorkItem {
    let context = &turn.context;
    let (id, execution) = (context.key.id.as_str(), context.execution.as_str());
    let past_runs = turn.past.inline();
    let streamed: &[u8] = match turn.past {
        Past::Inline(_) => &[],
        Past::Streamed => &REQUIRES_HISTORY_STREAMING,
    };
    let started_len = len_of_started(context.started_at);
    let len = len_of(id.len())
        + len_of_string_value(execution.len())
        + past_runs.iter().map(Bytes::len).sum::<usize>()
        + len_of(started_len)
        + turn
            .new
            .iter()
            .map(|event| len_of(event.len()))
            .sum::<usize>()
        + ENTITY_PARAMETERS.len()
        + streamed.len()
        + turn.trace.as_ref().map_or(0, |trace| len_of(trace.len()));
    work_item(ORCHESTRATOR_REQUEST, len, token, |out| {
        put_text(out, 1, id);
        put_string_value(out, 2, Some(execution.as_bytes()));
        // The framing of stored history is the tag and length of field 3.
        for run in past_runs {
            out.put_slice(run);
        }
        put_head(out, 4, started_len);
        put_started(out, context.started_at);
        for event in &turn.new {
            put_bytes(out, 4, event);
        }
        out.put_slice(&ENTITY_PARAMETERS);
        out.put_slice(streamed);
        if let Some(trace) = &turn.trace {
            put_bytes(out, 8, trace);
        }
    })
}

/// An OrchestratorStarted event, as [`longhaul_engine::history::event::orchestrator_started`] writes it.
fn put_started(out: &mut BytesMut, at: Timestamp) {
    put_int32(out, 1, INBOUND);
    put_timestamp(out, 2, at);
    put_message(out, 14, |_| {});
}

fn len_of_started(at: Timestamp) -> usize {
    len_of_int32(INBOUND) + len_of_timestamp(at) + len_of(0)
}
